"""A token count without a tokenizer, for upstreams that offer none."""

from __future__ import annotations

from collections.abc import Callable
from operator import add

import msgspec

from dragoman.canonical.events import Event, UsageUpdate
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
from dragoman.canonical.request import Request, Tool
from dragoman.engine.produced import Produced
from dragoman.governance.calibration import Features
from dragoman.governance.tokens import (
    EMPTY,
    JOINT,
    MEDIA_TOKENS,
    quick_count,
    text_groups,
)
from dragoman.protocols.base import StreamDecoder

_encode = msgspec.json.Encoder().encode


def features_of(request: Request) -> Features:
    """What ``request`` is made of, so that a calibration can count it; some 10 µs and 10 more per
    KB."""
    reader = _Reader()
    for message in request.messages:
        for part in message.parts:
            reader.take(part)
    texts = text_groups(JOINT.join(reader.texts))
    tools = text_groups(_tool_text(request))
    if tools is not EMPTY:
        texts = tuple(map(add, texts, tools))
    return Features(
        texts=texts,
        tool_text=sum(tools),
        tools=len(request.tools),
        messages=len(request.messages) + reader.turns,
        files=reader.files,
    )


def estimate_input(request: Request) -> int:
    """Input tokens of ``request`` for a model of which nothing is known; see ``text_tokens``."""
    return max(1, round(features_of(request).estimate))


class EstimatedUsage:
    """A stream decoder that adds the usage, marked as estimated, if the stream ends without any."""

    def __init__(self, decoder: StreamDecoder, input_tokens: Callable[[], int]) -> None:
        """``input_tokens`` estimates, if that is needed, what was read."""
        self._decoder = decoder
        self._input_tokens = input_tokens
        self._produced = Produced()
        self._reported = False

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
            events.append(UsageUpdate(self._produced.usage(self._input_tokens(), None)))
        return events

    def _count(self, events: list[Event]) -> None:
        self._produced.see(events)
        for event in events:
            if isinstance(event, UsageUpdate):
                self._reported = event.usage.total > 0


class _Reader:
    """Gathers the texts of parts; ``turns`` are what stands in a frame of its own, as messages do."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.turns = 0
        self.files = 0.0

    def take(self, part: Part) -> None:
        """Add one part."""
        match part:
            case Text(text=text) | Refusal(text=text) | Reasoning(text=text):
                self.texts.append(text)
            case ToolCall():
                self.turns += 1
                self.texts += (part.name, part.arguments)
            case ToolResult():
                self.turns += 1
                for piece in part.content:
                    self.take(piece)
            case Media(text=str(text)):
                self.texts.append(text)
            case Media():
                self.files += MEDIA_TOKENS[part.kind]
            case Opaque():
                # It may hold anything, a picture among it.
                self.files += quick_count(_encode(part.value))


def _tool_text(request: Request) -> bytes:
    pieces: list[bytes] = []
    for tool in request.tools:
        pieces += _pieces(tool)
    if request.output is not None and request.output.schema:
        pieces.append(_encode(request.output.schema))
    return b"\0".join(pieces)


def _pieces(tool: Tool) -> list[bytes]:
    pieces = [tool.name.encode("utf-8", "replace")]
    if tool.description:
        pieces.append(tool.description.encode("utf-8", "replace"))
    pieces += [_encode(value) for value in (tool.parameters, tool.config, tool.format) if value]
    return pieces
