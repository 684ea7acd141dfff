"""Where the database is, by flag, environment and data directory, and opening it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from dragoman.canonical.secret import Secret
from dragoman.config import environment as env
from dragoman.runtime.secret_key import open_with_key
from dragoman.store import sealing
from dragoman.store.errors import DatabaseAway, SecretKeyError, StoreError
from dragoman.store.sealing import load_secret_key
from dragoman.store.sqlite import FILE_NAME, SQLiteStore

if TYPE_CHECKING:
    from dragoman.store.postgres import PostgresStore
    from dragoman.store.sql import SQLStore

_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
_FORMS = "Give postgresql://USER:PASSWORD@HOST:PORT/NAME or sqlite:///PATH."


async def open_store(
    data_dir: Path,
    environ: Mapping[str, str],
    url: Secret | None = None,
    *,
    may_be_away: bool = False,
    as_it_is: bool = False,
) -> tuple[SQLStore, bytes]:
    """The database, brought to the newest schema, and its secret key. Without ``url`` it is the file
    in the data directory. One that ``may_be_away`` is given back even if it cannot be reached yet;
    ``as_it_is`` is for looking after it: nothing is asked of it and nothing brought up to date.
    Raises StoreError, which never repeats the URL."""
    parsed = None if url is None else _parsed(url)
    if parsed is not None and parsed.drivername in _POSTGRES:
        return await _open_postgres(
            data_dir, environ, parsed, may_be_away=may_be_away, as_it_is=as_it_is
        )
    path = data_dir / FILE_NAME if parsed is None else Path(parsed.database or "")
    if as_it_is:
        secret_key = load_secret_key(environ.get(env.SECRET_KEY), data_dir, may_create=False)
        return SQLiteStore(path, secret_key), secret_key
    is_new = not path.exists() or path.stat().st_size == 0
    return await open_with_key(
        data_dir, environ, lambda key: SQLiteStore.open(path, key), is_new=is_new
    )


async def _open_postgres(
    data_dir: Path, environ: Mapping[str, str], url: URL, *, may_be_away: bool, as_it_is: bool
) -> tuple[PostgresStore, bytes]:
    try:
        from dragoman.store.postgres import PostgresStore  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise StoreError(
            "For PostgreSQL its driver is needed, which is not installed: "
            f"pip install 'dragoman[postgres]' ({error})."
        ) from None
    if as_it_is:
        secret_key = load_secret_key(environ.get(env.SECRET_KEY), data_dir, may_create=False)
        return PostgresStore(url, secret_key, as_it_is=True), secret_key
    key_file = data_dir / sealing.FILE_NAME
    is_new = not key_file.exists()

    async def prepared(secret_key: bytes) -> PostgresStore:
        store = PostgresStore(url, secret_key)
        try:
            await store.prepare()
        except BaseException as error:
            if isinstance(error, DatabaseAway) and may_be_away:
                return store
            if isinstance(error, SecretKeyError) and is_new:
                key_file.unlink(missing_ok=True)  # made just now, and of no use
            await store.close()
            raise
        return store

    return await open_with_key(data_dir, environ, prepared, is_new=True)


def _parsed(url: Secret) -> URL:
    """Raises StoreError for what is no database's URL."""
    try:
        parsed = make_url(url.reveal())
        port = parsed.port or 1
    except (ArgumentError, ValueError):
        raise StoreError(f"The database's URL cannot be read. {_FORMS}") from None
    if parsed.drivername == "sqlite" and parsed.database and not parsed.host:
        return parsed
    if parsed.drivername in _POSTGRES and parsed.database and 0 < port < 65536:
        return parsed
    raise StoreError(f"The database's URL is of no kind that can be used. {_FORMS}")
