"""Reasoning that a server writes into the text of its answer, between ``<tag>`` and ``</tag>``.

Vertex AI's OpenAI-compatible endpoint does so under the tag that the request names
(``thought_tag_marker``), many a self-hosted model under ``think``. The tags may be cut anywhere by the
chunks of a stream, and an answer may hold several blocks.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from dragoman.canonical.events import Event, PartDelta, PartEnd, PartStart
from dragoman.canonical.parts import Part, Reasoning, Text

QUIRK = "think_tag"
"""The quirk that names the tag, for the engine."""

_LAST_SPACE = re.compile(r"\s*\Z")


class Piece(NamedTuple):
    """Some of the text; ``thought``: it stood between the tags. ``block`` counts how often the text
    changed between the two."""

    thought: bool
    text: str
    block: int


class TagReader:
    """Splits a growing text. White space around a thought, and after one, is no part of the answer;
    a tag that is never closed holds a thought to the end."""

    __slots__ = ("_block", "_close", "_held", "_open", "_started")

    def __init__(self, tag: str) -> None:
        self._open = f"<{tag}>"
        self._close = f"</{tag}>"
        self._held = ""
        self._block = 0  # odd: between the tags
        self._started = True  # whether white space counts at this place

    def feed(self, text: str) -> list[Piece]:
        """What is certain after ``text``."""
        text = self._held + text
        pieces: list[Piece] = []
        while True:
            tag = self._close if self._block % 2 else self._open
            at = text.find(tag)
            if at < 0:
                break
            self._take(text[:at].rstrip() if self._block % 2 else text[:at], pieces)
            text = text[at + len(tag) :]
            self._block += 1
            self._started = False
        keep = self._doubtful(text, tag)
        self._held = text[len(text) - keep :]
        self._take(text[: len(text) - keep], pieces)
        return pieces

    def finish(self) -> list[Piece]:
        """What was held back, now that nothing follows."""
        pieces: list[Piece] = []
        held, self._held = self._held, ""
        self._take(held.rstrip() if self._block % 2 else held, pieces)
        return pieces

    def _take(self, text: str, pieces: list[Piece]) -> None:
        if not self._started:
            text = text.lstrip()
        if text:
            self._started = True
            pieces.append(Piece(self._block % 2 == 1, text, self._block))

    def _doubtful(self, text: str, tag: str) -> int:
        """How many characters at the end may yet become part of ``tag``, or of the space before it."""
        half = next(
            (
                size
                for size in range(min(len(tag) - 1, len(text)), 0, -1)
                if text.endswith(tag[:size])
            ),
            0,
        )
        if not self._block % 2:
            return half
        end = len(text) - half
        space = _LAST_SPACE.search(text, 0, end)
        return len(text) - (space.start() if space else end)


class _TextPart:
    """A text part that is being split."""

    __slots__ = ("block", "number", "reader", "start")

    def __init__(self, start: PartStart, reader: TagReader) -> None:
        self.start = start
        self.reader = reader
        self.number = -1
        self.block = -1


class ThinkTags:
    """A filter for the events of one answer: what its texts hold between the tags becomes reasoning."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._count = 0
        self._numbers: dict[int, int] = {}
        self._texts: dict[int, _TextPart] = {}

    def __call__(self, event: Event) -> list[Event]:
        """What ``event`` becomes."""
        match event:
            case PartStart(part=Text()):
                return self._begin(event)
            case PartStart():
                number = self._numbers[event.index] = self._next()
                return [PartStart(number, event.part, event.choice)]
            case PartDelta() if (text := self._texts.get(event.index)) is not None:
                return self._grow(text, event)
            case PartEnd() if (text := self._texts.pop(event.index, None)) is not None:
                return self._end(text)
            case PartDelta() | PartEnd():
                number = self._numbers.get(event.index, event.index)
                return [msgspec.structs.replace(event, index=number)]
        return [event]

    def _next(self) -> int:
        self._count += 1
        return self._count - 1

    def _begin(self, event: PartStart) -> list[Event]:
        text = self._texts[event.index] = _TextPart(event, TagReader(self._tag))
        said = event.part.text if isinstance(event.part, Text) else ""
        return self._pieces(text, text.reader.feed(said)) if said else []

    def _grow(self, text: _TextPart, event: PartDelta) -> list[Event]:
        events = self._pieces(text, text.reader.feed(event.text)) if event.text else []
        if event.extensions is not None or event.logprobs is not None:
            if text.number < 0:
                self._open(text, Piece(False, "", 0), events)
            rest = msgspec.structs.replace(event, index=text.number, text="")
            events.append(rest)
        return events

    def _end(self, text: _TextPart) -> list[Event]:
        events = self._pieces(text, text.reader.finish())
        if text.number < 0:
            self._open(text, Piece(False, "", 0), events)
        events.append(PartEnd(text.number))
        return events

    def _pieces(self, text: _TextPart, pieces: list[Piece]) -> list[Event]:
        events: list[Event] = []
        for piece in pieces:
            if piece.block != text.block:
                if text.number >= 0:
                    events.append(PartEnd(text.number))
                self._open(text, piece, events)
            events.append(PartDelta(text.number, piece.text))
        return events

    def _open(self, text: _TextPart, piece: Piece, events: list[Event]) -> None:
        part: Part = Reasoning()
        if not piece.thought:
            part = msgspec.structs.replace(text.start.part, text="")
        text.number = self._next()
        text.block = piece.block
        events.append(PartStart(text.number, part, text.start.choice))
