"""``dragoman credits``: what users paid, got back and used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dragoman.cli.administering import Desk, administer
from dragoman.cli.amounts import amount, dollars
from dragoman.cli.options import AsJson, ConfigFile, DatabaseUrl, DataDir, make_options
from dragoman.cli.output import remark, say, show_json, show_table

app = typer.Typer(
    help="Top up, give back and correct users' credit, and show it.", no_args_is_help=True
)

User = Annotated[str, typer.Argument(metavar="USER", help="The user's name or id.")]
Amount = Annotated[str, typer.Argument(metavar="USD", help="US dollars, such as 25 or 0.000125.")]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="For whoever reads the statement.")
]


@app.command(context_settings={"ignore_unknown_options": True})  # -5 is refused in words
def add(
    *,
    user: User,
    usd: Amount,
    reason: Reason = "",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Top up a user's credit.

    \b
    Examples:
      dragoman credits add alice 25
      dragoman credits add alice 25 --reason 'invoice 4711'
    """
    fields = {"kind": "topup", "amount_usd": amount(usd), "reason": reason}
    _book(user, fields, config, data_dir, database_url)


@app.command(context_settings={"ignore_unknown_options": True})
def refund(
    *,
    user: User,
    usd: Amount,
    reason: Reason = "",
    request: Annotated[
        str,
        typer.Option(
            "--request",
            metavar="ID",
            help="What it is for: refunded once, and no more than it took.",
        ),
    ] = "",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Give a user back what requests took.

    \b
    Examples:
      dragoman credits refund alice 0.05 --reason 'the answer was cut off'
      dragoman credits refund alice 0.05 --request 0197c0de-…
    """
    fields = {
        "kind": "refund",
        "amount_usd": amount(usd),
        "reason": reason,
        "request_id": request,
    }
    _book(user, fields, config, data_dir, database_url)


@app.command(context_settings={"ignore_unknown_options": True})  # -5 is no option
def adjust(
    *,
    user: User,
    usd: Amount,
    reason: Reason = "",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Correct a user's credit, up or down.

    \b
    Examples:
      dragoman credits adjust alice -5 --reason 'topped up twice'
      dragoman credits adjust alice 0.01
    """
    fields = {"kind": "adjustment", "amount_usd": amount(usd), "reason": reason}
    _book(user, fields, config, data_dir, database_url)


@app.command()
def statement(
    *,
    user: User,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="So many lines.")] = 20,
    before: Annotated[
        int | None,
        typer.Option("--before", metavar="NUMBER", help="Only lines older than this one."),
    ] = None,
    as_csv: Annotated[
        bool,
        typer.Option("--csv", help="Every entry of the user's as CSV, oldest first."),
    ] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show what moved a user's credit, newest first.

    \b
    Examples:
      dragoman credits statement alice
      dragoman credits statement alice --csv > alice.csv
    """
    if as_csv and as_json:
        raise typer.BadParameter("give --csv or --json, not both")

    async def work(desk: Desk) -> None:
        from dragoman.cli.lookup import find_user  # noqa: PLC0415
        from dragoman.governance.statements import Sought  # noqa: PLC0415

        found, accounts = find_user(desk.runtime, user), desk.admin.accounts
        if as_csv:
            async for portion in await accounts.export(Sought(user_id=found.id)):
                typer.echo(portion, nl=False)
            return
        page = await accounts.statement(found.id, None, None, limit, before)
        if as_json:
            show_json(page)
            return
        headings = ("number", "at", "kind", "amount", "balance", "key", "model", "reason")
        if page["lines"]:
            show_table(headings, [_row(line) for line in page["lines"]])
        else:
            say(f"Nothing has moved the credit of {found.name!r} yet.")
        if page["next"] is not None:
            remark(f"There is more: --before {page['next']}")
        remark(f"The credit is {dollars(page['closing_nano_usd'])}.")

    _administer(work, config, data_dir, database_url)


def _book(
    user: str,
    fields: dict[str, Any],
    config: Path | None,
    data_dir: Path | None,
    database_url: str | None,
) -> None:
    async def work(desk: Desk) -> None:
        from dragoman.cli.lookup import find_user  # noqa: PLC0415

        found, accounts = find_user(desk.runtime, user), desk.admin.accounts
        entry = await accounts.book_credit(found.id, fields, desk.actor, "")
        after = await accounts.user(found.id)
        moved = next(leg for leg in entry["legs"] if leg["account"].startswith("credit:"))
        say(
            f"Booked {dollars(moved['amount_nano_usd'])} for {found.name!r} (entry {entry['id']}); "
            f"the credit is {dollars(after['balance_nano_usd'])}."
        )

    _administer(work, config, data_dir, database_url)


def _administer(
    work: Any, config: Path | None, data_dir: Path | None, database_url: str | None
) -> None:
    """As ``administer``; also if the configuration file names users that are yet to be made."""
    administer(make_options(config, data_dir, database_url, lenient=True), work)


def _row(line: dict[str, Any]) -> list[str]:
    return [
        str(line["number"]),
        line["at"][:19],
        line["kind"],
        dollars(line["amount_nano_usd"]),
        dollars(line["balance_nano_usd"]),
        line["key_name"] or "-",
        line["model"] or "-",
        line["reason"] or "-",
    ]
