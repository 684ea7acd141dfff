"""What the stand-in answers, free of any protocol.

The model's name is the scenario. ``perform`` turns the scenario and what a request said into an
``Answer``, or raises a ``VendorError`` where a vendor would refuse; the protocol modules write
either in their own form. Tests import the texts from here, so one expectation serves every protocol.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

GREETING = 'Grüße aus dem Prüfstand: 世界 👋, "quoted" and\na second line.'
THOUGHT = "Two and two make four, as everyone agrees."
CONCLUSION = "The answer is 4."
REFUSAL = "I cannot help with that."
PREAMBLE = "Let me look that up."
STRUCTURED = {"answer": 42, "unit": "km"}

# A 2x2 PNG; image scenarios compare it byte by byte.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEUlEQVR4nGP4z8DA8B+MgBgAHfAD/dPQfSYAAAAASUVO"
    "RK5CYII="
)


@dataclass(frozen=True)
class Call:
    """A tool call; ``arguments`` is JSON text."""

    name: str
    arguments: str
    id: str = ""
    signature: str = ""


WEATHER_PARIS = Call("get_weather", '{"city":"Paris","unit":"c"}', "call_paris01")
TIME_TOKYO = Call("get_time", '{"zone":"Asia/Tokyo","short":true}', "call_tokyo02")


@dataclass(frozen=True)
class Counts:
    """Tokens as a vendor counts them: ``prompt`` includes the cached, ``output`` the reasoning."""

    prompt: int = 21
    output: int = 17
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


FinishKind = Literal["stop", "length", "tools", "refusal", "stop_sequence", "filter"]


@dataclass(frozen=True)
class Answer:
    """One assistant turn and how it is delivered."""

    text: str = ""
    reasoning: str = ""
    signature: str = ""
    calls: tuple[Call, ...] = ()
    refusal: str = ""
    finish: FinishKind = "stop"
    counts: Counts | None = Counts()
    stop_sequence: str = ""
    delivery: Literal[
        "normal", "stall", "cut", "slow", "no-finish", "no-done", "error", "shredded"
    ] = "normal"


class VendorError(Exception):
    """A refusal, before it has a vendor's form. ``code`` is a vendor-neutral word."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after


@dataclass
class Turn:
    """What a request said, free of its protocol, as far as the scenarios care.

    ``signatures`` are (signed text, signature) pairs that came back with earlier turns and
    ``thoughts`` the reasoning texts; ``results`` are (tool name, text) of the last turn's tool
    results, already checked to pair with their calls.
    """

    model: str
    vendor: str
    stream: bool = False
    system: str = ""
    prompt: str = ""
    images: list[tuple[str, str]] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    results: list[tuple[str, str]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    signatures: list[tuple[str, str]] = field(default_factory=list)
    schema: dict[str, Any] | None = None
    json_mode: bool = False
    answered: bool = False
    thinking: bool = False
    include_usage: bool = True
    wants_encrypted: bool = True
    inputs: list[str] = field(default_factory=list)


def sign(vendor: str, text: str) -> str:
    """The vendor's proof that it wrote ``text``: base64, as all of them use."""
    return base64.b64encode(
        f"{vendor}-proof-".encode() + hashlib.sha256(f"{vendor}:{text}".encode()).digest()
    ).decode()


def verify(turn: Turn) -> None:
    """Refuse a request with a signature that this vendor never made, or made for another text."""
    for text, signature in turn.signatures:
        if signature != sign(turn.vendor, text):
            raise VendorError(400, f"Invalid `signature` in a thinking block ({signature[:24]!r}).")


def _text(turn: Turn) -> Answer:
    return Answer(text=GREETING)


def _tools(turn: Turn, *calls: Call) -> Answer:
    """First the calls, then, with the results in hand, a text that quotes them."""
    if turn.results:
        quoted = "; ".join(f"{name} said {text}" for name, text in turn.results)
        return Answer(text=f"Tools: {quoted}.")
    missing = {call.name for call in calls} - set(turn.tools)
    if missing:
        raise VendorError(400, f"The scenario needs the tools {sorted(missing)}.", param="tools")
    return Answer(text=PREAMBLE, calls=calls, finish="tools")


def _reasoning(turn: Turn) -> Answer:
    """Thinks in the first turn; in the second says what of the thinking came back."""
    if turn.answered:
        verify(turn)
        proofs, thoughts = len(turn.signatures), "".join(turn.thoughts).count(THOUGHT)
        return Answer(text=f"Came back: {proofs} signatures, {thoughts} thoughts.")
    return Answer(
        text=CONCLUSION,
        reasoning=THOUGHT,
        signature=sign(turn.vendor, THOUGHT),
        counts=Counts(reasoning=9),
    )


def _reasoning_tools(turn: Turn) -> Answer:
    """Thinks, calls a tool, and insists on its reasoning when the result is brought."""
    verify(turn)
    if turn.results:
        if not turn.signatures and THOUGHT not in "".join(turn.thoughts):
            raise VendorError(400, "The reasoning that led to the tool call is missing.")
        return replace(_tools(turn, WEATHER_PARIS), reasoning="")
    called = _tools(turn, replace(WEATHER_PARIS, signature=sign(turn.vendor, "get_weather")))
    return replace(
        called,
        text="",
        reasoning=THOUGHT,
        signature=sign(turn.vendor, THOUGHT),
        counts=Counts(reasoning=9),
    )


def _structured(turn: Turn) -> Answer:
    if turn.schema is None:
        raise VendorError(400, "The scenario needs a JSON schema, and none arrived.")
    if set(turn.schema.get("properties", ())) != set(STRUCTURED):
        raise VendorError(400, f"The schema arrived changed: {json.dumps(turn.schema)}")
    return Answer(text=json.dumps(STRUCTURED))


def _json(turn: Turn) -> Answer:
    if not turn.json_mode and turn.schema is None:
        raise VendorError(400, "The scenario needs JSON mode, which was not asked for.")
    return Answer(text=json.dumps(STRUCTURED))


def _image(turn: Turn) -> Answer:
    if not turn.images:
        raise VendorError(400, "The scenario needs an image, and none arrived.")
    for media_type, data in turn.images:
        if media_type != "image/png" or data != PNG:
            raise VendorError(400, f"The image arrived damaged: {media_type}, {data[:40]}")
    return Answer(text=f"{len(turn.images)} intact image(s).")


def _long_prompt(turn: Turn) -> Answer:
    return Answer(text=GREETING, counts=Counts(prompt=1000, output=17, cached=800))


SCENARIOS: dict[str, Callable[[Turn], Answer]] = {
    "text": _text,
    "tools": lambda turn: _tools(turn, WEATHER_PARIS),
    "parallel-tools": lambda turn: _tools(turn, WEATHER_PARIS, TIME_TOKYO),
    "reasoning": _reasoning,
    "reasoning-tools": _reasoning_tools,
    "structured": _structured,
    "json": _json,
    "image": _image,
    "cached-usage": _long_prompt,
    "no-usage": lambda _: Answer(text=GREETING, counts=None),
    "length": lambda _: Answer(text=PREAMBLE, finish="length"),
    "refusal": lambda _: Answer(refusal=REFUSAL, finish="refusal"),
    "stop-sequence": lambda _: Answer(text="Before", finish="stop_sequence", stop_sequence="STOP"),
    "stall": lambda _: Answer(text=GREETING, delivery="stall"),
    "slow": lambda _: Answer(text=GREETING, delivery="slow"),
    "cut": lambda _: Answer(text=GREETING, delivery="cut"),
    "shredded": lambda _: Answer(text=GREETING, delivery="shredded"),
    "no-finish": lambda _: Answer(text=GREETING, delivery="no-finish"),
    "no-done": lambda _: Answer(text=GREETING, delivery="no-done"),
    "error-midway": lambda _: Answer(text=GREETING, delivery="error"),
}


def perform(turn: Turn) -> Answer:
    """What the scenario named by ``turn.model`` answers; any other name answers like ``text``."""
    if turn.model.startswith("error-"):
        status = turn.model.removeprefix("error-")
        if status.isdigit():
            raise scripted_error(int(status))
    return SCENARIOS.get(turn.model, _text)(turn)


def scripted_error(status: int) -> VendorError:
    """The error of the scenario ``error-<status>``."""
    message = f"The stand-in was told to answer {status}."
    return VendorError(
        status,
        message,
        param="messages" if status == 400 else None,
        code={404: "model_not_found", 429: "rate_limit"}.get(status),
        retry_after=7 if status in (429, 503, 529) else None,
    )


def pieces(text: str, size: int = 7) -> list[str]:
    """Cut ``text`` as a model's tokens would: a few characters at a time."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def vector(text: str, dimensions: int | None = None) -> list[float]:
    """A deterministic embedding whose numbers are exact in float32."""
    digest = hashlib.sha256(text.encode()).digest()
    return [(byte - 128) / 64 for byte in digest[: dimensions or 8]]
