"""Streams of answers: events out of Google's bytes, bytes for Google's clients, and untouched relay.

Google's Python SDK and the Gemini CLI die of SSE comments and of ``data:`` without a space, so there
are neither ``event:`` lines nor keep-alives nor ``[DONE]`` (google-genai 3.4, Gemini CLI 0.61).
"""

from __future__ import annotations

from typing import Any, Literal, TypeGuard

import msgspec

from dragoman.canonical.collect import append_text, merge_extensions
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
from dragoman.canonical.parts import Json, Part, Reasoning, Refusal, Text
from dragoman.canonical.request import Request
from dragoman.canonical.response import Finish, FinishReason
from dragoman.canonical.serialize import Serializer
from dragoman.canonical.signature import Origin, for_client
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import Parsed
from dragoman.protocols.gemini_generate.answer import AnswerReader
from dragoman.protocols.gemini_generate.errors import error_value
from dragoman.protocols.gemini_generate.framing import FrameReader
from dragoman.protocols.gemini_generate.logprobs import write_logprobs
from dragoman.protocols.gemini_generate.parts import own_fields
from dragoman.protocols.gemini_generate.response import (
    READER,
    about_answer,
    identity,
    is_block,
    write_candidate,
    write_part,
)
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID
from dragoman.protocols.streams import SSERelay, SSEStreamDecoder
from dragoman.wire.sse import SSEEvent, write_event

Framing = Literal["sse", "json_array", "ndjson"]

_Growing = Text | Reasoning | Refusal

_ENCODER = msgspec.json.Encoder()
_DONE = b"[DONE]"


class Decoder(SSEStreamDecoder):
    """Upstream bytes → events. There is no terminal marker: the stream ends when it ends."""

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self._reader = FrameReader()
        self._answer = AnswerReader(origin)

    def on_event(self, event: SSEEvent) -> list[Event]:
        """Read one chunk. Raises the error that it holds."""
        data = payload(event)
        return [] if data is None else self._answer.chunk(READER.upstream(data, "stream"))

    def on_finish(self) -> list[Event]:
        """Close the answer. Raises UpstreamBroken if Google never said why it ended."""
        if not self._answer.complete:
            raise UpstreamBroken("The upstream's stream ended without a finish reason.")
        self._ended = True
        return self._answer.finish()


def payload(event: SSEEvent) -> bytes | None:
    """The chunk in a server-sent event. An error may stand bare between the events, line by line."""
    data = event.data
    if data is None:
        raw = event.raw.strip()
        return raw if raw.startswith(b"{") else None
    return None if not data.strip() or data == _DONE else data


class Framer:
    """Puts chunks into the framing that the client asked for."""

    def __init__(self, framing: Framing) -> None:
        self._is_array = framing == "json_array"
        self._begun = False

    def chunk(self, data: bytes) -> bytes:
        """One chunk, which is a line of JSON."""
        if not self._is_array:
            return write_event(data)
        opening = b",\n" if self._begun else b"["
        self._begun = True
        return opening + data

    def close(self) -> bytes:
        """What ends the framing."""
        if not self._is_array:
            return b""
        return b"]" if self._begun else b"[]"


class Relay(SSERelay):
    """Forwards chunks untouched, in the framing that the client asked for."""

    def __init__(self, decoder: Decoder, framing: Framing) -> None:
        super().__init__(decoder)
        self._reader = FrameReader()
        self._framer = Framer(framing) if framing == "json_array" else None

    def rewrite(self, event: SSEEvent, events: list[Event]) -> bytes:
        """The event as it came, unless it is none that Google's clients could read."""
        data = payload(event)
        if data is None:
            return b""
        return event.raw if self._framer is None else self._framer.chunk(data)

    def closing(self, events: list[Event]) -> bytes:
        """The end of the array."""
        return b"" if self._framer is None else self._framer.close()

    def error(self, error: GatewayError) -> bytes | None:
        """The error in place of the next chunk: an array that was begun must stay an array."""
        if self._framer is None:
            return None
        return self._framer.chunk(_ENCODER.encode(error_value(error))) + self._framer.close()


def stream_relay(parsed: Parsed, origin: Origin) -> Relay:
    """The relay for a client of this protocol."""
    return Relay(Decoder(origin), parsed.target.framing)


class Encoder:
    """Events → chunks. Texts go out as they grow; every other part goes out whole, when it ends."""

    def __init__(self, request: Request) -> None:
        self._framer = Framer(request.stream_options.framing)
        self._identity: dict[str, Any] = {}
        self._service_tier: str | None = None
        self._choice_of: dict[int, int] = {}
        self._lanes: dict[int, Serializer] = {}  # parts of one choice must not overlap
        self._live: dict[int, _Growing] = {}
        self._whole: dict[int, Part] = {}
        self._signatures: dict[int, str] = {}
        self._logprobs: dict[int, list[Json]] = {}  # per choice, until there is a text to go with
        self._finishes: dict[int, Finish] = {}
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        """Bytes for one event; may be empty."""
        match event:
            case PartDelta(index=index) | PartEnd(index=index):
                choice = self._choice_of.get(index)
                return b"" if choice is None else self._in_order(choice, event)
            case PartStart():
                self._choice_of[event.index] = event.choice
                self._lanes.setdefault(event.choice, Serializer())
                return self._in_order(event.choice, event)
            case UsageUpdate():
                self._usage = event.usage
            case Finished():
                self._finishes[event.choice] = event.finish
            case Start():
                self._identity = identity(event.id, event.model, event.created)
                self._service_tier = event.service_tier
        return b""

    def finish(self) -> bytes:
        """The last chunk: reasons, usage, and an empty text, because chats take a content without
        parts for a failed answer."""
        pieces = [
            self._one(choice, event)
            for choice, lane in self._lanes.items()
            for event in lane.finish()
        ]
        for choice in self._lanes or self._finishes or (0,):
            self._finishes.setdefault(choice, Finish(reason=FinishReason.STOP))
        candidates = [
            write_candidate(choice, [{"text": ""}], finish)
            for choice, finish in sorted(self._finishes.items())
            if choice in self._lanes or not is_block(finish)
        ]
        for candidate in candidates:
            if logprobs := self._logprobs.get(candidate["index"]):
                known = candidate.get("logprobsResult", {})
                candidate["logprobsResult"] = {**write_logprobs(logprobs), **known}
        chunk: dict[str, Any] = {"candidates": candidates} if candidates else {}
        chunk.update(about_answer(list(self._finishes.values()), self._usage, self._service_tier))
        pieces.append(self._framer.chunk(_ENCODER.encode({**chunk, **self._identity})))
        pieces.append(self._framer.close())
        return b"".join(pieces)

    def error(self, error: GatewayError) -> bytes:
        """The error in place of a chunk; Google's SDKs raise on it."""
        return self._framer.chunk(_ENCODER.encode(error_value(error))) + self._framer.close()

    def ping(self) -> bytes:
        """Nothing: no client of this protocol bears a comment."""
        return b""

    def _in_order(self, choice: int, event: PartStart | PartDelta | PartEnd) -> bytes:
        return b"".join([self._one(choice, ready) for ready in self._lanes[choice].feed(event)])

    def _one(self, choice: int, event: Event) -> bytes:
        match event:
            case PartDelta(index=index):
                if (text := self._live.get(index)) is not None:
                    return self._text_delta(choice, text, event)
                if (whole := self._whole.get(index)) is not None:
                    _grow(whole, event)
            case PartStart(index=index, part=part):
                if not _streams(part):
                    self._whole[index] = msgspec.structs.replace(part)
                    return b""
                self._live[index] = part
                if (signature := _signature(part)) is not None:
                    self._signatures[index] = signature
                return self._chunk(choice, _text(part, part.text)) if part.text else b""
            case PartEnd(index=index):
                if (whole := self._whole.pop(index, None)) is not None:
                    return self._chunk(choice, write_part(whole))
                return self._text_end(choice, index)
        return b""

    def _text_delta(self, choice: int, part: _Growing, delta: PartDelta) -> bytes:
        if delta.signature is not None:
            self._signatures[delta.index] = for_client(delta.signature, PROTOCOL_ID)
        more = own_fields(delta.extensions) if delta.extensions else {}
        if "thoughtSignature" in more:
            self._signatures[delta.index] = more.pop("thoughtSignature")
        if delta.logprobs:
            self._logprobs.setdefault(choice, []).extend(delta.logprobs)
        if not (delta.text or more):
            return b""
        logprobs = None
        if self._logprobs and not isinstance(part, Reasoning):
            logprobs = self._logprobs.pop(choice, None)
        return self._chunk(choice, {**_text(part, delta.text), **more}, logprobs)

    def _text_end(self, choice: int, index: int) -> bytes:
        """A signature comes last, in an empty part, as Google sends it: it proves all the text."""
        part = self._live.pop(index, None)
        signature = self._signatures.pop(index, None)
        if part is None or signature is None:
            return b""
        bare = isinstance(part, Reasoning) and part.redacted
        written = {"thought": True} if bare else _text(part, "")
        return self._chunk(choice, {**written, "thoughtSignature": signature})

    def _chunk(
        self, choice: int, part: dict[str, Json] | None, logprobs: list[Json] | None = None
    ) -> bytes:
        if part is None:
            return b""
        candidate = write_candidate(choice, [part], None)
        if logprobs:
            candidate["logprobsResult"] = write_logprobs(logprobs)
        return self._framer.chunk(_ENCODER.encode({"candidates": [candidate], **self._identity}))


def _streams(part: Part) -> TypeGuard[_Growing]:
    """Whether ``part`` is a text that may be written piece by piece: fields of its own would tie it to
    one piece."""
    if not isinstance(part, Text | Reasoning | Refusal):
        return False
    return part.extensions is None or own_fields(part.extensions).keys() <= {"thoughtSignature"}


def _text(part: _Growing, text: str) -> dict[str, Json]:
    return {"text": text, "thought": True} if isinstance(part, Reasoning) else {"text": text}


def _signature(part: _Growing) -> str | None:
    if isinstance(part, Reasoning):
        return None if part.signature is None else for_client(part.signature, PROTOCOL_ID)
    return own_fields(part.extensions).get("thoughtSignature")


def _grow(part: Part, delta: PartDelta) -> None:
    append_text(part, delta.text)
    if delta.signature is not None and hasattr(part, "signature"):
        part.signature = delta.signature
    if delta.extensions:
        part.extensions = merge_extensions(part.extensions, delta.extensions)
