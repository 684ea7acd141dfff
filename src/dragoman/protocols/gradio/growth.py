"""An answer that is told again and again as a whole, turned into the events of its growth."""

from __future__ import annotations

from dragoman.canonical.events import Event, PartDelta, PartEnd, PartStart
from dragoman.canonical.parts import Reasoning, Text
from dragoman.protocols.gradio.answer import Segment


class Growth:
    """Feed it every state of the answer; it gives what is new.

    What has been sent cannot be taken back. Where an app changes its words (a "Loading…" that gives
    way to the answer, for one) nothing more of that stretch is sent until the final state is known,
    and then what follows the part that both have in common.
    """

    def __init__(self) -> None:
        self._sent: list[Segment] = []

    def grow(self, segments: list[Segment], *, final: bool) -> list[Event]:
        """The events from the last state to this one; with ``final`` everything is closed."""
        events: list[Event] = []
        last = len(self._sent) - 1
        fresh = segments[last + 1 :]
        if 0 <= last < len(segments):
            current = segments[last]
            if current.thought != self._sent[last].thought:
                # What was text is a thought now, or the other way round.
                fresh = segments[last:] if final else []
            elif not self._extend(last, current, events, final=final):
                fresh = []
        for segment in fresh:
            self._begin(segment, events)
        if final and self._sent:
            events.append(PartEnd(len(self._sent) - 1))
        return events

    def _begin(self, segment: Segment, events: list[Event]) -> None:
        if self._sent:
            events.append(PartEnd(len(self._sent) - 1))
        index = len(self._sent)
        self._sent.append(segment)
        events.append(PartStart(index, Reasoning() if segment.thought else Text(text="")))
        events.append(PartDelta(index, segment.text))

    def _extend(self, at: int, segment: Segment, events: list[Event], *, final: bool) -> bool:
        """Send what is new of a stretch; False if it cannot be told yet what that is."""
        sent, text = self._sent[at].text, segment.text
        if text.startswith(sent):
            more = text[len(sent) :]
        elif final:
            more = _rest(sent, text)
        else:
            return False
        if more:
            self._sent[at] = segment
            events.append(PartDelta(at, more))
        return True


def _rest(sent: str, text: str) -> str:
    """What is to follow ``sent`` when the answer has become ``text``."""
    pairs = zip(sent, text, strict=False)
    common = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(sent), len(text)))
    if not sent[common:].strip():
        return text[common:]
    # A stretch that is no longer true stands in between: begin anew, with a whole word.
    start = max(text.rfind(" ", 0, common), text.rfind("\n", 0, common)) + 1
    return f"\n\n{text[start:]}" if text[start:].strip() else ""
