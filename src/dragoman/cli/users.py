"""``dragoman users``: who owns keys and credit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragoman.cli.administering import Desk, administer
from dragoman.cli.amounts import (
    Budgets,
    Limits,
    Metadata,
    amount,
    dollars,
    dollars_of,
    given,
    in_words,
    money_in_words,
)
from dragoman.cli.options import AsJson, ConfigFile, DatabaseUrl, DataDir, make_options
from dragoman.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(
    help="Make, change and list the users who own keys and credit.", no_args_is_help=True
)

User = Annotated[str, typer.Argument(metavar="NAME-OR-ID")]
Email = Annotated[str | None, typer.Option("--email", metavar="ADDRESS", help="Only remembered.")]


@app.command()
def create(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the user.")],
    email: Email = None,
    prepaid: Annotated[
        bool,
        typer.Option("--prepaid", help="Refuse requests that the user's credit cannot pay for."),
    ] = False,
    trial: Annotated[
        bool,
        typer.Option("--trial", help="Begin a trial: 3 days, $10, 100,000 tokens, 1,000 requests."),
    ] = False,
    limit: Limits = None,
    budget: Budgets = None,
    meta: Metadata = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a user. Users are never removed, because the ledger names them: disable them.

    \b
    Examples:
      dragoman users create alice
      dragoman users create bob --email bob@example.com --prepaid --limit requests_per_minute=60
      dragoman users create guest --trial --budget month=100
    """
    fields: dict[str, Any] = {
        "name": name,
        "email": email or "",
        "prepaid": prepaid,
        **given({}, limit=limit, budget=budget, meta=meta),
    }
    if trial:
        fields["trial"] = {}

    async def work(desk: Desk) -> None:
        user = await desk.admin.accounts.add_user(fields, desk.actor)
        say(f"User {user['name']!r} (id {user['id']}) was made.")
        if user["trial"] is not None:
            say(_trial_in_words(user["trial"]))

    _administer(work, config, data_dir, database_url)


@app.command("list")
def list_users(
    as_json: AsJson = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show every user, with credit and what was spent this month.

    \b
    Examples:
      dragoman users list
      dragoman users list --json
    """

    async def work(desk: Desk) -> None:
        users = await desk.admin.accounts.users()
        if as_json:
            show_json(users)
            return
        headings = ("id", "name", "enabled", "prepaid", "credit", "spent this month", "trial until")
        show_table(headings, [_row(user) for user in users])

    _administer(work, config, data_dir, database_url)


@app.command()
def show(
    user: User,
    as_json: AsJson = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show everything about one user.

    \b
    Example:
      dragoman users show alice
    """

    async def work(desk: Desk) -> None:
        from dragoman.cli.lookup import find_user  # noqa: PLC0415

        found = await desk.admin.accounts.user(find_user(desk.runtime, user).id)
        if as_json:
            show_json(found)
            return
        keys = [key.name for key in desk.runtime.keys if key.user_id == found["id"]]
        show_table(
            ("field", "value"),
            [
                ["id", str(found["id"])],
                ["name", found["name"]],
                ["email", found["email"] or "-"],
                ["enabled", _yes(found["enabled"])],
                ["prepaid", _yes(found["prepaid"])],
                ["credit", dollars(found["balance_nano_usd"])],
                ["spent", money_in_words(found["spent"])],
                ["limits", in_words(found["limits"])],
                ["budget", money_in_words(found["budget"])],
                ["trial", _trial_in_words(found["trial"]) if found["trial"] else "-"],
                ["metadata", in_words(found["metadata"])],
                ["keys", ", ".join(keys) or "-"],
            ],
        )

    _administer(work, config, data_dir, database_url)


@app.command()
def edit(
    *,
    user: User,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Call the user this from now on.")
    ] = None,
    email: Email = None,
    prepaid: Annotated[
        bool | None,
        typer.Option("--prepaid/--postpaid", help="Whether credit must be there beforehand."),
    ] = None,
    limit: Limits = None,
    budget: Budgets = None,
    meta: Metadata = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Change a user; what is not named stays. A running gateway knows within two seconds.

    \b
    Examples:
      dragoman users edit alice --limit requests_per_minute=120 --limit tokens_per_day=none
      dragoman users edit bob --prepaid --budget month=50
    """
    changes: dict[str, Any] = {"name": name, "email": email, "prepaid": prepaid}
    changes = {field: value for field, value in changes.items() if value is not None}
    if not (changes or limit or budget or meta):
        raise typer.BadParameter("say what to change, for example --prepaid")

    async def work(desk: Desk) -> None:
        from dragoman.cli.lookup import find_user  # noqa: PLC0415

        found = find_user(desk.runtime, user)
        present = await desk.admin.accounts.user(found.id)
        wanted = changes | given(present, limit=limit, budget=budget, meta=meta)
        changed = await desk.admin.accounts.change_user(found.id, wanted, desk.actor)
        say(f"User {changed['name']!r} (id {changed['id']}) was changed.")

    _administer(work, config, data_dir, database_url)


@app.command()
def enable(
    user: User,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Accept a user's keys again.

    \b
    Example:
      dragoman users enable alice
    """
    _switch(user, True, config, data_dir, database_url)


@app.command()
def disable(
    user: User,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Refuse all of a user's keys; a running gateway does so within two seconds.

    \b
    Example:
      dragoman users disable alice
    """
    _switch(user, False, config, data_dir, database_url)


@app.command()
def trial(
    *,
    user: User,
    days: Annotated[
        float | None, typer.Option("--days", metavar="DAYS", help="So long; 3 else.")
    ] = None,
    usd: Annotated[
        str | None, typer.Option("--usd", metavar="USD", help="So many US dollars; 10 else.")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option("--tokens", metavar="NUMBER", help="So many; 100,000 else.")
    ] = None,
    requests: Annotated[
        str | None, typer.Option("--requests", metavar="NUMBER", help="So many; 1,000 else.")
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End the present trial.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Begin a trial, in place of the one there may be, or end it. 'none' means without bound.

    \b
    Examples:
      dragoman users trial guest
      dragoman users trial guest --days 14 --usd 25 --tokens none --requests none
      dragoman users trial guest --end
    """
    from dragoman.config.words import number  # noqa: PLC0415

    asked: dict[str, Any] = {}
    if days is not None:
        asked["days"] = days
    for field, text in (("usd", usd), ("tokens", tokens), ("requests", requests)):
        if text is not None:
            is_free = text.strip().lower() == "none"
            bound = amount(text) if field == "usd" else number(text.replace(",", ""))
            asked[field] = None if is_free else bound
    if end and asked:
        raise typer.BadParameter("ends a trial; say nothing else with it", param_hint="--end")

    async def work(desk: Desk) -> None:
        from dragoman.cli.lookup import find_user  # noqa: PLC0415

        found = find_user(desk.runtime, user)
        if end:
            await desk.admin.accounts.end_trial(found.id, desk.actor)
            say(f"User {found.name!r} (id {found.id}) has no trial any more.")
            return
        changed = await desk.admin.accounts.start_trial(found.id, asked, desk.actor)
        say(f"User {found.name!r} (id {found.id}): {_trial_in_words(changed['trial'])}")

    _administer(work, config, data_dir, database_url)


def _switch(
    user: str,
    enabled: bool,
    config: Path | None,
    data_dir: Path | None,
    database_url: str | None,
) -> None:
    async def work(desk: Desk) -> None:
        from dragoman.cli.lookup import find_user  # noqa: PLC0415

        found = find_user(desk.runtime, user)
        await desk.admin.accounts.change_user(found.id, {"enabled": enabled}, desk.actor)
        say(f"User {found.name!r} (id {found.id}) is {'enabled' if enabled else 'disabled'}.")

    _administer(work, config, data_dir, database_url)


def _administer(
    work: Any, config: Path | None, data_dir: Path | None, database_url: str | None
) -> None:
    """As ``administer``; also if the configuration file names users that are yet to be made."""
    administer(make_options(config, data_dir, database_url, lenient=True), work)


def _row(user: dict[str, Any]) -> list[str]:
    trial = user["trial"]
    return [
        str(user["id"]),
        user["name"],
        _yes(user["enabled"]),
        _yes(user["prepaid"]),
        dollars(user["balance_nano_usd"]),
        dollars_of(user["spent"]["month"]),
        trial["ends_at"][:16] if trial else "-",
    ]


def _trial_in_words(trial: dict[str, Any]) -> str:
    usd = "no bound in dollars" if trial["usd"] is None else dollars_of(trial["usd"])
    bounds = [
        "no bound in " + what if trial[what] is None else f"{trial[what]:,} {what}"
        for what in ("tokens", "requests")
    ]
    return f"trial until {trial['ends_at']}: {usd}, {', '.join(bounds)}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
