"""The secret key of a database: finding it, also after a rotation that was cut off, and rotating it.

A rotation writes the new key aside, seals the database with it in one transaction, and puts it in the
old one's place. Whenever it is cut off, one of the two files opens the database; the next start sees
which.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from dragoman.config.environment import SECRET_KEY
from dragoman.runtime import snapshot
from dragoman.server.admin.contract import Actor
from dragoman.store.errors import SecretKeyError, StoreError
from dragoman.store.journal_files import take_lock
from dragoman.store.sealing import (
    FILE_NAME,
    adopt_staged_key,
    load_secret_key,
    make_secret_key,
    secret_key_of,
    stage_secret_key,
    staged_secret_key,
)
from dragoman.store.sql import SQLStore
from dragoman.store.store import AuditEntry

Opened = TypeVar("Opened")


class Rotated(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: ``values`` were sealed anew, and the new key stands ``in_file``, or else is the
    operator's to set."""

    values: int
    in_file: Path | None


async def open_with_key(
    data_dir: Path,
    environ: Mapping[str, str],
    open_store: Callable[[bytes], Awaitable[Opened]],
    *,
    is_new: bool,
) -> tuple[Opened, bytes]:
    """What ``open_store`` makes of the secret key, and the key. ``is_new`` says that there is no
    database yet, so that a key may be made. Raises StoreError."""
    given = environ.get(SECRET_KEY)
    key = load_secret_key(given, data_dir, may_create=is_new)
    try:
        return await open_store(key), key
    except SecretKeyError:
        staged = None if given else staged_secret_key(data_dir)
        if staged is None:
            raise
    # A rotation was cut off between the database and the file.
    opened = await open_store(staged)
    adopt_staged_key(data_dir)
    return opened, staged


async def rotate(
    store: SQLStore,
    old: bytes,
    *,
    data_dir: Path,
    environ: Mapping[str, str],
    new_key_variable: str | None,
    actor: Actor,
) -> Rotated:
    """Give the open ``store`` another secret key: a random one, or the one in the environment variable
    of that name. The store is of no use afterwards. Raises StoreError, also while a gateway serves from
    the database: it would go on sealing with the old key."""
    in_file = not environ.get(SECRET_KEY)
    new = _new_key(environ, new_key_variable, in_file=in_file)
    if new == old:
        raise SecretKeyError("The new secret key is the old one. Nothing was changed.")
    with _alone(data_dir):
        await store.claim()
        if in_file:
            stage_secret_key(data_dir, new)
        entry = AuditEntry(
            at=time.time(),
            actor=actor.name,
            via=actor.via,
            address=actor.address,
            action="secret_key.rotate",
        )
        values = await store.change_secret_key(new, entry)
        (data_dir / snapshot.FILE_NAME).unlink(missing_ok=True)  # it is made anew at the next start
        if in_file:
            adopt_staged_key(data_dir)
    return Rotated(values=values, in_file=data_dir / FILE_NAME if in_file else None)


def _new_key(environ: Mapping[str, str], variable: str | None, *, in_file: bool) -> bytes:
    if variable is not None:
        text = environ.get(variable, "")
        if not text:
            raise SecretKeyError(f"The environment variable {variable} is not set.")
        return secret_key_of(text)
    if in_file:
        return make_secret_key()
    raise SecretKeyError(
        f"The secret key comes from {SECRET_KEY}, so the new one must come from you: set a variable "
        "(NEW_KEY=$(openssl rand -base64 32)), and name it with --new-key-env NEW_KEY."
    )


@contextlib.contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Hold what a gateway on this data directory holds. Raises StoreError if one does."""
    from dragoman.runtime.books import JOURNAL_FOLDER  # noqa: PLC0415 - slow, for rotations only

    folder = data_dir / JOURNAL_FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = take_lock(folder / "lock")
    except StoreError as error:
        raise StoreError(
            f"A gateway is running on this data directory: stop it first. ({error})"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)
