"""``dragoman keys``: the gateway's own keys."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragoman.cli.options import AsJson, ConfigFile, DataDir, make_options, with_runtime
from dragoman.cli.output import CommandFailed, remark, say, show_json, show_table

if TYPE_CHECKING:
    from dragoman.governance.keys import VirtualKey
    from dragoman.runtime import Runtime

app = typer.Typer(help="Make, list and revoke the keys that clients use.", no_args_is_help=True)

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,6})\s*([mhdw])")


@app.command()
def create(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the key.")],
    channel: Annotated[
        list[str] | None,
        typer.Option(
            "--channel", metavar="CHANNEL", help="Allow this channel only; may be repeated."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="MODEL", help="Allow this model only; may be repeated."),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="After 12h, 30d, 4w, or at a date."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse requests that would lose a field.")
    ] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and show it, this once. Only the key goes to standard output.

    \b
    Examples:
      dragoman keys create laptop
      dragoman keys create ci --model gpt-4o-mini --expires 30d
      KEY=$(dragoman keys create script)
    """
    from dragoman.config.checks import label, names  # noqa: PLC0415
    from dragoman.config.problems import Findings  # noqa: PLC0415

    findings = Findings()
    checked_name = findings.check("NAME", label, name)
    models = findings.check("--model", names, model or [])
    findings.refuse_source("The key")
    expires_at = None if expires is None else _moment(expires, time.time())

    async def work(runtime: Runtime) -> None:
        from dragoman.cli.lookup import check_channels  # noqa: PLC0415

        text, key = await runtime.create_key(
            checked_name,
            allowed_channels=check_channels(runtime, channel or []),
            allowed_models=models,
            strict=strict,
            expires_at=expires_at,
        )
        remark(f"Key {key.name!r} (id {key.id}) was made. It is shown only now:")
        say(text)

    with_runtime(make_options(config, data_dir), work)


@app.command("list")
def list_keys(as_json: AsJson = False, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Show every key by its first characters."""

    async def work(runtime: Runtime) -> None:
        now = time.time()
        rows = [_row(key, now) for key in runtime.assembly.keys]
        if as_json:
            show_json(rows)
        elif rows:
            shown = [{name: _cell(value) for name, value in row.items()} for row in rows]
            show_table(
                [name.replace("_", " ") for name in shown[0]], [[*r.values()] for r in shown]
            )
        else:
            say("There are no keys. Make one: dragoman keys create NAME")

    with_runtime(make_options(config, data_dir), work)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="NAME-OR-ID")],
    data_dir: DataDir = None,
) -> None:
    """End a key for good; a running gateway refuses it within two seconds."""

    async def work(runtime: Runtime) -> None:
        _refuse_foreign(runtime, key)
        revoked = await runtime.store.revoke_key(key, time.time())
        say(f"Key {revoked.name!r} (id {revoked.id}) is revoked.")

    with_runtime(make_options(data_dir=data_dir), work)


def _refuse_foreign(runtime: Runtime, name_or_id: str) -> None:
    """A key of a file or of the environment is ended where it is written."""
    ours = [k for k in runtime.assembly.keys if k.id.isdecimal() and k.revoked_at is None]
    if any(name_or_id in (k.id, k.name) for k in ours):
        return
    if any(name_or_id in (k.id, k.name) for k in runtime.assembly.keys if not k.id.isdecimal()):
        raise CommandFailed(
            f"The key {name_or_id!r} stands in the configuration file or the environment: "
            "take it out there."
        )


def _row(key: VirtualKey, now: float) -> dict[str, Any]:
    from dragoman.config.export import iso_moment  # noqa: PLC0415

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
    return str(value)


def _moment(text: str, now: float) -> float:
    """The moment that ``30d`` or a date means. Raises CommandFailed."""
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
