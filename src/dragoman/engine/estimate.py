"""A token count without a tokenizer, for upstreams that offer none."""

from __future__ import annotations

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
from dragoman.canonical.request import Request
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import StreamDecoder

_ASCII_PER_TOKEN = 4.0
_OTHER_PER_TOKEN = 1.5  # CJK runs at one to two characters a token in today's vocabularies
_MESSAGE_OVERHEAD = 4
_MEDIA_TOKENS = {"image": 1100, "document": 1500, "audio": 500, "video": 2500}


def estimate_text(text: str) -> float:
    """Tokens in ``text``, roughly."""
    other = len(text) - len(text.encode("ascii", "ignore"))
    return (len(text) - other) / _ASCII_PER_TOKEN + other / _OTHER_PER_TOKEN


def estimate_input(request: Request) -> int:
    """Input tokens of ``request``; within about a fifth of the truth for prose and code."""
    tokens = float(_MESSAGE_OVERHEAD)
    for message in request.messages:
        tokens += _MESSAGE_OVERHEAD + sum(map(_estimate_part, message.parts))
    for tool in request.tools:
        tokens += estimate_text(tool.name) + estimate_text(tool.description or "")
        tokens += _estimate_json(tool.parameters) + _estimate_json(tool.config)
    if request.output is not None:
        tokens += _estimate_json(request.output.schema)
    return max(1, round(tokens))


class EstimatedUsage:
    """A stream decoder that adds the usage, marked as estimated, if the stream ends without any."""

    def __init__(self, decoder: StreamDecoder, request: Request) -> None:
        self._decoder = decoder
        self._request = request
        self._reported = False
        self._thoughts: set[int] = set()
        self._tokens = {True: 0.0, False: 0.0}  # thought or not

    @property
    def ended(self) -> bool:
        """As StreamDecoder.ended."""
        return self._decoder.ended

    def feed(self, chunk: bytes) -> list[Event]:
        """As StreamDecoder.feed."""
        events = self._decoder.feed(chunk)
        self._count(events)
        return events

    def finish(self) -> list[Event]:
        """As StreamDecoder.finish, the usage last."""
        events = self._decoder.finish()
        self._count(events)
        if not self._reported:
            usage = Usage(
                input=estimate_input(self._request),
                output=round(self._tokens[False]),
                reasoning=round(self._tokens[True]),
                estimated=True,
            )
            events.append(UsageUpdate(usage))
        return events

    def _count(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case PartDelta(index, text):
                    self._tokens[index in self._thoughts] += estimate_text(text)
                case PartStart(index, part):
                    if isinstance(part, Reasoning):
                        self._thoughts.add(index)
                    self._tokens[index in self._thoughts] += _estimate_part(part)
                case UsageUpdate():
                    self._reported = True


def _estimate_part(part: Part) -> float:
    match part:
        case Text(text=text) | Refusal(text=text) | Reasoning(text=text):
            return estimate_text(text)
        case ToolCall():
            return _MESSAGE_OVERHEAD + estimate_text(part.name) + estimate_text(part.arguments)
        case ToolResult():
            return _MESSAGE_OVERHEAD + sum(map(_estimate_part, part.content))
        case Media():
            return estimate_text(part.text) if part.text else float(_MEDIA_TOKENS[part.kind])
        case Opaque():
            return _estimate_json(part.value)


def _estimate_json(value: object) -> float:
    return estimate_text(msgspec.json.encode(value).decode()) if value else 0.0
