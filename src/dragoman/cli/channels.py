"""``dragoman channels``: the configured ways to providers."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragoman.cli.options import AsJson, ConfigFile, DataDir, make_options, with_runtime
from dragoman.cli.output import CommandFailed, ExitCode, marks, remark, say, show_json, show_table

if TYPE_CHECKING:
    from dragoman.config.assemble import Sourced
    from dragoman.config.schema import ChannelEntry
    from dragoman.providers.provider import Provider
    from dragoman.runtime import Runtime

app = typer.Typer(help="Add, list, try out and remove channels to providers.", no_args_is_help=True)

Many = list[str] | None


@app.command("list")
def list_channels(
    as_json: AsJson = False, config: ConfigFile = None, data_dir: DataDir = None
) -> None:
    """Show every channel and where it comes from; credentials only by their last characters."""

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

    with_runtime(make_options(config, data_dir), work)


@app.command()
def add(
    *,
    kind: Annotated[
        str,
        typer.Option(
            "--type", metavar="PROVIDER", help="The provider: openai, anthropic, gemini, ollama …"
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call it; else the type.")
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key",
            metavar="KEY",
            help="The provider's key. Others may see it in the process list.",
        ),
    ] = None,
    from_stdin: Annotated[
        bool, typer.Option("--api-key-stdin", help="Read the provider's key from standard input.")
    ] = False,
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Another address.")
    ] = None,
    model: Annotated[
        Many,
        typer.Option(
            "--model", metavar="MODEL", help="Serve this model; may be repeated. Else all."
        ),
    ] = None,
    alias: Annotated[
        Many,
        typer.Option("--alias", metavar="PUBLIC=UPSTREAM", help="Serve a model by another name."),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol", metavar="PROTOCOL", help="What it speaks, if not the provider's own."
        ),
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option("--priority", metavar="NUMBER", help="Lower goes first; the default is 1."),
    ] = None,
    proxy: Annotated[
        str | None, typer.Option("--proxy", metavar="URL", help="An HTTP or SOCKS5 proxy.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Add a channel. Without a key option, the key is asked for and not shown.

    \b
    Examples:
      dragoman channels add --type openai
      dragoman channels add --type anthropic --model claude-sonnet-5 --priority 2
      dragoman channels add --type ollama --base-url http://gpu-box:11434
      dragoman channels add --type custom --protocol openai_chat --base-url https://llm.example/v1
    """
    raw = {
        "name": name,
        "type": kind,
        "base_url": base_url,
        "models": list(model or []),
        "aliases": _aliases(alias or []),
        "protocol": protocol,
        "priority": priority,
        "proxy_url": proxy,
    }
    given: dict[str, Any] = {field: value for field, value in raw.items() if value is not None}

    async def work(runtime: Runtime) -> None:
        from dragoman.config.stored import stored_channel  # noqa: PLC0415
        from dragoman.providers.catalog import find  # noqa: PLC0415

        provider = find(runtime.catalog, kind)
        given.setdefault("name", _free_name(kind.removeprefix("builtin:"), runtime))
        given["api_key"] = _api_key(api_key, from_stdin, provider, bool(base_url))
        entry = _checked(given, runtime)
        kept = await runtime.store.add_channel(stored_channel(entry), time.time())
        say(f"Channel {kept.name!r} (id {kept.id}) was added.")
        say(f"Try it out: dragoman channels test {kept.name}")
        if runtime.config_path is not None:
            remark(f"It is not in use while the gateway runs with {runtime.config_path}.")

    with_runtime(make_options(data_dir=data_dir), work)


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
) -> None:
    """Send a small real request through a channel and say what is wrong, if anything is."""
    from dragoman.cli.lookup import find_channel  # noqa: PLC0415
    from dragoman.cli.probing import probe  # noqa: PLC0415

    async def work(runtime: Runtime) -> bool:
        chosen = (
            [find_channel(runtime, channel)]
            if channel is not None
            else [one for one in runtime.assembly.channels if one.entry.enabled]
        )
        if not chosen:
            raise CommandFailed("There are no channels to test.")
        good, bad = marks()
        results = [(one, await probe(one.channel, model)) for one in chosen]
        for one, result in results:
            status = f"HTTP {result.status}, " if result.status is not None else ""
            say(
                f"{good if result.ok else bad} {one.entry.name}: {result.detail} "
                f"({status}{result.milliseconds:.0f} ms)"
            )
        return all(result.ok for _, result in results)

    if not with_runtime(make_options(config, data_dir), work):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def remove(
    channel: Annotated[str, typer.Argument(metavar="NAME-OR-ID")],
    data_dir: DataDir = None,
) -> None:
    """Forget a channel and its credential."""
    from dragoman.cli.lookup import find_channel  # noqa: PLC0415
    from dragoman.config.assemble import DATABASE  # noqa: PLC0415
    from dragoman.store.errors import NoSuchRow  # noqa: PLC0415

    async def work(runtime: Runtime) -> None:
        try:
            removed = await runtime.store.remove_channel(channel)
        except NoSuchRow:
            source = find_channel(runtime, channel).source
            if source == DATABASE:
                raise
            raise CommandFailed(
                f"The channel {channel!r} comes from {source}: take it out there."
            ) from None
        say(f"Channel {removed.name!r} (id {removed.id}) was removed.")

    with_runtime(make_options(data_dir=data_dir), work)


def _checked(given: dict[str, Any], runtime: Runtime) -> ChannelEntry:
    """The channel, checked as in a file. Raises ConfigurationRefused."""
    from dragoman.config.channels import read_channel, resolve  # noqa: PLC0415
    from dragoman.config.problems import Findings  # noqa: PLC0415

    findings = Findings()
    entry: ChannelEntry | None = findings.check("", read_channel, given)
    if entry is not None:
        findings.check("", resolve, entry, runtime.catalog)
    findings.refuse_source("The channel")
    assert entry is not None
    return entry


def _api_key(
    given: str | None, from_stdin: bool, provider: Provider | None, has_own_address: bool
) -> str | None:
    """The credential: from the option, from standard input, or asked for."""
    if given is not None and from_stdin:
        raise typer.BadParameter(
            "give one of --api-key and --api-key-stdin", param_hint="--api-key"
        )
    if given is not None:
        return given
    if from_stdin:
        return sys.stdin.readline().strip()
    needs_key = provider is not None and provider.key_required and not has_own_address
    if not needs_key:
        return None
    assert provider is not None
    if not sys.stdin.isatty():
        raise CommandFailed(f"{provider.name} needs a key: give --api-key-stdin or --api-key.")
    where = f" (get one at {provider.key_page})" if provider.key_page else ""
    answer: str = typer.prompt(f"API key of {provider.name}{where}", hide_input=True)
    return answer.strip()


def _aliases(pairs: list[str]) -> dict[str, str]:
    aliases = {}
    for pair in pairs:
        public, equals, upstream = pair.partition("=")
        if not equals or not public.strip() or not upstream.strip():
            raise typer.BadParameter("write it as PUBLIC=UPSTREAM", param_hint="--alias")
        aliases[public.strip()] = upstream.strip()
    return aliases


def _free_name(wanted: str, runtime: Runtime) -> str:
    taken = {one.entry.name.casefold() for one in runtime.assembly.channels}
    name, number = wanted, 1
    while name.casefold() in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


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
