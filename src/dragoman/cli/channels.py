"""``dragoman channels``: the configured ways to providers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragoman.cli import channel_edit
from dragoman.cli.administering import Desk, administer
from dragoman.cli.options import (
    AsJson,
    ConfigFile,
    DatabaseUrl,
    DataDir,
    make_options,
    with_runtime,
)
from dragoman.cli.output import CommandFailed, ExitCode, marks, say, show_json, show_table

if TYPE_CHECKING:
    from dragoman.config.assemble import Sourced
    from dragoman.runtime import Runtime

app = typer.Typer(
    help="Add, change, list, try out and remove channels to providers.", no_args_is_help=True
)

NameOrId = Annotated[str, typer.Argument(metavar="NAME-OR-ID")]


@app.command("list")
def list_channels(
    as_json: AsJson = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show every channel and where it comes from; credentials only by their last characters.

    \b
    Examples:
      dragoman channels list
      dragoman channels list --json --config config.json
    """

    async def work(runtime: Runtime) -> None:
        rows = [_row(one) for one in runtime.assembly.channels]
        if as_json:
            show_json(rows)
        elif rows:
            shown = [name for name in rows[0] if name != "protocols"]
            cells = [[_cell(row[name]) for name in shown] for row in rows]
            show_table([name.replace("_", " ") for name in shown], cells)
        else:
            say("There are no channels. Add one: dragoman channels add --type openai")

    with_runtime(make_options(config, data_dir, database_url), work)


@app.command()
def show(
    channel: NameOrId,
    as_json: AsJson = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show every field of a channel; *** stands for a secret that is set.

    \b
    Examples:
      dragoman channels show openai
      dragoman channels show openai --json
    """
    from dragoman.cli.lookup import find_channel  # noqa: PLC0415
    from dragoman.runtime.documents import channel_document  # noqa: PLC0415

    async def work(runtime: Runtime) -> None:
        document = channel_document(find_channel(runtime, channel))
        if as_json:
            show_json(document)
        else:
            show_table(("field", "value"), [[name, _text(v)] for name, v in document.items()])

    with_runtime(make_options(config, data_dir, database_url), work)


app.command()(channel_edit.add)
app.command()(channel_edit.edit)


@app.command()
def enable(
    channel: NameOrId,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Use a channel again.

    \b
    Example:
      dragoman channels enable openai
    """
    _switch(channel, True, config, data_dir, database_url)


@app.command()
def disable(
    channel: NameOrId,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Use a channel no more, but keep it. Requests under way are finished.

    \b
    Example:
      dragoman channels disable openai
    """
    _switch(channel, False, config, data_dir, database_url)


@app.command("test")
def try_out(
    channel: Annotated[
        str | None, typer.Argument(metavar="[NAME-OR-ID]", help="Else every enabled channel.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="MODEL", help="Generate a few tokens instead of listing the models."
        ),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Send a small real request through a channel and say what is wrong, if anything is.

    \b
    Examples:
      dragoman channels test
      dragoman channels test openai --model gpt-4o-mini
    """
    from dragoman.cli.lookup import find_channel  # noqa: PLC0415
    from dragoman.cli.probing import probe  # noqa: PLC0415
    from dragoman.runtime.administration import Administrator  # noqa: PLC0415
    from dragoman.runtime.rotation import Rotation  # noqa: PLC0415

    async def work(runtime: Runtime) -> bool:
        chosen = (
            [find_channel(runtime, channel)]
            if channel is not None
            else [one for one in runtime.assembly.channels if one.entry.enabled]
        )
        if not chosen:
            raise CommandFailed("There are no channels to test.")
        good, bad = marks()
        keep = Rotation(Administrator(runtime).rotate_credential).keep
        results = [(one, await probe(one.channel, model, keep)) for one in chosen]
        for one, result in results:
            status = f"HTTP {result.status}, " if result.status is not None else ""
            say(
                f"{good if result.ok else bad} {one.entry.name}: {result.detail} "
                f"({status}{result.milliseconds:.0f} ms)"
            )
        return all(result.ok for _, result in results)

    if not with_runtime(make_options(config, data_dir, database_url), work):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def remove(
    channel: NameOrId,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Forget a channel and its credentials. Requests under way are finished.

    \b
    Examples:
      dragoman channels remove openai
      dragoman channels remove openai --config config.json
    """

    async def work(desk: Desk) -> None:
        channel_id, name = await _to_remove(desk.runtime, channel)
        await desk.admin.remove_channel(channel_id, desk.actor)
        say(f"Channel {name!r} (id {channel_id}) was removed.")

    administer(make_options(config, data_dir, database_url), work)


def _switch(
    channel: str, on: bool, config: ConfigFile, data_dir: DataDir, database_url: DatabaseUrl
) -> None:
    from dragoman.cli.lookup import find_channel  # noqa: PLC0415

    async def work(desk: Desk) -> None:
        channel_id = find_channel(desk.runtime, channel).entry.id
        changed = await desk.admin.change_channel(channel_id, {"enabled": on}, desk.actor)
        say(f"Channel {changed['name']!r} is {'enabled' if on else 'disabled'}.")

    administer(make_options(config, data_dir, database_url), work)


async def _to_remove(runtime: Runtime, channel: str) -> tuple[int, str]:
    """Id and name; also of a channel in the database that this version cannot use."""
    from dragoman.cli.lookup import find_channel  # noqa: PLC0415

    if runtime.config_path is None:
        for row in await runtime.store.channels():
            if channel in (str(row.id), row.name):
                return row.id, row.name
    entry = find_channel(runtime, channel).entry
    return entry.id, entry.name


def _row(one: Sourced) -> dict[str, Any]:
    entry, channel = one.entry, one.channel
    return {
        "id": entry.id,
        "name": entry.name,
        "type": entry.type,
        "base_url": channel.endpoints[0].base_url,
        "protocols": [endpoint.protocol for endpoint in channel.endpoints],
        "api_key": ", ".join(one.hint for one in channel.credentials) or None,
        "models": [*channel.models, *channel.aliases],
        "priority": channel.priority,
        "enabled": channel.enabled,
        "source": one.source,
    }


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() if len(value) > 3:
            return f"{', '.join(value[:3])} and {len(value) - 3} more"
        case list():
            return ", ".join(value) or "all"
    return str(value)


def _text(value: Any) -> str:
    """A value of any field."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(_text, value)) or "-"
        case dict():
            return ", ".join(f"{name}={_text(item)}" for name, item in value.items()) or "-"
    return str(value) or "-"
