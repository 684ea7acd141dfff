"""Events ⇄ whole responses, so that plain and streamed answers share one path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from dragoman.canonical.events import (
    Event,
    Finished,
    PartDelta,
    PartEnd,
    PartStart,
    Start,
    UsageUpdate,
)
from dragoman.canonical.parts import (
    Extensions,
    Json,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from dragoman.canonical.response import Choice, Response


def merge_extensions(into: Extensions | None, more: Extensions | None) -> Extensions | None:
    """Merge ``more`` into ``into``: lists are appended to, everything else is replaced."""
    if not more:
        return into
    merged: Extensions = {} if into is None else into
    for protocol, fields in more.items():
        target = merged.setdefault(protocol, {})
        for field, value in fields.items():
            known = target.get(field)
            if isinstance(known, list) and isinstance(value, list):
                target[field] = [*known, *value]
            else:
                target[field] = value
    return merged


class Collector:
    """Builds a Response out of events: ``feed`` each, then read ``response``."""

    def __init__(self) -> None:
        self.response = Response()
        self._choices: dict[int, Choice] = {}
        self._open: dict[int, tuple[Part, list[str], Choice]] = {}

    def feed(self, event: Event) -> None:
        """Take one event. Events about parts that never started are ignored."""
        match event:
            case PartDelta():
                self._delta(event)
            case PartStart():
                # A copy, because deltas will change it and the event may be used again.
                choice = self._choice(event.choice)
                extensions = merge_extensions(None, event.part.extensions)
                part = msgspec.structs.replace(event.part, extensions=extensions)
                choice.parts.append(part)
                self._open[event.index] = (part, [], choice)
            case PartEnd():
                self._end(event.index)
            case UsageUpdate():
                self.response.usage = event.usage
            case Finished():
                self._choice(event.choice).finish = event.finish
            case Start():
                self.response.id = event.id
                self.response.model = event.model
                self.response.created = event.created
                self.response.service_tier = event.service_tier
                self.response.extensions = merge_extensions(
                    self.response.extensions, event.extensions
                )

    def finish(self) -> Response:
        """Close what is still open and return the response, choices in order."""
        for index in list(self._open):
            self._end(index)
        self.response.choices = [self._choices[i] for i in sorted(self._choices)]
        return self.response

    def _choice(self, index: int) -> Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = Choice(index=index)
        return choice

    def _delta(self, event: PartDelta) -> None:
        entry = self._open.get(event.index)
        if entry is None:
            return
        part, pieces, choice = entry
        if event.text:
            pieces.append(event.text)
        if event.signature is not None and isinstance(part, Reasoning | ToolCall):
            part.signature = event.signature
        if event.logprobs:
            choice.logprobs = [*(choice.logprobs or []), *event.logprobs]
        if event.extensions:
            part.extensions = merge_extensions(part.extensions, event.extensions)

    def _end(self, index: int) -> None:
        entry = self._open.pop(index, None)
        if entry is not None:
            append_text(entry[0], "".join(entry[1]))


def append_text(part: Part, text: str) -> None:
    """Append a delta's text to the field of ``part`` that grows."""
    match part:
        case Text() | Reasoning() | Refusal():
            part.text += text
        case ToolCall():
            part.arguments += text
        case Media():
            if text:
                part.data = (part.data or "") + text
        case _:
            pass


def collect(events: Iterable[Event]) -> Response:
    """Build the whole response from ``events``."""
    collector = Collector()
    for event in events:
        collector.feed(event)
    return collector.finish()


def _emptied(part: Part) -> tuple[Part, str]:
    """The part as it starts, and the text that is to follow as one delta."""
    match part:
        case Text() | Reasoning() | Refusal():
            return msgspec.structs.replace(part, text=""), part.text
        case ToolCall():
            return msgspec.structs.replace(part, arguments=""), part.arguments
        case _:
            return part, ""


def replay(response: Response) -> Iterator[Event]:
    """Yield the events that would have streamed ``response``; ``collect`` is its inverse."""
    yield Start(
        id=response.id,
        model=response.model,
        created=response.created,
        service_tier=response.service_tier,
        extensions=response.extensions,
    )
    index = 0
    for choice in response.choices:
        pending: list[Json] | None = choice.logprobs
        for part in choice.parts:
            start, text = _emptied(part)
            yield PartStart(index, start, choice.index)
            logprobs = pending if isinstance(part, Text) else None
            if text or logprobs:
                yield PartDelta(index, text, logprobs=logprobs)
                pending = None if logprobs else pending
            yield PartEnd(index)
            index += 1
    if response.usage is not None:
        yield UsageUpdate(response.usage)
    for choice in response.choices:
        if choice.finish is not None:
            yield Finished(choice.finish, choice.index)
