"""The journal's files, one system call at a time: its lock, its segments, its bookmark."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
from pathlib import Path
from zlib import crc32

import msgspec

from dragoman.store.errors import StoreError
from dragoman.store.journal_lines import HEADER_BYTES, LINE_BYTES, header

_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends
_ZEROS = bytes(1 << 20)
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Segment(msgspec.Struct, kw_only=True):
    """One file of lines. ``end`` is behind its last line; ``dirty`` if something may not be on the disk
    yet. ``descriptor`` is open while it is written to or has to be synced."""

    number: int
    path: Path
    size: int
    end: int = HEADER_BYTES
    descriptor: int = -1
    dirty: bool = False
    damaged: bool = False

    @property
    def room(self) -> int:
        """Bytes that lines surely find here, whatever their lengths: none is spread over two segments,
        so up to a line's length may be left over."""
        return max(0, self.size - self.end - LINE_BYTES)

    def open(self) -> None:
        """Make it writable. Raises OSError."""
        if self.descriptor < 0:
            self.descriptor = os.open(self.path, os.O_RDWR | _BINARY)

    def close(self) -> None:
        """No more writing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def remove(self) -> None:
        """Delete the file; one that is damaged is kept aside for the operator. Raises OSError."""
        self.close()
        if self.damaged:
            os.replace(self.path, self.path.with_suffix(".damaged"))
        else:
            self.path.unlink(missing_ok=True)


def segment_path(directory: Path, number: int) -> Path:
    """Where segment ``number`` is kept."""
    return directory / f"{number:08}.log"


def make_segment(directory: Path, number: int, size: int) -> Segment:
    """A segment with nothing in it but with all its room, onto the disk before it bears its name.
    Raises OSError, and leaves nothing behind then."""
    path = segment_path(directory, number)
    aside = path.with_suffix(".new")
    descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | _BINARY, 0o600)
    try:
        _allocate(descriptor, size)
        write_at(descriptor, header(number), 0)
        os.fsync(descriptor)
        if sys.platform == "win32":  # no open file can be renamed there
            os.close(descriptor)
            descriptor = -1
        os.replace(aside, path)
        sync_folder(directory)
    except BaseException:
        if descriptor >= 0:
            os.close(descriptor)
        aside.unlink(missing_ok=True)
        raise
    segment = Segment(number=number, path=path, size=size, descriptor=descriptor)
    segment.open()
    return segment


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of it. Raises OSError."""
    if sys.platform == "win32":
        os.lseek(descriptor, offset, os.SEEK_SET)
        written = os.write(descriptor, data)
    else:
        written = os.pwrite(descriptor, data, offset)
    if written != len(data):
        raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes could be written")


def sync(descriptor: int) -> None:
    """Wait until everything written is on the disk. Raises OSError."""
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - there is none on Windows

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync stops at the drive's own cache there
    elif sys.platform == "win32":
        os.fsync(descriptor)
    else:
        os.fdatasync(descriptor)


def sync_folder(folder: Path) -> None:
    """Make new and changed names last. Raises OSError."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def take_lock(path: Path) -> int:
    """Hold the lock file: an open descriptor, whose closing lets go, as does the end of the process,
    however it ends. Raises StoreError if another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - there is none elsewhere

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - there is none on Windows

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            with contextlib.suppress(OSError):  # on a full disk the number is missing, nothing else
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except OSError as error:
        owner = b"" if sys.platform == "win32" else os.pread(descriptor, 20, 0)
        os.close(descriptor)
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise
        raise StoreError(
            f"Another gateway{f' (process {owner.decode()})' if owner.isdigit() else ''} serves "
            f"from {path.parent.parent}. Stop it, or give this one a data directory of its own "
            "(--data-dir)."
        ) from None
    return descriptor


class Bookmark:
    """How far the journal has been drained, in two places that are written by turns: a write that a
    power failure tears leaves the one before."""

    _SLOT = struct.Struct("<QQ")
    _SUM = struct.Struct("<I")
    _PLACES = (0, 4096)  # never on one page

    def __init__(self, path: Path) -> None:
        """Open the file, or make it. Raises OSError."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            data = file.read()
        if not data:  # its room is to be there when the disk is full
            write_at(self._descriptor, bytes(2 * self._PLACES[1]), 0)
        self._turn, self.position = max(self._read(data, at) for at in self._PLACES)

    def move(self, to: int) -> None:
        """Keep a new position. Raises OSError."""
        self._turn += 1
        self.position = to
        plain = self._SLOT.pack(self._turn, to)
        write_at(
            self._descriptor, plain + self._SUM.pack(crc32(plain)), self._PLACES[self._turn % 2]
        )

    def sync(self) -> None:
        """Onto the disk. Raises OSError."""
        sync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def _read(self, data: bytes, at: int) -> tuple[int, int]:
        """The turn and position that are kept there; zeros if none can be read."""
        plain = data[at : at + self._SLOT.size]
        checksum = data[at + self._SLOT.size : at + self._SLOT.size + self._SUM.size]
        if len(plain) < self._SLOT.size or checksum != self._SUM.pack(crc32(plain)):
            return 0, 0
        turn, kept = self._SLOT.unpack(plain)
        return turn, kept


def _allocate(descriptor: int, size: int) -> None:
    """Give the file its room on the disk now. Raises OSError, mostly that the disk is full."""
    if sys.platform not in ("win32", "darwin"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
        else:
            return
    for offset in range(0, size, len(_ZEROS)):
        write_at(descriptor, _ZEROS[: size - offset], offset)
