"""``dragoman database``: where everything is kept, what it is like, and going back to an older version."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from dragoman.cli.options import AsJson, DatabaseUrl, DataDir, make_options, opened_store
from dragoman.cli.output import CommandFailed, say, show_json

app = typer.Typer(
    help="Look at the database, bring it up to date, or take it back.", no_args_is_help=True
)


@app.command()
def status(
    as_json: AsJson = False, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """Say where the database is, how large, and of which version. Nothing is changed.

    \b
    Example:
      dragoman database status
    """

    async def run() -> None:
        from dragoman.store.schema import NEWEST  # noqa: PLC0415

        options = make_options(data_dir=data_dir, database_url=database_url)
        async with opened_store(options, as_it_is=True) as opened:
            found = await opened.store.condition()
            place = opened.store.place
        if as_json:
            show_json(
                {"place": place, "revision": found.revision, "newest": NEWEST, "bytes": found.size}
            )
            return
        say(f"Place     {place}")
        say(
            f"Revision  {found.revision or 'none: it is empty'}{_difference(found.revision, NEWEST)}"
        )
        say(f"Size      {found.size / 2**20:.1f} MiB")

    asyncio.run(run())


@app.command()
def upgrade(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database to this version, after a copy of what it was. Every start does the same.

    \b
    Example:
      dragoman database upgrade
    """

    async def run() -> None:
        options = make_options(data_dir=data_dir, database_url=database_url)
        async with opened_store(options) as opened:
            found = await opened.store.condition()
            say(f"{opened.store.place} is at revision {found.revision}.")

    asyncio.run(run())


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="Such as 0003.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Take the database back to an older version, for an older gateway. What only the newer one keeps
    is lost from it, but stays in a copy that is made first. Stop the gateway before.

    \b
    Example:
      dragoman database downgrade 0003
    """

    async def run() -> None:
        options = make_options(data_dir=data_dir, database_url=database_url)
        async with opened_store(options, as_it_is=True) as opened:
            if not yes and not typer.confirm(f"Take {opened.store.place} back to {revision}?"):
                raise CommandFailed("Nothing was changed.")
            await opened.store.claim()
            kept = await opened.store.downgrade(revision)
            say(f"{opened.store.place} is at revision {revision}.")
            say(f"As it was before, it is kept in {kept}.")
            say("Start the older gateway now: this one brings the database up to date again.")

    asyncio.run(run())


def _difference(revision: str | None, newest: str) -> str:
    if revision is None or revision == newest:
        return ""
    if revision > newest:
        return f" (written by a newer gateway; this one knows {newest})"
    return f" (the next start brings it to {newest})"
