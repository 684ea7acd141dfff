"""Opening the journal: what is in the files after an end of whatever kind."""

from __future__ import annotations

import logging
import os
from collections import deque
from pathlib import Path

import msgspec

from dragoman.governance.ledger import Hold
from dragoman.store.errors import SchemaTooNew, StoreError
from dragoman.store.journal_files import (
    Bookmark,
    Segment,
    make_segment,
    segment_path,
    sync,
    take_lock,
    write_at,
)
from dragoman.store.journal_lines import (
    FRAME,
    LINE_BYTES,
    Survey,
    TooNew,
    place,
    position,
    survey,
)

logger = logging.getLogger("dragoman.journal")

_FEWEST_LINES = 4


class _Settled(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """As much of ``ledger.Settled`` as has to be read here."""

    id: str


class _Released(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    id: str


_decode = msgspec.msgpack.Decoder(Hold | _Settled | _Released).decode


class Found(msgspec.Struct, kw_only=True):
    """An opened journal. ``segments`` hold lines, oldest first, and the last is to be written to;
    ``spares`` are empty. ``open_holds`` by id: the position and payload of every hold without an end.
    ``behind`` counts the lines that were not drained."""

    directory: Path
    segment_bytes: int
    lock: int
    bookmark: Bookmark
    segments: deque[Segment]
    spares: deque[Segment]
    open_holds: dict[str, tuple[int, bytes]]
    orphans: tuple[Hold, ...]
    behind: int


def find(directory: Path, segment_bytes: int) -> Found:
    """Lock the directory, read everything, and mend the end. Raises StoreError, and ValueError for a
    segment size that cannot work."""
    if not _FEWEST_LINES * LINE_BYTES <= segment_bytes < 2**32:
        raise ValueError(f"segments of {segment_bytes} bytes cannot hold a journal")
    lock = -1
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = take_lock(directory / "lock")
        return _find(directory, segment_bytes, lock)
    except OSError as error:
        _let_go(lock)
        words = f"The journal in {directory} cannot be opened: {error.strerror}."
        raise StoreError(f"{words} See to the disk's room and the folder's owner.") from None
    except TooNew:
        _let_go(lock)
        raise SchemaTooNew(
            f"The journal in {directory} was written by a newer version of the gateway. Start that "
            "version once more and end it; an empty journal can be deleted."
        ) from None
    except BaseException:
        _let_go(lock)
        raise


def _find(directory: Path, segment_bytes: int, lock: int) -> Found:
    bookmark = Bookmark(directory / "drained")
    for unfinished in directory.glob("*.new"):
        unfinished.unlink()
    reader = _Reader(bookmark.position)
    read = [
        (segment, reader.read(segment))
        for segment in sorted(_segments(directory), key=lambda one: one.number)
    ]
    used = [index for index, (_, seen) in enumerate(read) if seen.lines or seen.torn]
    last = used[-1] if used else 0
    segments = deque(segment for segment, _ in read[: last + 1])
    for segment, seen in read[: last + 1]:
        _judge(segment, seen, is_last=segment is segments[-1])
    spares = deque(_spares([segment for segment, _ in read[last + 1 :]], segment_bytes))
    if not segments:
        segments.append(make_segment(directory, place(bookmark.position)[0] + 1, segment_bytes))
    _make_last(segments, bookmark)
    holds = tuple(hold for _, _, hold in reader.open.values())
    return Found(
        directory=directory,
        segment_bytes=segment_bytes,
        lock=lock,
        bookmark=bookmark,
        segments=segments,
        spares=spares,
        open_holds={hold.id: (at, payload) for at, payload, hold in reader.open.values()},
        orphans=holds,
        behind=reader.behind,
    )


class _Reader:
    """Goes through all segments in order and remembers what is open at the end."""

    def __init__(self, drained: int) -> None:
        self.open: dict[str, tuple[int, bytes, Hold]] = {}
        self.behind = 0
        self._drained = drained

    def read(self, segment: Segment) -> Survey:
        """Raises OSError and TooNew."""
        data = segment.path.read_bytes()
        seen = survey(data, segment.number)
        segment.end, segment.damaged = seen.end, seen.damaged
        for begin, end in seen.lines:
            self.behind += position(segment.number, end) > self._drained
            payload = data[begin + FRAME.size : end]
            try:
                line = _decode(payload)
            except msgspec.MsgspecError:
                segment.damaged = True
                continue
            if isinstance(line, Hold):
                self.open[line.id] = position(segment.number, begin), payload, line
            else:
                self.open.pop(line.id, None)
        return seen


def _segments(directory: Path) -> list[Segment]:
    paths = [
        path for path in directory.glob("*.log") if path.stem.isascii() and path.stem.isdigit()
    ]
    return [
        Segment(number=int(path.stem), path=path, size=path.stat().st_size)
        for path in paths
        if path == segment_path(directory, int(path.stem))
    ]


def _judge(segment: Segment, seen: Survey, *, is_last: bool) -> None:
    """Tell the operator what is wrong with a segment, and wipe a torn end. Raises OSError."""
    if seen.torn and is_last:
        logger.warning(
            "%s ends in a line that was not written whole, at offset %d; it is dropped",
            segment.path,
            seen.end,
        )
        segment.open()
        write_at(segment.descriptor, bytes(segment.size - seen.end), seen.end)
    elif seen.torn:
        segment.damaged = True
    if segment.damaged:
        logger.error(
            "%s is damaged; what can be read of it is used, and the file will be kept as %s",
            segment.path,
            segment.path.with_suffix(".damaged").name,
        )


def _spares(empty: list[Segment], segment_bytes: int) -> list[Segment]:
    """Those that can be used as they are; the others are removed."""
    good = [one for one in empty if one.size == segment_bytes and not one.damaged]
    for segment in empty:
        if segment in good:
            segment.open()
        else:
            segment.remove()
    return good


def _make_last(segments: deque[Segment], bookmark: Bookmark) -> None:
    """See to it that what was found is on the disk: so far the kernel alone may have it."""
    current = segments[-1]
    for segment in segments:
        segment.open()
        sync(segment.descriptor)
        if segment is not current:
            segment.close()
    tail = position(current.number, current.end)
    if bookmark.position > tail:
        # A power failure took lines that were in the tables already. What is written from here on
        # is not.
        bookmark.move(tail)
        bookmark.sync()


def _let_go(lock: int) -> None:
    if lock >= 0:
        os.close(lock)
