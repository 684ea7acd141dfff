"""An upstream's stream → events.

Source: ``anthropic.types.raw_message_stream_event`` and its beta;
platform.claude.com/docs/en/build-with-claude/streaming. Unknown events are skipped, as the vendor's
versioning policy asks. Compatible servers omit ``event:`` lines, the message's start, a block's start,
an index or ``message_stop``, and add ``[DONE]``; all of that is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.events import (
    Event,
    Finished,
    PartDelta,
    PartEnd,
    PartStart,
    Start,
    UsageUpdate,
)
from dragoman.canonical.parts import Json, Opaque, Part, Reasoning, Text, ToolCall
from dragoman.canonical.signature import Origin, Signature
from dragoman.protocols.anthropic_messages.blocks import MissingField, decode_block, own
from dragoman.protocols.anthropic_messages.errors import error_from_body
from dragoman.protocols.anthropic_messages.finish import decode_finish
from dragoman.protocols.anthropic_messages.parts import CUSTOM_INPUT
from dragoman.protocols.anthropic_messages.response import (
    end_extras,
    signature_reader,
    start_extras,
)
from dragoman.protocols.anthropic_messages.types import (
    OBJECT,
    BlockStart,
    Delta,
    MessageStart,
    StreamEvent,
    UsageIn,
    leftovers,
)
from dragoman.protocols.anthropic_messages.usage import (
    decode_tier,
    decode_usage,
    merge_usage,
    usage_rest,
)
from dragoman.protocols.streams import SSEStreamDecoder
from dragoman.protocols.wire_json import read_upstream
from dragoman.wire.sse import SSEEvent

_EVENT = msgspec.json.Decoder(StreamEvent)
_MESSAGE_START = msgspec.json.Decoder(MessageStart)
_BLOCK_START = msgspec.json.Decoder(BlockStart)

_DONE = b"[DONE]"
_DELTA_KNOWN = frozenset({"stop_reason", "stop_sequence"})
_DELTA_EVENT_KNOWN = frozenset({"type", "delta", "usage", "index"})


class _Open(msgspec.Struct):
    """A block that has begun. ``arguments`` is what a tool call's are if no delta brings any.
    ``held`` is an opaque block in the making, which goes out whole when it ends."""

    index: int
    arguments: str | None = None
    held: dict[str, Json] | None = None
    pieces: list[str] = []


class MessagesDecoder(SSEStreamDecoder):
    """Decodes one stream from ``origin``."""

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self.kind = ""
        """The type of the latest event."""
        self._origin = origin
        self._read = signature_reader(origin)
        self._started = False
        self._count = 0
        self._open: dict[int, _Open] = {}
        self._latest = 0
        self._called = False
        self._usage = UsageIn()
        self._usage_rest: dict[str, Json] = {}
        self._delta: Delta | None = None
        self._extras: dict[str, Json] = {}

    def on_event(self, event: SSEEvent) -> list[Event]:
        """Read one server-sent event; raises what an ``error`` event stands for."""
        data = event.data
        if not data or self._ended:
            return []
        if data == _DONE:
            self.kind = ""
            return [] if self._delta is None else self._close()
        wire = read_upstream(data, _EVENT, "stream")
        self.kind = wire.type or event.event
        if self.kind == "content_block_delta":
            return self._block_delta(wire, data)
        if self.kind == "error" or (wire.error is not None and not wire.type):
            raise error_from_body(read_upstream(data, OBJECT, "stream"))
        handler = _HANDLERS.get(self.kind)
        return [] if handler is None else handler(self, wire, data)

    def on_finish(self) -> list[Event]:
        """Close an answer whose stop reason has come; raises UpstreamBroken for any other."""
        if self._ended:
            return []
        if self._delta is None:
            raise UpstreamBroken("The upstream's stream ended before its answer did.")
        return self._close()

    def _message_start(self, wire: StreamEvent, data: bytes) -> list[Event]:
        message = read_upstream(data, _MESSAGE_START, "stream").message
        document = read_upstream(data, OBJECT, "stream")["message"]
        events: list[Event] = []
        if not self._started:
            self._started = True
            start = Start(
                id=message.id or "",
                model=message.model or "",
                service_tier=decode_tier(message.usage),
                extensions=own(start_extras(document)),
            )
            events.append(start)
        self._extras |= {
            field: value for field, value in end_extras(document).items() if field != "usage"
        }
        return events + self._seen_usage(message.usage, document.get("usage"))

    def _block_start(self, wire: StreamEvent, data: bytes) -> list[Event]:
        read_upstream(data, _BLOCK_START, "stream")
        block = read_upstream(data, OBJECT, "stream")["content_block"]
        place = self._count if wire.index is None else wire.index
        events = self._begin() + self._end_block(place)
        try:
            part = decode_block(block, self._read)
        except MissingField as error:
            raise UpstreamBroken(
                f"A block of the upstream's stream lacks '{error.path}'."
            ) from None
        except RecursionError:
            raise UpstreamBroken("The upstream's stream is nested too deeply.") from None
        return events + self._open_part(place, part)

    def _open_part(self, place: int, part: Part) -> list[Event]:
        entry = _Open(self._count)
        self._count += 1
        self._open[place] = entry
        self._latest = place
        if isinstance(part, Opaque):
            entry.held = part.value
            return []
        if isinstance(part, ToolCall):
            # The input of a block's start is empty, unless the whole call is in it.
            self._called = True
            entry.arguments, part.arguments = part.arguments, ""
        return [PartStart(entry.index, part)]

    def _block_delta(self, wire: StreamEvent, data: bytes) -> list[Event]:
        delta = wire.delta
        if delta is None:
            return []
        entry = self._open.get(self._latest if wire.index is None else wire.index)
        if entry is None:
            part = _IMPLIED.get(delta.type or "")
            if part is None:
                return []
            place = self._count if wire.index is None else wire.index
            events = self._begin() + self._open_part(place, part())
            return events + self._grow(self._open[place], delta, data)
        return self._grow(entry, delta, data)

    def _grow(self, entry: _Open, delta: Delta, data: bytes) -> list[Event]:
        if entry.held is not None:
            _grow_held(entry, entry.held, read_upstream(data, OBJECT, "stream")["delta"])
            return []
        text: str | None
        match delta.type:
            case "text_delta":
                text = delta.text
            case "thinking_delta":
                text = delta.thinking
            case "input_json_delta":
                text = delta.partial_json
                if text:
                    entry.arguments = None
            case "signature_delta" if delta.signature:
                return [PartDelta(entry.index, signature=Signature(delta.signature, self._origin))]
            case "citations_delta":
                citation = read_upstream(data, OBJECT, "stream")["delta"].get("citation")
                return [PartDelta(entry.index, extensions=own({"citations": [citation]}))]
            case _:
                return []
        return [PartDelta(entry.index, text)] if text else []

    def _block_stop(self, wire: StreamEvent, data: bytes) -> list[Event]:
        return self._end_block(self._latest if wire.index is None else wire.index)

    def _end_block(self, place: int) -> list[Event]:
        entry = self._open.pop(place, None)
        if entry is None:
            return []
        if entry.held is not None:
            if entry.pieces:
                entry.held["input"] = _object("".join(entry.pieces))
            held = decode_block(entry.held, self._read)
            return [PartStart(entry.index, held), PartEnd(entry.index)]
        if entry.arguments is not None:
            return [PartDelta(entry.index, entry.arguments), PartEnd(entry.index)]
        return [PartEnd(entry.index)]

    def _message_delta(self, wire: StreamEvent, data: bytes) -> list[Event]:
        document = read_upstream(data, OBJECT, "stream")
        delta = wire.delta
        if delta is not None:
            self._extras |= leftovers(document["delta"], _DELTA_KNOWN)
            if delta.stop_reason is not None:
                self._delta = delta
        self._extras |= leftovers(document, _DELTA_EVENT_KNOWN)
        return self._begin() + self._seen_usage(wire.usage, document.get("usage"))

    def _seen_usage(self, usage: UsageIn | None, document: Json) -> list[Event]:
        if usage is None:
            return []
        self._usage = merge_usage(self._usage, usage)
        self._usage_rest |= usage_rest(document)
        return [UsageUpdate(decode_usage(self._usage))]

    def _message_stop(self, wire: StreamEvent, data: bytes) -> list[Event]:
        return self._begin() + self._close()

    def _close(self) -> list[Event]:
        self._ended = True
        events: list[Event] = []
        for place in list(self._open):
            events += self._end_block(place)
        delta = self._delta or Delta()
        extras = self._extras
        if self._usage_rest:
            extras = {**extras, "usage": self._usage_rest}
        finish = decode_finish(
            delta.stop_reason, delta.stop_sequence, called=self._called, extras=extras
        )
        events.append(Finished(finish))
        return events

    def _begin(self) -> list[Event]:
        if self._started:
            return []
        self._started = True
        return [Start()]


def _grow_held(entry: _Open, held: dict[str, Json], delta: dict[str, Any]) -> None:
    """Add a delta to an opaque block: tool input is collected, other text grows in its field (as
    ``compaction_delta`` does), anything else replaces what was there."""
    for field, value in delta.items():
        if field == "partial_json":
            entry.pieces.append(str(value))
        elif field != "type" and value is not None:
            known = held.get(field)
            both = isinstance(known, str) and isinstance(value, str)
            held[field] = known + value if both else value


def _object(text: str) -> dict[str, Any]:
    try:
        return OBJECT.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {CUSTOM_INPUT: text}


_IMPLIED: dict[str, Callable[[], Part]] = {
    "text_delta": lambda: Text(text=""),
    "thinking_delta": Reasoning,
    "signature_delta": Reasoning,
}
"""What a delta belongs to whose block was never started."""

_HANDLERS: dict[str, Callable[[MessagesDecoder, StreamEvent, bytes], list[Event]]] = {
    "message_start": MessagesDecoder._message_start,
    "content_block_start": MessagesDecoder._block_start,
    "content_block_stop": MessagesDecoder._block_stop,
    "message_delta": MessagesDecoder._message_delta,
    "message_stop": MessagesDecoder._message_stop,
}
