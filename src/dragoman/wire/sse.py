"""Server-sent events (WHATWG HTML, "Interpreting an event stream").

``SSEReader`` keeps each event's raw bytes beside its data, so that a stream may be forwarded
untouched while it is being read.
"""

from __future__ import annotations

import re

import msgspec

from dragoman.wire.errors import FramingError

MAX_EVENT_BYTES = 32 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
# The end of an event is an empty line, in any mix of the three line ends the standard allows. A
# trailing lone CR is not matched: the LF that makes it a CRLF may still be on its way.
_BOUNDARY = re.compile(rb"(?:\r\n|\n|\r(?!\n|\Z))(?:\r\n|\n|\r(?!\n|\Z))")


class SSEEvent(msgspec.Struct, frozen=True):
    """One event. ``event`` is the name in its ``event:`` line or empty; ``raw`` includes the empty
    line that ended it. A block of comments only has ``data`` None."""

    event: str
    data: bytes | None
    raw: bytes


class SSEReader:
    """Splits bytes into events, whatever the chunks."""

    __slots__ = ("_buffer", "_scanned", "_started")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._started = False

    def feed(self, chunk: bytes) -> list[SSEEvent]:
        """Return the events completed by ``chunk``; raises FramingError past MAX_EVENT_BYTES."""
        buffer = self._buffer
        buffer += chunk
        if not self._started:
            if len(buffer) < len(_BOM) and _BOM.startswith(bytes(buffer)):
                return []
            if buffer.startswith(_BOM):
                del buffer[: len(_BOM)]
            self._started = True
        events: list[SSEEvent] = []
        start = 0
        scan = self._scanned
        if buffer.find(b"\r", scan) < 0:
            # Nearly every server ends its lines with LF alone; finding that is ten times cheaper.
            # What was looked at before is not looked at again: a long event comes in many chunks.
            while (at := buffer.find(b"\n\n", scan)) >= 0:
                events.append(parse_event(bytes(buffer[start : at + 2])))
                start = scan = at + 2
        else:
            while match := _BOUNDARY.search(buffer, scan):
                events.append(parse_event(bytes(buffer[start : match.end()])))
                start = scan = match.end()
        if start:
            del buffer[:start]
        if len(buffer) > MAX_EVENT_BYTES:
            raise FramingError(f"an event is larger than {MAX_EVENT_BYTES} bytes")
        # A boundary is at most four bytes and may straddle two chunks.
        self._scanned = max(0, len(buffer) - 3)
        return events

    def finish(self) -> list[SSEEvent]:
        """Return the last event if the stream ended without its empty line.

        The standard discards it; upstreams that forget the last newline are common enough that
        losing a ``[DONE]`` to it would turn good answers into truncated ones.
        """
        rest = bytes(self._buffer)
        self._buffer.clear()
        return [parse_event(rest)] if rest.strip() else []


def parse_event(raw: bytes) -> SSEEvent:
    """Read one block of lines."""
    if raw.startswith(b"data: ") and raw.count(b"\n") == 2 and b"\r" not in raw:
        return SSEEvent("", raw[6:-2], raw)
    name = ""
    data: list[bytes] = []
    for line in raw.splitlines():
        if line.startswith(b"data:"):
            value = line[5:]
            data.append(value[1:] if value.startswith(b" ") else value)
        elif line.startswith(b"event:"):
            value = line[6:]
            name = (value[1:] if value.startswith(b" ") else value).decode("utf-8", "replace")
        elif line == b"data":
            data.append(b"")
    return SSEEvent(name, b"\n".join(data) if data else None, raw)


def write_event(data: bytes, event: str = "") -> bytes:
    """Frame one JSON document (which never contains a raw newline) as an event."""
    if event:
        return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"
