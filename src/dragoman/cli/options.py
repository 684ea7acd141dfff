"""Options that several commands share, and the runtime opened by them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from dragoman.runtime import Options, Runtime

Result = TypeVar("Result")

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
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def make_options(
    config: Path | None = None, data_dir: Path | None = None, **others: Any
) -> Options:
    """The options of this process: flags, environment and working directory."""
    from dragoman.runtime import Options  # noqa: PLC0415 - not needed for --help

    return Options(
        config=config, data_dir=data_dir, environ=dict(os.environ), directory=Path.cwd(), **others
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


def with_runtime(
    options: Options, work: Callable[[Runtime], Coroutine[Any, Any, Result]]
) -> Result:
    """Open the runtime, do ``work`` with it, close it."""

    async def run() -> Result:
        async with opened(options) as runtime:
            return await work(runtime)

    return asyncio.run(run())
