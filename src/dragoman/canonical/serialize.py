"""Interleaved parts → one part after another.

OpenAI's parallel tool calls may stream their arguments in turns; Anthropic's content blocks must not
overlap (an overlapping block breaks its SDK's accumulator). One part at a time passes through live,
the others wait in order.
"""

from __future__ import annotations

from collections.abc import Iterator

from dragoman.canonical.events import Event, PartDelta, PartEnd, PartStart


class Serializer:
    """``feed`` events in any legal order; get them back with no two parts open at once."""

    def __init__(self) -> None:
        self._live: int | None = None
        self._waiting: dict[int, list[PartStart | PartDelta | PartEnd]] = {}

    def feed(self, event: Event) -> Iterator[Event]:
        """Yield what may go out now."""
        match event:
            case PartDelta(index=index):
                if index == self._live:
                    yield event
                elif index in self._waiting:
                    self._waiting[index].append(event)
            case PartStart(index=index):
                if self._live is None:
                    self._live = index
                    yield event
                else:
                    self._waiting[index] = [event]
            case PartEnd(index=index):
                if index == self._live:
                    yield event
                    self._live = None
                    yield from self._promote()
                elif index in self._waiting:
                    self._waiting[index].append(event)
            case _:
                yield event

    def finish(self) -> Iterator[Event]:
        """Yield everything that still waits, closing what was left open."""
        while self._live is not None:
            yield PartEnd(self._live)
            self._live = None
            yield from self._promote()

    def _promote(self) -> Iterator[Event]:
        while self._waiting and self._live is None:
            index = next(iter(self._waiting))
            queued = self._waiting.pop(index)
            yield from queued
            if not isinstance(queued[-1], PartEnd):
                self._live = index
