"""What the chunked streams of chat and of completions share: errors, head, usage, ``[DONE]``."""

from __future__ import annotations

from typing import Any
from typing import Protocol as Interface

import msgspec

from dragoman.canonical.errors import UpstreamBroken, UpstreamError
from dragoman.canonical.events import Event, Start, UsageUpdate
from dragoman.canonical.parts import Extensions
from dragoman.protocols.openai_shared.errors import error_in
from dragoman.protocols.openai_shared.usage import WireUsage, decode_usage
from dragoman.protocols.streams import SSEStreamDecoder
from dragoman.protocols.wire_json import read_upstream
from dragoman.wire.sse import SSEEvent

_ANY = msgspec.json.Decoder()
_NOT_EXTRA = frozenset({"object", "obfuscation"})


class GroqExtras(msgspec.Struct):
    usage: WireUsage | None = None


class ChunkBase(msgspec.Struct, kw_only=True):
    """The fields of a chunk besides its choices. Everything may be missing or null."""

    id: str | None = None
    model: str | None = None
    created: int | float | None = None
    service_tier: str | None = None
    usage: WireUsage | None = None
    x_groq: GroqExtras | None = None
    error: Any = None
    base_resp: Any = None


class ChunkChoiceBase(msgspec.Struct, kw_only=True):
    """The fields of a chunk's choice besides its content. Moonshot puts the usage here."""

    index: int | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    stop_reason: Any = None
    usage: WireUsage | None = None
    error: Any = None


class Reader(Interface):
    """Reads one choice's share of the chunks."""

    finish_reason: str | None

    def read(self, choice: Any, events: list[Event]) -> None:
        """Take one chunk's share."""
        ...

    def close(self, events: list[Event]) -> None:
        """End every part, then say how the choice ended."""
        ...

    def owed(self) -> dict[str, Any]:
        """The chunk's choice with the finish reason that the server left out."""
        ...


class ChunkStreamDecoder(SSEStreamDecoder):
    """Reads chunks up to ``[DONE]``, or to the end of a stream that has said why it ended.

    Subclasses give ``chunks``, the decoder of their chunk type, and ``add_choice``.
    """

    chunks: msgspec.json.Decoder[Any]
    object: str

    def __init__(self, protocol: str) -> None:
        super().__init__()
        self.usage_only = False
        """The last event held nothing but usage."""
        self.start: Start | None = None
        self._protocol = protocol
        self._readers: dict[int, Reader] = {}
        self._usage: WireUsage | None = None
        self._owed: list[Reader] = []

    def add_choice(self, index: int, start: Start) -> Reader:
        """A reader for a choice that begins."""
        raise NotImplementedError

    def take_owed(self) -> list[dict[str, Any]]:
        """Chunks with the finish reasons that the server owes; each is given once."""
        owed, self._owed = self._owed, []
        start = self.start or Start()
        return [
            {
                "id": start.id,
                "object": self.object,
                "created": start.created or 0,
                "model": start.model,
                "choices": [reader.owed()],
            }
            for reader in owed
        ]

    def on_event(self, event: SSEEvent) -> list[Event]:
        """Events of one chunk. Raises the error that it is, or UpstreamBroken."""
        self.usage_only = False
        data = event.data
        if not data or self._ended:
            return []
        if data.startswith(b"[DONE]"):
            self._ended = True
            return self._close()
        chunk = self._read_chunk(data, event.event)
        events: list[Event] = []
        usage = chunk.usage
        if chunk.choices:
            if self.start is None:
                self.start = self._start(chunk, data)
                events.append(self.start)
            for choice in chunk.choices:
                if choice.error:
                    raise _failure(choice.error)
                index = choice.index or 0
                reader = self._readers.get(index)
                if reader is None:
                    reader = self._readers[index] = self.add_choice(index, self.start)
                reader.read(choice, events)
                if usage is None:
                    usage = choice.usage
        else:
            self.usage_only = usage is not None
        if usage is None and chunk.x_groq is not None:
            usage = chunk.x_groq.usage
        if usage is not None and usage != self._usage:
            self._usage = usage
            events.append(UsageUpdate(decode_usage(usage)))
        return events

    def on_finish(self) -> list[Event]:
        """Close a stream without ``[DONE]``. Raises UpstreamBroken if it was cut short."""
        if self._ended:
            return []
        if not any(reader.finish_reason for reader in self._readers.values()):
            raise UpstreamBroken("The upstream's stream ended before the answer did.")
        self._ended = True
        return self._close()

    def _close(self) -> list[Event]:
        if not self._readers:
            raise UpstreamBroken("The upstream's stream holds no answer.")
        events: list[Event] = []
        for index in sorted(self._readers):
            reader = self._readers[index]
            if not reader.finish_reason:
                self._owed.append(reader)
            reader.close(events)
        return events

    def _read_chunk(self, data: bytes, name: str) -> Any:
        """Decode one event. Errors come as a chunk, under ``event: error``, or (Google) in a list."""
        try:
            chunk = read_upstream(data, self.chunks, "stream")
        except UpstreamBroken:
            if data.startswith(b"["):
                error = error_in(read_upstream(data, _ANY, "stream"))
                if error is not None:
                    raise error from None
            raise
        if chunk.error or chunk.base_resp:
            error = error_in({"error": chunk.error, "base_resp": chunk.base_resp})
            if error is not None:
                raise error
        if name == "error":
            raise _failure(read_upstream(data, _ANY, "stream"))
        return chunk

    def _start(self, chunk: Any, data: bytes) -> Start:
        """The answer's head, off its first chunk."""
        known = {*chunk.__struct_fields__, *_NOT_EXTRA}
        fields = read_upstream(data, _ANY, "stream").items()
        rest = {f: value for f, value in fields if f not in known and value is not None}
        extensions: Extensions | None = {self._protocol: rest} if rest else None
        return Start(
            id=chunk.id or "",
            model=chunk.model or "",
            created=int(chunk.created) if chunk.created else None,
            service_tier=chunk.service_tier,
            extensions=extensions,
        )


def _failure(error: Any) -> UpstreamError:
    return error_in({"error": error}) or UpstreamBroken("The upstream's stream failed.")
