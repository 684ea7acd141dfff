"""Options that several commands share, and the runtime opened by them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from dragoman.cli.output import CommandFailed

if TYPE_CHECKING:
    from dragoman.runtime import Options, Runtime
    from dragoman.store.sql import SQLStore

Result = TypeVar("Result")


class Opened(NamedTuple):
    """A database, its secret key, the data directory and the environment with ``.env``."""

    store: SQLStore
    key: bytes
    folder: Path
    environ: dict[str, str]


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Use this configuration file. [env: DRAGOMAN_CONFIG]"
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Where the database and the secret key lie. [env: DRAGOMAN_DATA_DIR]",
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="postgresql://USER:PASSWORD@HOST:PORT/NAME or sqlite:///PATH, in the place of the "
        "database in the data directory. [env: DRAGOMAN_DATABASE_URL, which keeps the password off "
        "the list of processes]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def make_options(
    config: Path | None = None,
    data_dir: Path | None = None,
    database_url: str | None = None,
    **others: Any,
) -> Options:
    """The options of this process: flags, environment and working directory."""
    from dragoman.canonical.secret import Secret  # noqa: PLC0415 - not needed for --help
    from dragoman.runtime import Options  # noqa: PLC0415

    return Options(
        config=config,
        data_dir=data_dir,
        database_url=Secret(database_url) if database_url else None,
        environ=dict(os.environ),
        directory=Path.cwd(),
        **others,
    )


@contextlib.asynccontextmanager
async def opened(options: Options) -> AsyncIterator[Runtime]:
    """The runtime, closed at the end."""
    from dragoman.runtime import Runtime  # noqa: PLC0415 - not needed for --help

    runtime = await Runtime.open(options)
    try:
        yield runtime
    finally:
        await runtime.close()


@contextlib.asynccontextmanager
async def opened_store(options: Options, *, as_it_is: bool = False) -> AsyncIterator[Opened]:
    """The database of a gateway and what belongs to it, closed at the end; brought to the newest
    schema, unless it is to be left ``as_it_is``. No configuration is read: it may be what went wrong.
    Raises CommandFailed if there is none yet, and StoreError."""
    from dragoman.runtime import data_dir_of, database_url, environ_of  # noqa: PLC0415
    from dragoman.runtime.opening import open_store  # noqa: PLC0415
    from dragoman.store.sqlite import FILE_NAME  # noqa: PLC0415

    environ = environ_of(options)
    folder = data_dir_of(options, environ)
    url = database_url(options, environ)
    if url is None and not (folder / FILE_NAME).is_file():
        raise CommandFailed(
            f"There is no database in {folder}. Name the gateway's data directory: --data-dir"
        )
    store, key = await open_store(folder, environ, url, as_it_is=as_it_is)
    try:
        yield Opened(store, key, folder, environ)
    finally:
        await store.close()


def with_runtime(
    options: Options, work: Callable[[Runtime], Coroutine[Any, Any, Result]]
) -> Result:
    """Open the runtime, do ``work`` with it, close it."""

    async def run() -> Result:
        async with opened(options) as runtime:
            return await work(runtime)

    return asyncio.run(run())
