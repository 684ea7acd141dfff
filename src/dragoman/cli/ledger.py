"""``dragoman ledger``: the books, read beside a running gateway; it brings what is over to them within a
second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dragoman.cli.options import AsJson, DatabaseUrl, DataDir, make_options, opened_store
from dragoman.cli.output import CommandFailed, ExitCode, complain, say, show_json, show_table
from dragoman.cli.request_log import moment_text, printable, since_moment

if TYPE_CHECKING:
    from dragoman.governance.ledger import Entry
    from dragoman.governance.statements import Sought
    from dragoman.runtime import Options
    from dragoman.store.sql import SQLStore

app = typer.Typer(help="Read and check the books.", no_args_is_help=True)

_PRICE_SOURCES = {
    "operator": "your own price",
    "provider": "the provider's price list",
    "local": "no price: it runs on this machine",
    "stated": "the setting unpriced_price",
}
"""In words; every other source is a name."""

User = Annotated[
    str | None, typer.Option("--user", metavar="NAME-OR-ID", help="Only what is this user's.")
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Only from 30m, 1h or 2d ago on, or from a date."),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", help="Only what was before that.")
]


@app.command()
def verify(
    as_json: AsJson = False, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """Check that the books add up: that the legs of every entry sum to zero, that every balance and
    every sum is that of its entries, and that no prepaid account is below zero. The gateway may go on
    serving. Ends with 1 if something is wrong.

    \b
    Examples:
      dragoman ledger verify
      dragoman ledger verify --json
    """

    async def work(store: SQLStore) -> None:
        import msgspec  # noqa: PLC0415 - not needed for --help

        prepaid = {user.id for user in await store.users() if user.prepaid}
        found = await store.ledger().verify(prepaid)
        if as_json:
            show_json({"ok": found.ok} | msgspec.to_builtins(found))
        elif found.ok:
            say(f"The books add up: {found.entries:,} entries, {found.accounts:,} accounts.")
        if not found.ok:
            if not as_json:
                lines = (f"\n  {printable(words)}" for words in found.words)
                complain(f"the books, {found.entries:,} entries, do not add up:{''.join(lines)}")
            raise typer.Exit(ExitCode.FAILED)

    _with_store(make_options(data_dir=data_dir, database_url=database_url), work)


@app.command()
def show(
    entry_id: Annotated[
        str, typer.Argument(metavar="ID", help="A request's id, or an entry's own.")
    ],
    as_json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show what was booked for a request: its usage, what it cost and by which price, and between
    which accounts the money moved.

    \b
    Examples:
      dragoman ledger show 0199c2a4-7b3e-7a1f-8c5d-1f2e3d4c5b6a
    """

    async def work(store: SQLStore) -> None:
        found = await store.ledger().entry(entry_id.strip())
        if not found:
            raise CommandFailed(
                f"Nothing was booked under the id {entry_id!r}. The whole id stands in the answer's "
                "x-request-id header; a request that cost nothing may have no entry, and one that "
                "has just ended has it in a second."
            )
        if as_json:
            from dragoman.runtime.statements import entry_document  # noqa: PLC0415

            show_json([entry_document(entry) for entry in found])
            return
        for entry in found:
            for line in _in_words(entry):
                say(line)

    _with_store(make_options(data_dir=data_dir, database_url=database_url), work)


@app.command()
def export(
    user: User = None,
    since: Since = None,
    until: Until = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write entries as CSV, oldest first. Amounts are whole nano-USD (a thousand-millionth of a
    dollar); cost_usd is the same in dollars.

    \b
    Examples:
      dragoman ledger export > books.csv
      dragoman ledger export --user ann --since 2027-01-01 --until 2027-02-01 > january.csv
    """

    async def work(store: SQLStore) -> None:
        async for piece in store.ledger().export(await _sought(store, user, since, until)):
            typer.echo(piece.encode(), nl=False)  # bytes: the line ends are CSV's own

    _with_store(make_options(data_dir=data_dir, database_url=database_url), work)


@app.command()
def usage(
    *,
    by: Annotated[
        Literal["user", "key", "model", "channel", "provider"] | None,
        typer.Option("--by", help="A row for each of these."),
    ] = None,
    bucket: Annotated[
        Literal["hour", "day", "month"], typer.Option("--bucket", help="A row for each, in UTC.")
    ] = "day",
    user: User = None,
    since: Since = None,
    until: Until = None,
    attempts: Annotated[
        bool,
        typer.Option(
            "--attempts", help="Failed attempts that cost the operator, instead of users' requests."
        ),
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show what was used over time. Whole hours are counted.

    \b
    Examples:
      dragoman ledger usage --by model --bucket day --since 7d
      dragoman ledger usage --by user --bucket month --json
    """

    async def work(store: SQLStore) -> None:
        from dragoman.governance.money import dollars  # noqa: PLC0415 - not needed for --help
        from dragoman.runtime.statements import usage_document  # noqa: PLC0415

        users = {one.id: one.name for one in await store.users()}
        keys = {one.id: one.name for one in await store.keys()}
        found = await store.ledger().usage(
            await _sought(store, user, since, until), bucket=bucket, by=by, attempts=attempts
        )
        rows = [usage_document(row, users, keys) for row in found]
        if as_json:
            show_json(rows)
        elif not rows:
            say("Nothing was used.")
        else:
            heads = ["from", *([by] if by else []), "requests", "errors", "input", "cached"]
            cells = [
                [
                    moment_text(row.start),
                    *([printable(shown["name"] or "-")] if by else []),
                    *(str(n) for n in (row.used.requests, row.used.errors, row.used.input)),
                    *(str(n) for n in (row.used.cached, row.used.output, row.used.unpriced)),
                    dollars(row.used.cost),
                ]
                for row, shown in zip(found, rows, strict=True)
            ]
            show_table([*heads, "output", "unpriced", "cost"], cells)

    _with_store(make_options(data_dir=data_dir, database_url=database_url), work)


def _with_store(options: Options, work: Callable[[SQLStore], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with opened_store(options) as opened:
            await work(opened.store)

    asyncio.run(run())


async def _sought(
    store: SQLStore, user: str | None, since: str | None, until: str | None
) -> Sought:
    """The filter that the options mean. Raises CommandFailed, BadParameter."""
    from dragoman.governance.statements import Sought  # noqa: PLC0415 - not needed for --help

    return Sought(
        user_id=None if user is None else await _user_id(store, user),
        since=None if since is None else since_moment(since),
        until=None if until is None else since_moment(until, "--until"),
    )


async def _user_id(store: SQLStore, name_or_id: str) -> int:
    for user in await store.users():
        if name_or_id in (user.name, str(user.id)):
            return user.id
    raise CommandFailed(f"No user has the name or id {name_or_id!r}: see 'dragoman users list'.")


def _in_words(entry: Entry) -> Iterator[str]:
    """An entry for people."""
    from dragoman.governance.money import dollars  # noqa: PLC0415 - not needed for --help
    from dragoman.governance.price import BUCKETS  # noqa: PLC0415

    yield f"{printable(entry.id)}  {entry.kind}"
    yield f"  {moment_text(entry.at, exact=True)}  user {entry.user_id}" + (
        f", key {printable(entry.key_name)} (id {printable(entry.key_id)})" if entry.key_id else ""
    )
    if entry.model:
        yield (
            f"  {printable(entry.operation)} with {printable(entry.model)} by "
            f"{printable(entry.channel) or 'no channel'}: {printable(entry.outcome)}"
        )
    if (used := entry.usage) is not None:
        counts = (f"{getattr(used, name)} {name}" for name in BUCKETS if getattr(used, name))
        yield f"  tokens: {', '.join(counts) or 'none'}" + (
            " (estimated)" if used.estimated else ""
        )
    if entry.cost is None:
        yield "  cost: nobody says what it costs"
    elif entry.price_source:
        said = _PRICE_SOURCES.get(entry.price_source) or printable(entry.price_source)
        of = f" as of {printable(entry.price_date)}" if entry.price_date else ""
        yield f"  cost: {dollars(entry.cost)}, by {said}{of}"
    for leg in entry.legs:
        yield f"  {dollars(leg.amount)} to {leg.account}"
    for said in (entry.actor and f"by {entry.actor}", entry.reason):
        if said:
            yield f"  {printable(said)}"
