"""What every task is made of: a prompt, and an answer read out of what a chat model says to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.parts import Json, Text
from dragoman.canonical.request import Message, OutputFormat
from dragoman.protocols.hf_tasks.types import TaskCall

Shape = TypeVar("Shape")


class Prompt(msgspec.Struct, frozen=True):
    """What a chat model is asked, and the form of its answer if it is not plain text."""

    messages: list[Message]
    output: OutputFormat | None = None


class Finding(msgspec.Struct, frozen=True):
    """A task's answer in both shapes: the value that stands under ``output`` (form ``seed``), and the
    whole body (form ``native``)."""

    seed: Json
    native: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task.

    ``read(call, text)`` turns the model's text into the answer and raises UpstreamBroken for one that
    does not hold. ``inputs`` says what the task works on. ``streams``: pieces of the model's text are
    pieces of the answer. ``own``: the parameters, besides those of sampling, that it minds.
    """

    name: str
    inputs: str
    prompt: Callable[[TaskCall], Prompt]
    read: Callable[[TaskCall, str], Finding]
    streams: bool
    own: frozenset[str] = frozenset()


def told(role: str, text: str) -> Message:
    """A message of one text."""
    assert role in ("system", "user", "assistant")
    return Message(role=role, parts=[Text(text=text)])  # type: ignore[arg-type]


def schema(name: str, properties: dict[str, Json]) -> OutputFormat:
    """An object with exactly these ``properties``, as every provider's structured output takes it."""
    return OutputFormat(
        kind="json_schema", name=name, strict=True, schema=closed_object(properties)
    )


def closed_object(properties: dict[str, Json]) -> dict[str, Json]:
    """The JSON schema of an object that has all ``properties`` and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def read_object(text: str, decoder: msgspec.json.Decoder[Shape]) -> Shape:
    """The JSON object in what a model says, which may stand in a fence or among words. Raises
    UpstreamBroken."""
    first, last = text.find("{"), text.rfind("}")
    try:
        return decoder.decode(text[first : last + 1] if 0 <= first < last else text)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        raise UpstreamBroken(
            "The model's answer is not the JSON object it was asked for."
        ) from None


def checked_score(score: float) -> float:
    """``score`` if it is one. Raises UpstreamBroken."""
    if not 0 <= score <= 1:
        raise UpstreamBroken("The model gave a score that is not in 0…1.")
    return float(score)
