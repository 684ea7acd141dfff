"""How much of an answer has been produced, for answers whose usage nobody tells or that break off."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from dragoman.canonical.events import Event, PartDelta, PartStart, UsageUpdate
from dragoman.canonical.parts import (
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.canonical.response import Response
from dragoman.canonical.usage import Usage
from dragoman.governance.tokens import MEDIA_TOKENS, quick_count, text_tokens

_CALL = 4.0
"""What surrounds a tool call."""
_MOST_HELD = 1024
"""Pieces that are kept before they are counted, so that an endless answer takes no more memory."""


class Produced:
    """Adds up one answer. Seeing an event costs a fraction of a microsecond: the texts are counted when
    there are many, or when somebody asks."""

    __slots__ = ("_fresh", "_media", "_thoughts", "_tokens", "_visible", "_written")

    def __init__(self) -> None:
        self._visible: list[str] = []
        self._thoughts: list[str] = []
        self._tokens = [0.0, 0.0, 0.0, 0.0]  # visible, thought, sound, pictures
        self._written: dict[int, list[str]] = {}
        self._media: set[int] = set()
        self._fresh = False

    def see(self, events: Iterable[Event]) -> None:
        """Take what was produced off ``events``."""
        for event in events:
            kind = type(event)
            if kind is PartDelta:
                assert isinstance(event, PartDelta)
                if event.text:
                    self._fresh = True
                    pieces = self._written.get(event.index)
                    if pieces is not None:
                        pieces.append(event.text)
                        if len(pieces) >= _MOST_HELD:
                            self._count_texts()
                    elif event.index not in self._media:
                        self._visible.append(event.text)
            elif kind is PartStart:
                assert isinstance(event, PartStart)
                self._begin(event)
            elif kind is UsageUpdate:
                self._fresh = False

    def see_response(self, response: Response) -> None:
        """Take what was produced off a whole answer."""
        for choice in response.choices:
            for part in choice.parts:
                self._take(part)

    def usage(self, input_tokens: int, reported: Usage | None) -> Usage:
        """What the answer has used so far. ``reported`` is the latest that the upstream told: it is the
        truth if nothing was produced since, and never undercut. What it does not tell is estimated, the
        input as ``input_tokens``, and marked so."""
        known = reported is not None and reported.total > 0
        if known and not self._fresh:
            assert reported is not None
            return reported
        self._count_texts()
        visible, thought, sound, pictures = (round(tokens) for tokens in self._tokens)
        if not known:
            return Usage(
                input=max(0, input_tokens),
                output=visible,
                reasoning=thought,
                output_audio=sound,
                output_image=pictures,
                estimated=True,
            )
        assert reported is not None
        more = max(0, visible + thought + sound + pictures - reported.total_output)
        reasoning = min(more, max(0, thought - reported.reasoning))
        return msgspec.structs.replace(
            reported,
            input=reported.input if reported.total_input else max(0, input_tokens),
            output=reported.output + more - reasoning,
            reasoning=reported.reasoning + reasoning,
            estimated=True,
        )

    def _begin(self, event: PartStart) -> None:
        part = event.part
        if isinstance(part, Media):
            self._media.add(event.index)
        else:
            thought = isinstance(part, Reasoning)
            self._written[event.index] = self._thoughts if thought else self._visible
        self._take(part)

    def _take(self, part: Part) -> None:
        pieces = self._visible
        match part:
            case Text(text=text) | Refusal(text=text):
                pieces.append(text)
            case Reasoning(text=text):
                self._thoughts.append(text)
            case ToolCall():
                self._tokens[0] += _CALL
                pieces += (part.name, part.arguments)
            case Media():
                self._tokens[2 if part.kind == "audio" else 3] += MEDIA_TOKENS[part.kind]
            case Opaque():
                self._tokens[0] += quick_count(msgspec.json.encode(part.value))
            case ToolResult():
                for piece in part.content:
                    self._take(piece)
        self._fresh = True

    def _count_texts(self) -> None:
        for place, pieces in enumerate((self._visible, self._thoughts)):
            if pieces:
                self._tokens[place] += text_tokens("".join(pieces))
                pieces.clear()


def tells_usage(response: Response) -> bool:
    """Whether the upstream has said what a whole answer used."""
    return response.usage is not None and response.usage.total > 0


def usage_of(response: Response, input_tokens: int) -> Usage:
    """What a whole answer used, as estimated, and marked so."""
    produced = Produced()
    produced.see_response(response)
    return produced.usage(input_tokens, None)
