"""Events → a client's stream, in the order the SDKs and Claude Code expect.

``message_start``, then per block ``content_block_start``, deltas and ``content_block_stop`` without
overlap and with consecutive indices, then one ``message_delta`` with the stop reason and the final
usage, then ``message_stop``. Source: ``anthropic.lib.streaming._messages`` (what its accumulator
needs: an ``event:`` line on every event, ``input`` and ``thinking`` empty at the start).
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.collect import append_text
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
from dragoman.canonical.parts import (
    Json,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    own_extensions,
)
from dragoman.canonical.request import Request
from dragoman.canonical.response import Choice, Finish
from dragoman.canonical.serialize import Serializer
from dragoman.canonical.signature import Signature, for_client
from dragoman.canonical.usage import Usage
from dragoman.protocols.anthropic_messages.blocks import JSON
from dragoman.protocols.anthropic_messages.errors import encode_stream_error
from dragoman.protocols.anthropic_messages.finish import encode_finish
from dragoman.protocols.anthropic_messages.parts import WireBlock
from dragoman.protocols.anthropic_messages.response import (
    UNNAMED,
    call_signature,
    encode_part,
    finish_extras,
    write,
)
from dragoman.protocols.anthropic_messages.types import PROTOCOL_ID
from dragoman.protocols.anthropic_messages.usage import encode_usage
from dragoman.wire.sse import write_event

_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_IN_DELTA = ("container", "stop_details")
"""Fields of the end that stand in ``message_delta.delta``, the others beside it."""

_SUFFIX = b"}}\n\n"
_TEXT_DELTA = ("text_delta", "text")
_JSON_DELTA = ("input_json_delta", "partial_json")
_THINKING_DELTA = ("thinking_delta", "thinking")


class _Live(msgspec.Struct):
    """The part that is being written. ``prefix`` and ``_SUFFIX`` frame each delta; ``held`` is a part
    that can only be written whole, when it ends."""

    index: int
    prefix: bytes = b""
    thinking: bool = False
    signature: Signature | None = None
    held: Part | None = None
    pieces: list[str] = []


class MessagesEncoder:
    """Encodes one answer to ``request``."""

    def __init__(self, request: Request) -> None:
        self._model = request.model
        self._serializer = Serializer()
        self._start: Start | None = None
        self._begun = False
        self._blocks = 0
        self._live: _Live | None = None
        self._other_choices: set[int] = set()
        self._called = False
        self._refused = False
        self._usage: Usage | None = None
        self._finish: Finish | None = None

    def feed(self, event: Event) -> bytes:
        """Bytes for one event; may be empty."""
        live = self._live
        if isinstance(event, PartDelta) and live is not None and live.index == event.index:
            return self._delta(live, event)
        match event:
            case PartStart(choice=choice) if choice:
                # There is one answer in this protocol; the others cannot be shown.
                self._other_choices.add(event.index)
                return b""
            case PartDelta() | PartEnd() if event.index in self._other_choices:
                return b""
            case UsageUpdate():
                self._usage = event.usage
                return b""
            case Finished():
                self._finish = self._finish if event.choice else event.finish
                return b""
            case Start():
                # Held back until content comes, so that it can tell the input tokens.
                self._start = event
                return b""
            case _:
                return b"".join(map(self._write, self._serializer.feed(event)))

    def finish(self) -> bytes:
        """Closing bytes, stop reason included."""
        out = [self._write(event) for event in self._serializer.finish()]
        out.append(self._begin())
        word, stop_sequence = encode_finish(
            self._finish, called=self._called, refused=self._refused
        )
        extras = finish_extras(Choice(finish=self._finish))
        usage = encode_usage(self._usage, None, extras.pop("usage", None))
        delta: dict[str, Json] = {"stop_reason": word, "stop_sequence": stop_sequence}
        delta |= {field: extras.pop(field) for field in _IN_DELTA if field in extras}
        out.append(_event("message_delta", delta=delta, usage=usage, **extras))
        out.append(_event("message_stop"))
        return b"".join(out)

    def error(self, error: GatewayError) -> bytes:
        """The in-stream error; the SDKs raise on it wherever it comes."""
        return encode_stream_error(error)

    def ping(self) -> bytes:
        """The protocol's own keep-alive; it may come before everything else."""
        return _PING

    def _write(self, event: Event) -> bytes:
        match event:
            case PartDelta() if self._live is not None:
                return self._delta(self._live, event)
            case PartStart():
                return self._begin() + self._start_part(event)
            case PartEnd() if self._live is not None:
                live, self._live = self._live, None
                return self._end_part(live)
            case _:
                return b""

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        start = self._start or Start()
        message = {
            "id": start.id or UNNAMED,
            "type": "message",
            "role": "assistant",
            "model": start.model or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": encode_usage(self._usage, start.service_tier),
            **own_extensions(start.extensions, PROTOCOL_ID),
        }
        return _event("message_start", message=message)

    def _start_part(self, event: PartStart) -> bytes:
        part = event.part
        extras = dict(own_extensions(part.extensions, PROTOCOL_ID))
        match part:
            case Text() | Refusal():
                self._refused = self._refused or isinstance(part, Refusal)
                citations = extras.get("citations")
                if citations is not None:
                    extras["citations"] = []
                block = {"type": "text", "text": "", **extras}
                return self._open(event.index, block, _TEXT_DELTA, part.text) + self._cited(
                    citations
                )
            case ToolCall(custom=False):
                self._called = True
                signed = b"".join(self._whole(block) for block in call_signature(part))
                block = {
                    "type": "tool_use",
                    "id": part.id,
                    "name": part.name,
                    "input": {},
                    **extras,
                }
                return signed + self._open(event.index, block, _JSON_DELTA, part.arguments)
            case Reasoning(redacted=False):
                block = {"type": "thinking", "thinking": "", "signature": "", **extras}
                out = self._open(event.index, block, _THINKING_DELTA, part.text)
                assert self._live is not None
                self._live.thinking, self._live.signature = True, part.signature
                return out
            case _:
                self._live = _Live(event.index, held=msgspec.structs.replace(part))
                return b""

    def _open(self, index: int, block: WireBlock, delta: tuple[str, str], text: str) -> bytes:
        """Start a block that grows, with the text that it starts with."""
        kind, field = delta
        prefix = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"%b","%b":' % (self._blocks, kind.encode(), field.encode())
        )
        self._live = _Live(index, prefix)
        out = _event("content_block_start", index=self._blocks, content_block=block)
        return out + prefix + JSON.encode(text) + _SUFFIX if text else out

    def _delta(self, live: _Live, event: PartDelta) -> bytes:
        if event.signature is not None:
            live.signature = event.signature
        if live.held is not None:
            live.pieces.append(event.text)
            return b""
        out = live.prefix + JSON.encode(event.text) + _SUFFIX if event.text else b""
        if event.extensions:
            out += self._cited(own_extensions(event.extensions, PROTOCOL_ID).get("citations"))
        return out

    def _cited(self, citations: Json) -> bytes:
        if not isinstance(citations, list):
            return b""
        return b"".join(
            self._block_delta({"type": "citations_delta", "citation": citation})
            for citation in citations
        )

    def _end_part(self, live: _Live) -> bytes:
        if live.held is not None:
            append_text(live.held, "".join(live.pieces))
            if isinstance(live.held, Reasoning) and live.signature is not None:
                live.held.signature = live.signature
            return b"".join(self._whole(block) for block in encode_part(live.held))
        signed = b""
        if live.signature is not None and live.thinking:
            value = for_client(live.signature, PROTOCOL_ID)
            signed = self._block_delta({"type": "signature_delta", "signature": value})
        return signed + self._stop()

    def _whole(self, block: WireBlock) -> bytes:
        """A block that is known entirely, written as the vendor would have streamed it."""
        kind = block["type"]
        growing: tuple[str, Any] | None = None
        if kind == "text":
            growing = ("text", {"type": "text_delta", "text": block["text"]})
            block = {**block, "text": ""}
        elif isinstance(block.get("input"), dict):
            self._called = self._called or kind == "tool_use"
            text = write(block["input"]).decode()
            growing = ("input", {"type": "input_json_delta", "partial_json": text})
            block = {**block, "input": {}}
        out = _event("content_block_start", index=self._blocks, content_block=block)
        if growing is not None:
            out += self._block_delta(growing[1])
        return out + self._stop()

    def _block_delta(self, delta: dict[str, Json]) -> bytes:
        return _event("content_block_delta", index=self._blocks, delta=delta)

    def _stop(self) -> bytes:
        out = _event("content_block_stop", index=self._blocks)
        self._blocks += 1
        return out


def _event(kind: str, **fields: Json) -> bytes:
    return write_event(write({"type": kind, **fields}), kind)
