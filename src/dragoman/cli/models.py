"""``dragoman models``: the names the gateway serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dragoman.cli.options import (
    AsJson,
    ConfigFile,
    DatabaseUrl,
    DataDir,
    make_options,
    with_runtime,
)
from dragoman.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from dragoman.config.assemble import Sourced
    from dragoman.runtime import Runtime


def models(
    as_json: AsJson = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show the model names that the enabled channels serve. A channel without a list of its own takes
    every name; those that its provider is known for are shown."""

    async def work(runtime: Runtime) -> None:
        rows = [
            row
            for one in runtime.assembly.channels
            if one.entry.enabled
            for row in _rows(one, runtime)
        ]
        if as_json:
            show_json(rows)
        elif rows:
            columns = ("model", "channel", "upstream_model")
            show_table(
                [column.replace("_", " ") for column in columns],
                [[row[column] for column in columns] for row in rows],
            )
        else:
            say("There are no channels. Add one: dragoman channels add --type openai")

    with_runtime(make_options(config, data_dir, database_url), work)


def _rows(one: Sourced, runtime: Runtime) -> list[dict[str, Any]]:
    channel = one.channel
    provider = runtime.catalog.get(channel.provider)
    listed = channel.models or (provider.models if provider else ())
    names = list(dict.fromkeys([*listed, *channel.aliases]))
    rows = [
        {"model": name, "channel": channel.name, "upstream_model": channel.upstream_model(name)}
        for name in names
    ]
    if not channel.models and not channel.aliases:
        rows.append({"model": "*", "channel": channel.name, "upstream_model": "as asked for"})
    return rows
