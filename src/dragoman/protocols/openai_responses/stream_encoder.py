"""Canonical events → the event stream that a client reads.

One output item per part, in the order in which the parts began; neighbouring texts share a message.
Items may overlap: their ``output_index`` tells them apart. The Python SDK's stream helper wants
``response.created`` first and ``response.completed`` last; Codex reads ``response.output_item.done``
and ``response.completed``. Sources: ``openai.lib.streaming.responses``, and what both tolerate
(measured November 2026).
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.carry import signature_apart
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
from dragoman.canonical.parts import Part, Reasoning, ToolCall
from dragoman.canonical.request import Request
from dragoman.canonical.response import Finish, FinishReason
from dragoman.protocols.openai_responses import marks
from dragoman.protocols.openai_responses.errors import error_event, failed_object
from dragoman.protocols.openai_responses.items import is_content
from dragoman.protocols.openai_responses.output import OutputEncoder
from dragoman.protocols.openai_responses.response import ResponseWriter
from dragoman.protocols.openai_responses.stream_parts import (
    CallStream,
    ContentStream,
    ItemStream,
    Message,
    PartStream,
    ReasoningStream,
    Wire,
)
from dragoman.protocols.openai_responses.usage import encode_usage

_TERMINAL = {"incomplete": "response.incomplete", "failed": "response.failed"}


class ResponsesStreamEncoder:
    """Writes one stream; see ``protocols.base.StreamEncoder``."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._wire = Wire()
        self._writer: ResponseWriter | None = None
        self._output = OutputEncoder(request, "")
        self._open: dict[int, PartStream] = {}
        self._message: Message | None = None
        self._items = 0
        self._calls = False
        self._usage: dict[str, Any] | None = None
        self._finish: Finish | None = None

    def feed(self, event: Event) -> bytes:
        """Bytes for one event; may be empty."""
        match event:
            case PartDelta():
                stream = self._open.get(event.index)
                return b"" if stream is None else stream.delta(event)
            case PartStart():
                return self._part(event) if event.choice == 0 else b""
            case PartEnd():
                return self._end(event.index)
            case Start():
                return self._begin(event)
            case UsageUpdate():
                self._usage = encode_usage(event.usage)
            case Finished():
                if event.choice == 0:
                    self._finish = event.finish
        return b""

    def finish(self) -> bytes:
        """What is still open, closed, and the whole response."""
        out = [self._begin(Start()), *(self._end(index) for index in list(self._open))]
        out.append(self._retire())
        assert self._writer is not None
        ended = FinishReason.TOOL_CALLS if self._calls else FinishReason.STOP
        finish = self._finish or Finish(reason=ended)
        response = self._writer.final(finish, self._wire.output(), self._usage)
        kind = _TERMINAL.get(response["status"], "response.completed")
        out.append(self._wire.event(kind, {"response": response}))
        return b"".join(out)

    def error(self, error: GatewayError) -> bytes:
        """``response.failed``, at which Codex stops, and ``error``, at which the SDKs raise."""
        begun = self._begin(Start())
        assert self._writer is not None
        response = self._writer.object(
            "failed", self._wire.output(), self._usage, failed_object(error)
        )
        failed = self._wire.event("response.failed", {"response": response})
        event = error_event(error, self._wire.next())
        return begun + failed + self._wire.raw("error", event)

    def ping(self) -> bytes:
        """A comment; every measured client skips it."""
        return b": ping\n\n"

    def _begin(self, start: Start) -> bytes:
        if self._writer is not None:
            return b""
        native = marks.born_here(start.extensions)
        writer = ResponseWriter(self._request, start.id, start.model, native=native)
        writer.created = start.created
        writer.service_tier = start.service_tier
        self._writer = writer
        self._output = OutputEncoder(self._request, writer.id)
        response = msgspec.Raw(self._wire.encode(writer.object("in_progress", [])))
        return self._wire.event("response.created", {"response": response}) + self._wire.event(
            "response.in_progress", {"response": response}
        )

    def _part(self, event: PartStart) -> bytes:
        part = msgspec.structs.replace(event.part)
        begun = self._begin(Start())
        if is_content(part):
            return begun + self._content(event.index, part)
        *apart, part = signature_apart(part)
        for carrier in apart:
            whole = self._item(carrier)
            assert whole is not None
            self._items += 1
            begun += self._retire() + whole.start() + whole.end()
        stream = self._item(part)
        if stream is None:
            return begun
        self._items += 1
        self._open[event.index] = stream
        return begun + self._retire() + stream.start()

    def _item(self, part: Part) -> PartStream | None:
        at = self._items
        if isinstance(part, ToolCall):
            self._calls = True
            return CallStream(self._wire, self._output, part, at)
        if isinstance(part, Reasoning):
            return ReasoningStream(self._wire, self._output, part, at)
        if self._output.item(part, at) is None:
            return None
        return ItemStream(self._wire, self._output, part, at)

    def _content(self, index: int, part: Part) -> bytes:
        opening = b""
        message = self._message
        if message is None or marks.ITEM in marks.own(part.extensions):
            opening = self._retire()
            message = self._message = Message(self._wire, self._output, part, self._items)
            self._items += 1
            opening += message.start()
        stream = ContentStream(self._wire, self._output, part, message)
        self._open[index] = stream
        return opening + stream.start()

    def _end(self, index: int) -> bytes:
        stream = self._open.pop(index, None)
        return b"" if stream is None else stream.end()

    def _retire(self) -> bytes:
        """No more parts join the message that is open, if any."""
        message, self._message = self._message, None
        return b"" if message is None else message.retire()
