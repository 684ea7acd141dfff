"""The journal's segments as one long tape: write at the end, read from anywhere."""

from __future__ import annotations

import errno
import logging
from collections import deque
from collections.abc import Iterator

from dragoman.store.errors import StoreError
from dragoman.store.journal_files import Segment, write_at
from dragoman.store.journal_lines import FRAME, HEADER_BYTES, frame, position, read_lines

logger = logging.getLogger("dragoman.journal")


class Tape:
    """``segments`` hold the lines, oldest first, and ``current``, the last, is written to; ``spares``
    follow it when it is full."""

    def __init__(self, segments: deque[Segment], spares: deque[Segment]) -> None:
        self.segments = segments
        self.spares = spares
        self.current = segments[-1]

    @property
    def end(self) -> int:
        """The position behind the last line."""
        return position(self.current.number, self.current.end)

    @property
    def room(self) -> int:
        """Bytes that lines surely find, whatever their lengths."""
        room = self.current.room
        for spare in self.spares:
            room += spare.room
        return room

    def put(self, payload: bytes) -> int:
        """Write a line at the end; its position. Raises OSError."""
        segment = self.current
        begin = segment.end
        if begin + FRAME.size + len(payload) > segment.size:
            segment = self.turn()
            begin = segment.end
        framed = frame(payload, segment.number)
        write_at(segment.descriptor, framed, begin)
        segment.end = begin + len(framed)
        segment.dirty = True
        return segment.number << 32 | begin

    def turn(self) -> Segment:
        """Go on in the spare. Raises OSError if there is none."""
        if not self.spares:
            raise OSError(errno.ENOSPC, "no segment is ready")
        self.current = self.spares.popleft()
        self.segments.append(self.current)
        return self.current

    def give_up_segment(self, error: OSError) -> bool:
        """After a failed write, which may have left a part of a line: go on in the spare. False if
        there is none."""
        logger.error("%s cannot be written to: %s", self.current.path, error)
        if not self.spares:
            return False
        self.turn()
        return True

    def read(self, since: int) -> Iterator[tuple[Segment, int, bytes]]:
        """Segment, end position and payload of every line from this position on. Raises StoreError."""
        for segment in [*self.segments]:
            start = max(HEADER_BYTES, since - position(segment.number, 0))
            try:
                for end, payload in read_lines(segment.path, segment.number, start, segment.end):
                    yield segment, position(segment.number, end), payload
            except FileNotFoundError:
                logger.error("%s is gone, and what was in it is lost", segment.path)
            except OSError as error:
                raise StoreError(f"{segment.path} cannot be read: {error.strerror}.") from None

    def written_since(self, at: int) -> list[Segment]:
        """The segments that have lines behind this position."""
        return [one for one in self.segments if position(one.number, one.end) > at]
