"""Newline-delimited JSON."""

from __future__ import annotations

from dragoman.wire.errors import FramingError

MAX_LINE_BYTES = 32 * 1024 * 1024


class LineReader:
    """Splits bytes into non-empty lines, whatever the chunks."""

    __slots__ = ("_buffer", "_scanned")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines completed by ``chunk``, without their ends; raises FramingError past
        MAX_LINE_BYTES."""
        buffer = self._buffer
        buffer += chunk
        lines: list[bytes] = []
        start = 0
        scan = self._scanned
        while (end := buffer.find(b"\n", scan)) >= 0:
            line = bytes(buffer[start:end]).strip()
            if line:
                lines.append(line)
            start = scan = end + 1
        if start:
            del buffer[:start]
        if len(buffer) > MAX_LINE_BYTES:
            raise FramingError(f"a line is larger than {MAX_LINE_BYTES} bytes")
        self._scanned = len(buffer)
        return lines

    def finish(self) -> list[bytes]:
        """Return the last line if it had no newline."""
        rest = bytes(self._buffer).strip()
        self._buffer.clear()
        self._scanned = 0
        return [rest] if rest else []
