"""``dragoman keys``: the gateway's own keys."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragoman.cli.administering import Desk, administer
from dragoman.cli.amounts import Budgets, Limits, Metadata, given, in_words
from dragoman.cli.options import (
    AsJson,
    ConfigFile,
    DatabaseUrl,
    DataDir,
    make_options,
    with_runtime,
)
from dragoman.cli.output import remark, say, show_json, show_table

if TYPE_CHECKING:
    from dragoman.config.roster import Roster
    from dragoman.governance.keys import VirtualKey
    from dragoman.runtime import Runtime

app = typer.Typer(
    help="Make, change, list and revoke the keys that clients use.", no_args_is_help=True
)

Channels = Annotated[
    list[str] | None,
    typer.Option("--channel", metavar="CHANNEL", help="Allow this channel only; may be repeated."),
]
Owner = Annotated[
    str | None, typer.Option("--user", metavar="NAME", help="Whose key it is; 'default' else.")
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="MODEL", help="Allow this model only; may be repeated."),
]

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,6})\s*([mhdw])")


@app.command()
def create(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the key.")],
    channel: Channels = None,
    model: Models = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="After 12h, 30d, 4w, or at a date."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse requests that would lose a field.")
    ] = False,
    admin: Annotated[
        bool, typer.Option("--admin", help="Make a key for the administration, and only for it.")
    ] = False,
    user: Owner = None,
    limit: Limits = None,
    budget: Budgets = None,
    meta: Metadata = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a key and show it, this once. Only the key goes to standard output.

    \b
    Examples:
      dragoman keys create laptop
      dragoman keys create ci --model gpt-4o-mini --expires 30d
      dragoman keys create alice-laptop --user alice --limit requests_per_minute=60 --budget day=5
      dragoman keys create boss --admin
      KEY=$(dragoman keys create script)
    """
    fields: dict[str, Any] = {
        "name": name,
        "allowed_models": list(model or []),
        "strict": strict,
        "admin": admin,
        "expires_at": None if expires is None else _moment(expires, time.time()),
        **given({}, limit=limit, budget=budget, meta=meta),
    }
    if user is not None:
        fields["user"] = user

    async def work(desk: Desk) -> None:
        from dragoman.cli.lookup import check_channels  # noqa: PLC0415

        allowed = list(check_channels(desk.runtime, channel or []))
        text, key = await desk.admin.add_key({**fields, "allowed_channels": allowed}, desk.actor)
        remark(f"Key {key['name']!r} (id {key['id']}) was made. It is shown only now:")
        say(text)

    administer(make_options(config, data_dir, database_url), work)


@app.command()
def edit(
    *,
    key: Annotated[str, typer.Argument(metavar="NAME-OR-ID")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Call it this from now on.")
    ] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Accept the key, or refuse it.")
    ] = None,
    channel: Channels = None,
    model: Models = None,
    no_restrictions: Annotated[
        bool,
        typer.Option(
            "--no-restrictions",
            help="Allow every channel and every model; what else is named here limits anew.",
        ),
    ] = False,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="After 12h, 30d, 4w, at a date, or never."),
    ] = None,
    strict: Annotated[
        bool | None,
        typer.Option("--strict/--no-strict", help="Refuse requests that would lose a field."),
    ] = None,
    user: Owner = None,
    limit: Limits = None,
    budget: Budgets = None,
    meta: Metadata = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Change a key; what is not named stays. A running gateway knows within two seconds.

    \b
    Examples:
      dragoman keys edit laptop --disable
      dragoman keys edit ci --model gpt-4o-mini --model o3-mini --expires 30d
      dragoman keys edit ci --no-restrictions --expires never
      dragoman keys edit ci --user bob --budget month=20 --limit requests_per_minute=none
    """
    changes: dict[str, Any] = {"name": name, "enabled": enabled, "strict": strict, "user": user}
    changes = {field: value for field, value in changes.items() if value is not None}
    if no_restrictions:
        changes |= {"allowed_channels": [], "allowed_models": []}
    if model:
        changes["allowed_models"] = model
    if expires is not None:
        is_never = expires.strip().lower() == "never"
        changes["expires_at"] = None if is_never else _moment(expires, time.time())
    if not (changes or channel or limit or budget or meta):
        raise typer.BadParameter("say what to change, for example --disable")

    async def work(desk: Desk) -> None:
        from dragoman.cli.lookup import check_channels, find_key  # noqa: PLC0415

        if channel:
            changes["allowed_channels"] = list(check_channels(desk.runtime, channel))
        found = find_key(desk.runtime, key)
        (present,) = [one for one in await desk.admin.keys() if one["id"] == found.id]
        wanted = changes | given(present, limit=limit, budget=budget, meta=meta)
        changed = await desk.admin.change_key(found.id, wanted, desk.actor)
        say(f"Key {changed['name']!r} (id {changed['id']}) was changed.")

    administer(make_options(config, data_dir, database_url), work)


@app.command("list")
def list_keys(
    as_json: AsJson = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show every key by its first characters.

    \b
    Examples:
      dragoman keys list
      dragoman keys list --json
    """

    async def work(runtime: Runtime) -> None:
        now = time.time()
        rows = [_row(key, now, runtime.roster) for key in runtime.assembly.keys]
        if as_json:
            show_json(rows)
        elif rows:
            shown = [{name: _cell(value) for name, value in row.items()} for row in rows]
            show_table(
                [name.replace("_", " ") for name in shown[0]], [[*r.values()] for r in shown]
            )
        else:
            say("There are no keys. Make one: dragoman keys create NAME")

    with_runtime(make_options(config, data_dir, database_url), work)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="NAME-OR-ID")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """End a key for good; a running gateway refuses it within two seconds. A token of the
    configuration file is taken out of it.

    \b
    Example:
      dragoman keys revoke laptop
    """

    async def work(desk: Desk) -> None:
        from dragoman.cli.lookup import find_key  # noqa: PLC0415

        found = find_key(desk.runtime, key)
        await desk.admin.revoke_key(found.id, desk.actor)
        say(f"Key {found.name!r} (id {found.id}) is revoked.")

    administer(make_options(config, data_dir, database_url), work)


def _row(key: VirtualKey, now: float, users: Roster) -> dict[str, Any]:
    from dragoman.config.export import iso_moment  # noqa: PLC0415
    from dragoman.config.limits import budget_document, limits_document  # noqa: PLC0415

    moments = {
        "created": key.created_at or None,
        "last_used": key.last_used_at,
        "expires": key.expires_at,
    }
    return {
        "id": key.id,
        "name": key.name,
        "key": f"{key.hint}…",
        "status": _status(key, now),
        **{name: iso_moment(int(at)) if at else None for name, at in moments.items()},
        "channels": list(key.allowed_channels),
        "models": list(key.allowed_models),
        "strict": key.strict,
        "admin": key.admin,
        "user": users.name_of(key.user_id),
        "limits": limits_document(key.limits),
        "budget": budget_document(key.budget),
        "metadata": dict(key.metadata),
    }


def _status(key: VirtualKey, now: float) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if not key.enabled:
        return "disabled"
    return "active" if key.refusal(now) is None else "expired"


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(value) or "all"
        case dict():
            return in_words(value)
    return str(value)


def _moment(text: str, now: float) -> str:
    """The moment that ``30d`` or a date means, in ISO 8601. Raises BadParameter."""
    from dragoman.config.export import iso_moment  # noqa: PLC0415

    return iso_moment(_seconds(text, now))


def _seconds(text: str, now: float) -> float:
    from dragoman.config.checks import moment  # noqa: PLC0415
    from dragoman.config.problems import Refusal  # noqa: PLC0415

    if found := _DURATION.fullmatch(text.strip().lower()):
        return float(int(now) + int(found[1]) * _UNITS[found[2]])
    try:
        at = moment(text.strip())
    except Refusal:
        raise typer.BadParameter(
            "give a duration such as 12h, 30d or 4w, or a date such as 2027-01-31",
            param_hint="--expires",
        ) from None
    if at <= now:
        raise typer.BadParameter("lies in the past", param_hint="--expires")
    return at
