"""What the gateway needs of the database, kept beside it: to start from while the database is away.

The file ``snapshot`` in the data directory is sealed with the secret key, so it is worth no more to a
thief than the database itself. It is written after every change that was read, and read only at a
start at which the database cannot be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from pathlib import Path
from typing import Any

import msgspec

from dragoman.governance.keys import VirtualKey
from dragoman.governance.users import User
from dragoman.runtime.disk import swap
from dragoman.store.errors import DatabaseAway, SecretKeyError, StoreError
from dragoman.store.sealing import SealedBox
from dragoman.store.store import Store, StoredChannel

logger = logging.getLogger("dragoman.database")

FILE_NAME = "snapshot"
_PLACE = "snapshot"
_NO_SNAPSHOT = (
    "There is no snapshot of it to start from, which a gateway keeps in its data directory once it "
    "has reached the database: start the database, or correct its URL."
)


class Kept(msgspec.Struct, kw_only=True, frozen=True):
    """Everything of the configuration that is in the database. ``pepper`` is what the keys' digests are
    made with."""

    pepper: bytes
    channels: list[StoredChannel]
    keys: list[VirtualKey]
    settings: dict[str, Any]
    users: list[User]


class _File(msgspec.Struct, kw_only=True, frozen=True):
    """What is sealed; ``written_at`` is Unix time, ``database`` where it was."""

    written_at: float
    database: str
    kept: Kept


async def kept_in(store: Store) -> Kept:
    """Read it. Raises StoreError."""
    return Kept(
        pepper=await store.pepper(),
        channels=await store.channels(),
        keys=await store.keys(),
        settings=await store.settings(),
        users=await store.users(),
    )


class Snapshot:
    """The file; ``database`` is the one it is of: another one's is not used."""

    def __init__(self, data_dir: Path, secret_key: bytes, database: str) -> None:
        self._path = data_dir / FILE_NAME
        self._box = SealedBox(secret_key)
        self._database = database
        self._written: bytes | None = None

    async def write(self, kept: Kept) -> None:
        """Keep it if it is not what was kept last. A failure is logged: nothing else depends on it."""
        plain = msgspec.msgpack.encode(kept)
        if plain == self._written:
            return
        file = _File(written_at=time.time(), database=self._database, kept=kept)
        sealed = self._box.seal(msgspec.msgpack.encode(file), _PLACE)
        try:
            await asyncio.to_thread(_replace, self._path, sealed)
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._path, error.strerror)
        else:
            self._written = plain

    def last(self, away: DatabaseAway) -> Kept:
        """What was kept, to start from because the database is ``away``; how old it is is logged.
        Raises StoreError if there is nothing to be used."""
        try:
            sealed = self._path.read_bytes()
            file = msgspec.msgpack.decode(self._box.open(sealed, _PLACE), type=_File)
        except FileNotFoundError:
            raise StoreError(f"{away} {_NO_SNAPSHOT}") from None
        except (OSError, SecretKeyError, msgspec.MsgspecError) as error:
            raise StoreError(f"{away} Nor can {self._path} be used: {error}") from None
        if file.database != self._database:
            raise StoreError(f"{away} {_NO_SNAPSHOT}")
        logger.warning(
            "STARTING FROM A SNAPSHOT of the database, written %s ago: channels, keys, users and "
            "settings are as they were then, and no change can be made until it is back",
            _in_words(time.time() - file.written_at),
        )
        return file.kept


def _in_words(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"


def _replace(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        swap(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
