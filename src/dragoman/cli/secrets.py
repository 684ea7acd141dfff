"""``dragoman secrets``: the key that seals what is secret in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragoman.cli.administering import user_name
from dragoman.cli.options import AsJson, DatabaseUrl, DataDir, make_options, opened_store
from dragoman.cli.output import ExitCode, complain, remark, say, show_json

if TYPE_CHECKING:
    from dragoman.runtime import Options
    from dragoman.store.sql import SQLStore

app = typer.Typer(help="Check the sealed secrets, and change their key.", no_args_is_help=True)

Work = Callable[["SQLStore", bytes, Path, Mapping[str, str]], Coroutine[Any, Any, None]]


@app.command()
def rotate(
    new_key_env: Annotated[
        str | None,
        typer.Option(
            "--new-key-env",
            metavar="NAME",
            help="Take the new secret key from this environment variable; a random one else.",
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a new secret key and seal everything with it. Stop the gateway first.

    Virtual keys go on working. Copies of the database made before open with the old key only: keep it
    with them. If the old key is in wrong hands, change the providers' credentials, too.

    \b
    Examples:
      dragoman secrets rotate
      NEW_KEY=$(openssl rand -base64 32) dragoman secrets rotate --new-key-env NEW_KEY
    """

    async def work(store: SQLStore, key: bytes, folder: Path, environ: Mapping[str, str]) -> None:
        from dragoman.runtime.secret_key import rotate as change  # noqa: PLC0415
        from dragoman.server.admin.contract import Actor  # noqa: PLC0415

        done = await change(
            store,
            key,
            data_dir=folder,
            environ=environ,
            new_key_variable=new_key_env,
            actor=Actor(name=user_name(), via="cli"),
        )
        say(f"The secret key was changed; {done.values} values are sealed with the new one.")
        if done.in_file is None:
            remark(
                "The database opens with the new key only: set DRAGOMAN_SECRET_KEY to what "
                f"{new_key_env} holds before you start the gateway."
            )
        else:
            remark(f"It is in {done.in_file}. Back it up, apart from the database.")

    _with_store(make_options(data_dir=data_dir, database_url=database_url), work)


@app.command()
def check(
    as_json: AsJson = False, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """Try to open every sealed value, and name those that do not open. Ends with 1 if there are any.

    \b
    Example:
      dragoman secrets check
    """

    async def work(store: SQLStore, key: bytes, folder: Path, environ: Mapping[str, str]) -> None:
        health = await store.examine()
        if as_json:
            show_json({"opened": dict(health.opened), "damaged": list(health.damaged)})
        else:
            for table, number in health.opened.items():
                say(f"{table}: {number} sealed values open")
        if health.damaged:
            for place in health.damaged:
                complain(f"{place} does not open: it is damaged, or sealed with another key.")
            raise typer.Exit(ExitCode.FAILED)

    _with_store(make_options(data_dir=data_dir, database_url=database_url), work)


def _with_store(options: Options, work: Work) -> None:
    """Open the database, do ``work`` with it, its key, the data directory and the environment, close
    it. No configuration is read. Raises CommandFailed or StoreError."""

    async def run() -> None:
        async with opened_store(options) as opened:
            await work(*opened)

    asyncio.run(run())
