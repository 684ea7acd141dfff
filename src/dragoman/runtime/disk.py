"""Replacing a file so that whoever reads it meets the old one or the new one, never a part."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
import time
from pathlib import Path

_POLL_SECONDS = 0.02


def lock(path: Path, seconds: float) -> int:
    """Wait until no other process holds the lock file ``path`` and hold it: an open descriptor, whose
    closing lets go, as does the end of the process. Raises OSError after ``seconds``."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + seconds
    try:
        while not _try_lock(descriptor):
            if time.monotonic() > until:
                raise OSError(errno.EBUSY, "another process is changing it")
            time.sleep(_POLL_SECONDS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def refuse_unwritable(path: Path) -> None:
    """Raise OSError if ``path`` is marked as not to be written, which replacing it would get round."""
    bits = path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    if not bits or not os.access(path, os.W_OK):
        raise OSError(errno.EACCES, "it is not writable")


def stage(path: Path, content: bytes) -> Path:
    """Write ``content`` beside ``path``, with its owner and permissions, and onto the disk; the new
    file's name, to be given to ``swap``."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    found = path.stat()
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if sys.platform != "win32":
                with contextlib.suppress(PermissionError):  # only root may give a file away
                    os.fchown(file.fileno(), found.st_uid, found.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(found.st_mode))
            os.fsync(file.fileno())
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return aside


def swap(staged: Path, path: Path) -> None:
    """Put the staged file in the place of ``path``, and see to it that it lasts."""
    try:
        os.replace(staged, path)
    except OSError as error:
        if error.errno == errno.EBUSY:  # a container's volume of a single file
            words = "it is mounted as a single file: mount its folder instead"
            raise OSError(errno.EBUSY, words) from None
        raise
    if sys.platform != "win32":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - there is none elsewhere

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - there is none on Windows

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
