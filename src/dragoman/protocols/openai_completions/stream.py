"""Streams, both ways."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec

from dragoman.canonical.errors import GatewayError
from dragoman.canonical.events import (
    Event,
    Finished,
    PartDelta,
    PartEnd,
    PartStart,
    Start,
    UsageUpdate,
)
from dragoman.canonical.parts import Json, Refusal, Text, own_extensions
from dragoman.canonical.request import Request
from dragoman.canonical.response import Finish
from dragoman.canonical.signature import Origin
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import Parsed
from dragoman.protocols.openai_completions import types
from dragoman.protocols.openai_completions.response import (
    decode_logprobs,
    encode_finish,
    encode_logprobs,
)
from dragoman.protocols.openai_completions.types import PROTOCOL_ID, Wire
from dragoman.protocols.openai_shared.errors import error_object
from dragoman.protocols.openai_shared.finish import decode_finish
from dragoman.protocols.openai_shared.relay import ChunkRelay
from dragoman.protocols.openai_shared.stream_decoder import ChunkStreamDecoder
from dragoman.protocols.openai_shared.usage import encode_usage
from dragoman.wire.sse import write_event

_encode = msgspec.json.Encoder().encode


class _TextReader:
    """Reads one choice: a single text that grows."""

    def __init__(self, index: int, numbers: Iterator[int]) -> None:
        self.index = index
        self.finish_reason: str | None = None
        self._native: str | None = None
        self._stop: Any = None
        self._numbers = numbers
        self._part: int | None = None

    def read(self, choice: types.Choice, events: list[Event]) -> None:
        """Take one chunk's share of this choice."""
        logprobs = decode_logprobs(choice.logprobs)
        if choice.text or logprobs:
            if self._part is None:
                self._part = next(self._numbers)
                events.append(PartStart(self._part, Text(text=""), self.index))
            events.append(PartDelta(self._part, choice.text or "", logprobs=logprobs))
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason
            self._native = choice.native_finish_reason
            self._stop = choice.stop_reason

    def close(self, events: list[Event]) -> None:
        """End the text, then say how the choice ended."""
        if self._part is not None:
            events.append(PartEnd(self._part))
        finish = decode_finish(self.finish_reason or "stop", native=self._native, stop=self._stop)
        events.append(Finished(finish, self.index))

    def owed(self) -> Wire:
        """A chunk's choice that says what the server left out."""
        return {"text": "", "index": self.index, "logprobs": None, "finish_reason": "stop"}


class CompletionsDecoder(ChunkStreamDecoder):
    """An upstream's stream, as events."""

    chunks = msgspec.json.Decoder(types.Completion)
    object = "text_completion"

    def __init__(self, origin: Origin) -> None:
        super().__init__(PROTOCOL_ID)
        self._numbers = itertools.count()

    def add_choice(self, index: int, start: Start) -> _TextReader:
        """A reader for a choice that begins."""
        return _TextReader(index, self._numbers)


def stream_relay(parsed: Parsed, origin: Origin) -> ChunkRelay:
    """Forwards the answer of ``origin`` and reads along."""
    return ChunkRelay(CompletionsDecoder(origin), parsed)


class CompletionsEncoder:
    """Events, as a stream of ``text_completion`` chunks: the visible text, and why it ended."""

    def __init__(self, request: Request) -> None:
        self._model = request.model
        self._include_usage = request.stream_options.include_usage
        self._fields: Wire = {}
        self._set_head(Start())
        self._open: dict[int, int] = {}
        self._written: dict[int, int] = {}
        self._finished: set[int] = set()
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        """Chunks for one event."""
        match event:
            case PartDelta(index=index) if index in self._open:
                return self._text(self._open[index], event.text, event.logprobs)
            case PartStart(part=Text() | Refusal() as part):
                self._open[event.index] = event.choice
                return self._text(event.choice, part.text, None)
            case PartStart():
                self._written.setdefault(event.choice, 0)
            case PartEnd():
                self._open.pop(event.index, None)
            case UsageUpdate():
                self._usage = event.usage
            case Finished():
                return self._finish_choice(event.choice, event.finish)
            case Start():
                self._set_head(event)
        return b""

    def finish(self) -> bytes:
        """A finish reason for every choice that lacks one, usage if it was asked for, ``[DONE]``."""
        choices = sorted(self._written.keys() - self._finished)
        if not choices and not self._finished:
            choices = [0]
        out = [self._finish_choice(choice, None) for choice in choices]
        if self._include_usage and self._usage is not None:
            chunk = {**self._fields, "choices": [], "usage": encode_usage(self._usage)}
            out.append(write_event(_encode(chunk)))
        out.append(b"data: [DONE]\n\n")
        return b"".join(out)

    def error(self, error: GatewayError) -> bytes:
        """The error as an event, which makes the SDKs raise; ``[DONE]`` must not follow."""
        return write_event(_encode({"error": error_object(error)}))

    def ping(self) -> bytes:
        """A comment."""
        return b": keep-alive\n\n"

    def _set_head(self, start: Start) -> None:
        self._fields = {
            "id": start.id,
            "object": "text_completion",
            "created": start.created or 0,
            "model": start.model or self._model,
        }
        for field, value in own_extensions(start.extensions, PROTOCOL_ID).items():
            self._fields.setdefault(field, value)

    def _text(self, choice: int, text: str, logprobs: list[Json] | None) -> bytes:
        written = self._written.setdefault(choice, 0)
        if not text and not logprobs:
            return b""
        self._written[choice] += len(text)
        return self._chunk(
            {
                "text": text,
                "index": choice,
                "logprobs": encode_logprobs(logprobs, written),
                "finish_reason": None,
            }
        )

    def _finish_choice(self, choice: int, finish: Finish | None) -> bytes:
        if choice in self._finished:
            return b""
        self._finished.add(choice)
        return self._chunk({"text": "", "index": choice, "logprobs": None, **encode_finish(finish)})

    def _chunk(self, choice: Wire) -> bytes:
        chunk: Wire = {**self._fields, "choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        return write_event(_encode(chunk))
