"""What the stream decoder remembers of items and parts, and what a finished item adds to it."""

from __future__ import annotations

import msgspec

from dragoman.canonical.events import Event, PartDelta
from dragoman.canonical.parts import Json, Part, Reasoning, Refusal, Text, ToolCall
from dragoman.protocols.openai_responses import marks, types

_TEXTUAL = (Text, Reasoning, Refusal, ToolCall)


class Open:
    """A part that has started: how much of its text has come, and what is known besides."""

    __slots__ = ("index", "known", "length", "part")

    def __init__(self, index: int, part: Part) -> None:
        self.index = index
        self.part = part
        self.length = 0
        self.known = dict(marks.own(part.extensions))


class Item:
    """An output item; ``parts`` by content index. ``piece`` counts a reasoning item's pieces."""

    __slots__ = ("done", "parts", "piece", "raw")

    def __init__(self, raw: types.Object) -> None:
        self.raw = raw
        self.parts: dict[int, Open] = {}
        self.piece = 0
        self.done = False


def identity(raw: types.Object) -> str:
    """What names an item in the stream and in the whole answer alike; empty if nothing does."""
    name = raw.get("id") or raw.get("call_id")
    return name if isinstance(name, str) else ""


def promised(raw: types.Object) -> types.Object:
    """An item as it will be when nothing goes wrong; if something does, its end corrects it."""
    return {**raw, "status": "completed"} if raw.get("status") else raw


def emptied(part: Part) -> Part:
    """A whole part as it starts, before its text."""
    match part:
        case Text() | Refusal() | Reasoning():
            return msgspec.structs.replace(part, text="")
        case ToolCall():
            return msgspec.structs.replace(part, arguments="")
        case _:
            return part


def missing(opened: Open, part: Part, logprobs: list[Json] | None) -> list[Event]:
    """What the finished part has and the deltas did not bring."""
    text = ""
    if not opened.length and isinstance(part, _TEXTUAL):
        text = part.arguments if isinstance(part, ToolCall) else part.text
    signature = part.signature if isinstance(part, Reasoning) else None
    if signature is not None and opened.part is part:
        signature = None  # it came with the part's start
    found = {
        name: value
        for name, value in marks.own(part.extensions).items()
        if opened.known.get(name) != value
        and (name != marks.CUTS or not opened.length)
        and (name != "annotations" or name not in opened.known)
    }
    if not text and signature is None and not found:
        return []
    return [
        PartDelta(
            opened.index,
            text,
            signature=signature,
            logprobs=logprobs if text else None,
            extensions=marks.extensions(found),
        )
    ]
