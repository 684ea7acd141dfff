"""``dragoman channels add`` and ``dragoman channels edit``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dragoman.cli import channel_options as option
from dragoman.cli.administering import Desk, administer
from dragoman.cli.channel_options import given_fields
from dragoman.cli.options import ConfigFile, DatabaseUrl, DataDir, make_options
from dragoman.cli.output import CommandFailed, say

if TYPE_CHECKING:
    from dragoman.runtime import Runtime


def add(
    *,
    kind: Annotated[
        str | None,
        typer.Option(
            "--type", metavar="PROVIDER", help="The provider: openai, anthropic, gemini, ollama …"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call it; else the type.")
    ] = None,
    api_key: option.ApiKeys = None,
    from_stdin: option.FromStdin = False,
    base_url: option.BaseUrl = None,
    model: option.Models = None,
    alias: option.Aliases = None,
    protocol: option.Protocol = None,
    priority: option.Priority = None,
    weight: option.Weight = None,
    tag: option.Tags = None,
    timeout: option.Timeout = None,
    max_retries: option.MaxRetries = None,
    max_concurrency: option.MaxConcurrency = None,
    header: option.Headers = None,
    proxy: option.Proxy = None,
    from_json: option.FromJson = None,
    field: option.Fields = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Add a channel. Without a key option, the key is asked for and not shown.

    A running gateway uses it within two seconds. With --config it is written into that file, else
    into the database.

    \b
    Examples:
      dragoman channels add --type openai
      dragoman channels add --type anthropic --model claude-sonnet-5 --priority 2
      dragoman channels add --type ollama --base-url http://gpu-box:11434
      dragoman channels add --type custom --protocol openai_chat --base-url https://llm.example/v1
      dragoman channels add --from-json channel.json --api-key-stdin < keys.txt
    """
    given = given_fields(
        from_json=from_json,
        api_keys=api_key,
        from_stdin=from_stdin,
        models=model,
        aliases=alias,
        tags=tag,
        headers=header,
        fields=field,
        type=kind,
        name=name,
        base_url=base_url,
        protocol=protocol,
        priority=priority,
        weight=weight,
        timeout=timeout,
        max_retries=max_retries,
        max_concurrency=max_concurrency,
        proxy_url=proxy,
    )
    if "type" not in given:
        raise typer.BadParameter("is missing: name the provider", param_hint="--type")

    async def work(desk: Desk) -> None:
        type_name = str(given["type"])
        given.setdefault("name", _free_name(type_name.removeprefix("builtin:"), desk.runtime))
        if not (given.get("api_key") or given.get("api_keys") or given.get("base_url")):
            given["api_key"] = _asked_for(type_name, desk.runtime, from_stdin)
        made = await desk.admin.add_channel(given, desk.actor)
        say(f"Channel {made['name']!r} (id {made['id']}) was added.")
        if made["max_concurrency"] is None:
            say(
                f"It begins with {made['min_concurrency']} at a time and learns how many requests are "
                "good; --max-concurrency N fixes that."
            )
        say(f"Try it out: dragoman channels test {made['name']}")

    administer(make_options(config, data_dir, database_url), work)


def edit(
    *,
    channel: Annotated[str, typer.Argument(metavar="NAME-OR-ID")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Call it this from now on.")
    ] = None,
    api_key: option.ApiKeys = None,
    from_stdin: option.FromStdin = False,
    base_url: option.BaseUrl = None,
    model: option.Models = None,
    alias: option.Aliases = None,
    protocol: option.Protocol = None,
    priority: option.Priority = None,
    weight: option.Weight = None,
    tag: option.Tags = None,
    timeout: option.Timeout = None,
    max_retries: option.MaxRetries = None,
    max_concurrency: option.MaxConcurrency = None,
    header: option.Headers = None,
    proxy: option.Proxy = None,
    from_json: option.FromJson = None,
    field: option.Fields = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Change a channel; what is not named stays. A list is replaced as a whole, and a key option
    replaces all keys.

    --set takes any field by its name in the configuration file; null resets it to its default, and
    *** stands for a secret as it is.

    \b
    Examples:
      dragoman channels edit openai --priority 2 --model gpt-4o --model o3
      dragoman channels edit openai --set timeout=null --set strict=true
      dragoman channels edit openai --set 'prices={"gpt-4o": {"input": 2.5, "output": 10}}'
      dragoman channels edit openai --api-key-stdin < keys.txt
    """
    from dragoman.cli.lookup import find_channel  # noqa: PLC0415

    changes = given_fields(
        from_json=from_json,
        api_keys=api_key,
        from_stdin=from_stdin,
        models=model,
        aliases=alias,
        tags=tag,
        headers=header,
        fields=field,
        name=name,
        base_url=base_url,
        protocol=protocol,
        priority=priority,
        weight=weight,
        timeout=timeout,
        max_retries=max_retries,
        max_concurrency=max_concurrency,
        proxy_url=proxy,
    )
    if not changes:
        raise typer.BadParameter("say what to change, for example --priority 2")

    async def work(desk: Desk) -> None:
        channel_id = find_channel(desk.runtime, channel).entry.id
        changed = await desk.admin.change_channel(channel_id, changes, desk.actor)
        say(f"Channel {changed['name']!r} (id {changed['id']}) was changed.")

    administer(make_options(config, data_dir, database_url), work)


def _asked_for(kind: str, runtime: Runtime, from_stdin: bool) -> str | None:
    """The credential, asked for if the provider will not do without."""
    from dragoman.providers.catalog import find  # noqa: PLC0415

    provider = find(runtime.catalog, kind)
    if provider is None or not provider.key_required:
        return None
    if from_stdin or not sys.stdin.isatty():
        raise CommandFailed(f"{provider.name} needs a key: give --api-key-stdin or --api-key.")
    where = f" (get one at {provider.key_page})" if provider.key_page else ""
    answer: str = typer.prompt(f"API key of {provider.name}{where}", hide_input=True)
    return answer.strip()


def _free_name(wanted: str, runtime: Runtime) -> str:
    taken = {one.entry.name.casefold() for one in runtime.assembly.channels}
    name, number = wanted, 1
    while name.casefold() in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name
