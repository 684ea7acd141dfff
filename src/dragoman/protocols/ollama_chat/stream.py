"""Streamed ``/api/chat`` answers: one JSON object per line, the last with ``done``.

Text and thinking come in pieces, tool calls whole. Fields that are not understood are kept from the
first and the last line only; the ones in between repeat them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.collect import append_text
from dragoman.canonical.errors import GatewayError, UpstreamBroken
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
    Json,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from dragoman.canonical.request import Request
from dragoman.canonical.response import Finish
from dragoman.canonical.signature import Origin
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import Parsed
from dragoman.protocols.ollama_chat.errors import error_body, in_band_error
from dragoman.protocols.ollama_chat.response import (
    UNKNOWN_TIME,
    call_part,
    created_seconds,
    created_text,
    finish_of,
    last_fields,
    line_extensions,
    usage_of,
    wire_call,
)
from dragoman.protocols.ollama_chat.types import ChatAnswer, ChatMessage, image_type
from dragoman.protocols.wire_json import read_upstream
from dragoman.wire.errors import FramingError
from dragoman.wire.ndjson import LineReader

_line = msgspec.json.Decoder(ChatAnswer)
_object = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


class Decoder:
    """Lines → events."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._reader = LineReader()
        self._started = False
        self._ended = False
        self._seed = ""
        self._parts = 0
        self._calls = 0
        self._open: type[Reasoning] | type[Text] | None = None

    @property
    def ended(self) -> bool:
        """The line with ``done`` has come."""
        return self._ended

    def feed(self, chunk: bytes) -> list[Event]:
        """Events completed by ``chunk``. Raises the error that a line holds, or UpstreamBroken."""
        events: list[Event] = []
        for line in read_lines(self._reader, chunk):
            events += self.on_line(line)
        return events

    def finish(self) -> list[Event]:
        """Events of a last line without newline; UpstreamBroken if ``done`` never came."""
        events: list[Event] = []
        for line in self._reader.finish():
            events += self.on_line(line)
        self.on_finish()
        return events

    def on_finish(self) -> None:
        """Raises UpstreamBroken if the stream was cut short."""
        if not self._ended:
            raise UpstreamBroken("The upstream's stream ended before its last line.")

    def on_line(self, line: bytes) -> list[Event]:
        """Read one line."""
        if self._ended:
            return []
        answer = read_upstream(line, _line, "stream")
        if answer.error is not None:
            raise in_band_error(answer.error)
        events: list[Event] = []
        if not self._started:
            self._start(answer, line, events)
        if answer.message is not None:
            self._message(answer.message, answer.logprobs, events)
        if answer.done or answer.done_reason:
            self._done(answer, line, events)
        return events

    def _start(self, answer: ChatAnswer, line: bytes, events: list[Event]) -> None:
        self._started = True
        self._seed = answer.created_at or ""
        events.append(
            Start(
                model=answer.model or self._origin.model,
                created=created_seconds(answer.created_at),
                extensions=line_extensions(read_upstream(line, _object, "stream")),
            )
        )

    def _message(
        self, message: ChatMessage, logprobs: list[Json] | None, events: list[Event]
    ) -> None:
        if message.thinking:
            if self._open is not Reasoning:
                self._begin(Reasoning(), events)
            events.append(PartDelta(self._parts, message.thinking))
        if message.content:
            if self._open is not Text:
                self._begin(Text(text=""), events)
            events.append(PartDelta(self._parts, message.content))
        if logprobs and self._open is not None:
            # Ollama gives the probabilities of thinking tokens, too, in the same list.
            events.append(PartDelta(self._parts, logprobs=logprobs))
        for data in message.images or ():
            self._whole(Media(kind="image", media_type=image_type(data), data=data), "", events)
        for call in message.tool_calls or ():
            part = call_part(call, self._calls, self._seed)
            self._calls += 1
            arguments, part.arguments = part.arguments, ""
            self._whole(part, arguments, events)

    def _done(self, answer: ChatAnswer, line: bytes, events: list[Event]) -> None:
        self._end(events)
        usage = usage_of(answer)
        if usage is not None:
            events.append(UsageUpdate(usage))
        raw = read_upstream(line, _object, "stream")
        events.append(Finished(finish_of(answer, raw, calls=self._calls > 0)))
        self._ended = True

    def _begin(self, part: Reasoning | Text, events: list[Event]) -> None:
        self._end(events)
        self._open = type(part)
        events.append(PartStart(self._parts, part))

    def _end(self, events: list[Event]) -> None:
        if self._open is not None:
            events.append(PartEnd(self._parts))
            self._parts += 1
            self._open = None

    def _whole(self, part: Part, text: str, events: list[Event]) -> None:
        self._end(events)
        events.append(PartStart(self._parts, part))
        if text:
            events.append(PartDelta(self._parts, text))
        events.append(PartEnd(self._parts))
        self._parts += 1


def read_lines(reader: LineReader, chunk: bytes) -> list[bytes]:
    """The lines completed by ``chunk``. Raises UpstreamBroken for an endless one."""
    try:
        return reader.feed(chunk)
    except FramingError as error:
        raise UpstreamBroken(f"The upstream's stream is not readable: {error}.") from None


class Relay:
    """Forwards lines untouched and lets a decoder look at each."""

    def __init__(self, parsed: Parsed, origin: Origin) -> None:
        self._decoder = Decoder(origin)
        self._reader = LineReader()
        self._deferred: GatewayError | None = None

    @property
    def ended(self) -> bool:
        """The line with ``done`` has come."""
        return self._decoder.ended

    def feed(self, chunk: bytes) -> tuple[bytes, list[Event]]:
        """(bytes for the client, events); an in-stream error is raised by the next call."""
        self._raise_deferred()
        return self._forward(read_lines(self._reader, chunk))

    def finish(self) -> tuple[bytes, list[Event]]:
        """(closing bytes, events); raises UpstreamBroken if the stream was cut short."""
        self._raise_deferred()
        data, events = self._forward(self._reader.finish())
        self._raise_deferred()
        self._decoder.on_finish()
        return data, events

    def error(self, error: GatewayError) -> bytes | None:
        """As StreamRelay.error: a line of its own, as the encoder writes it."""
        return None

    def _forward(self, lines: list[bytes]) -> tuple[bytes, list[Event]]:
        out: list[bytes] = []
        events: list[Event] = []
        for line in lines:
            try:
                events += self._decoder.on_line(line)
            except GatewayError as error:
                self._deferred = error
                break
            out.append(line + b"\n")
        return b"".join(out), events

    def _raise_deferred(self) -> None:
        if self._deferred is not None:
            error, self._deferred = self._deferred, None
            raise error


class Encoder:
    """Events → lines. Text, thinking and refusals go out as they come, calls and images when whole.
    Ollama has one choice per answer; events of others are left out."""

    def __init__(self, request: Request) -> None:
        self._start = Start(model=request.model)
        self._model = request.model
        self._head = b""
        self._parts: dict[int, Part] = {}
        self._calls = 0
        self._usage: Usage | None = None
        self._finish: Finish | None = None

    def feed(self, event: Event) -> bytes:
        """The line for one event; empty while there is nothing to say."""
        match event:
            case PartDelta():
                return self._delta(event)
            case PartStart(choice=0):
                return self._begin(event)
            case PartEnd():
                return self._end(self._parts.pop(event.index, None))
            case UsageUpdate():
                self._usage = event.usage
            case Finished(choice=0):
                self._finish = event.finish
            case Start():
                self._start = event
            case _:
                pass
        return b""

    def finish(self) -> bytes:
        """The last line, with the finish reason and the usage; what was left open is closed."""
        rest = b"".join(self._end(self._parts.pop(index)) for index in list(self._parts))
        fields = last_fields(self._finish, self._usage)
        return rest + self._line(b'{"role":"assistant","content":""}', _encode(fields)[1:-1])

    def error(self, error: GatewayError) -> bytes:
        """Official clients raise on a line with ``error``."""
        return error_body(error) + b"\n"

    def ping(self) -> bytes:
        """There is no keep-alive: clients parse every line as an answer."""
        return b""

    def _begin(self, event: PartStart) -> bytes:
        part = msgspec.structs.replace(event.part)
        self._parts[event.index] = part
        match part:
            case Text() | Refusal() | Reasoning() if part.text:
                return self._text(part, part.text)
            case _:
                return b""

    def _delta(self, event: PartDelta) -> bytes:
        match part := self._parts.get(event.index):
            case Text() | Refusal() | Reasoning():
                return self._text(part, event.text, event.logprobs)
            case None:
                return b""
            case _:
                append_text(part, event.text)
                return b""

    def _text(self, part: Part, text: str, logprobs: list[Json] | None = None) -> bytes:
        if not text and not logprobs:
            return b""
        if isinstance(part, Reasoning):
            message = b'{"role":"assistant","content":"","thinking":' + _encode(text) + b"}"
        else:
            message = b'{"role":"assistant","content":' + _encode(text) + b"}"
        tail = b'"done":false'
        if logprobs:
            tail += b',"logprobs":' + _encode(logprobs)
        return self._line(message, tail)

    def _end(self, part: Part | None) -> bytes:
        match part:
            case ToolCall():
                field = b'"tool_calls":' + _encode([wire_call(part, self._calls)])
                self._calls += 1
            case Media(kind="image", data=str(data)):
                field = b'"images":' + _encode([data])
            case _:
                return b""
        return self._line(b'{"role":"assistant","content":"",' + field + b"}", b'"done":false')

    def _line(self, message: bytes, tail: bytes) -> bytes:
        if not self._head:
            created = created_text(self._start.created, self._start.extensions)
            self._head = (
                b'{"model":'
                + _encode(self._start.model or self._model)
                + b',"created_at":'
                + _encode(created or UNKNOWN_TIME)
                + b',"message":'
            )
        return self._head + message + b"," + tail + b"}\n"
