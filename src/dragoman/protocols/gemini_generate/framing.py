"""Streams of answers in either framing: server-sent events, or one JSON array (without ``alt=sse``)."""

from __future__ import annotations

import re

import msgspec

from dragoman.wire.errors import FramingError
from dragoman.wire.sse import MAX_EVENT_BYTES, SSEEvent, SSEReader, write_event

_SPACE = b" \t\r\n\xef\xbb\xbf"  # and a byte order mark
_OUTSIDE = re.compile(rb'["{}]')
_INSIDE = re.compile(rb'["\\]')


class ObjectReader:
    """Splits bytes into the JSON objects at their top level, whatever the chunks and whatever stands
    between the objects: the brackets and commas of an array, or nothing."""

    __slots__ = ("_buffer", "_depth", "_in_string", "_scanned", "_start")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._start = 0
        self._depth = 0
        self._in_string = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Objects completed by ``chunk``; raises FramingError for nonsense or past MAX_EVENT_BYTES."""
        buffer = self._buffer
        buffer += chunk
        objects: list[bytes] = []
        position = self._scanned
        while match := (_INSIDE if self._in_string else _OUTSIDE).search(buffer, position):
            position = match.end()
            match match.group():
                case b'"':
                    self._in_string = not self._in_string
                case b"\\":
                    position += 1  # whatever is escaped, even if it is yet to come
                case b"{":
                    if self._depth == 0:
                        self._start = position - 1
                    self._depth += 1
                case _:
                    self._depth -= 1
                    if self._depth < 0:
                        raise FramingError("a brace closes what none opened")
                    if self._depth == 0:
                        objects.append(bytes(buffer[self._start : position]))
        self._keep(max(position, len(buffer)))
        return objects

    def _keep(self, scanned: int) -> None:
        """Throw away what is done with."""
        done = self._start if self._depth else min(scanned, len(self._buffer))
        del self._buffer[:done]
        self._scanned = scanned - done
        self._start = 0
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise FramingError(f"an element is larger than {MAX_EVENT_BYTES} bytes")


class FrameReader(SSEReader):
    """Reads either framing; elements of an array come as the server-sent events they might have been.

    An array begins with ``[``. A lone object, which is how some proxies answer an error in place of the
    stream, is read in the same way.
    """

    __slots__ = ("_objects", "_sniffed")

    def __init__(self) -> None:
        super().__init__()
        self._objects: ObjectReader | None = None
        self._sniffed = False

    def feed(self, chunk: bytes) -> list[SSEEvent]:
        """Events completed by ``chunk``; raises FramingError."""
        if not self._sniffed:
            chunk = chunk.lstrip(_SPACE)
            if not chunk:
                return []
            self._sniffed = True
            if chunk[:1] in (b"[", b"{"):
                self._objects = ObjectReader()
        if self._objects is None:
            return super().feed(chunk)
        return [_as_event(element) for element in self._objects.feed(chunk)]

    def finish(self) -> list[SSEEvent]:
        """What the end of the stream completes."""
        return super().finish() if self._objects is None else []


def _as_event(element: bytes) -> SSEEvent:
    try:
        # Google prints arrays prettily; an event's data must be one line.
        data = msgspec.json.format(element, indent=-1)
    except (msgspec.MsgspecError, RecursionError):
        raise FramingError("an element of the array is not valid JSON") from None
    return SSEEvent("", data, write_event(data))
