"""``dragoman config get``, ``set``, ``reset`` and ``ha``: the gateway's settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragoman.cli.administering import Desk, administer
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
    from dragoman.runtime import Options, Runtime

Name = Annotated[str, typer.Argument(metavar="NAME", help="A setting, such as port.")]


def show(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Else all of them.")] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show the settings in force, and where each comes from.

    \b
    Examples:
      dragoman config get
      dragoman config get port
    """
    from dragoman.runtime.documents import settings_document  # noqa: PLC0415

    async def work(runtime: Runtime) -> None:
        found = settings_document(runtime.assembly, runtime.state.settings, runtime.home)
        values, sources = found["values"], found["sources"]
        if name is not None:
            _check_name(name)
            show_json(values[name]) if as_json else say(_text(values[name]))
        elif as_json:
            show_json({"values": values, "sources": sources})
        else:
            rows = [[one, _text(value), sources[one]] for one, value in values.items()]
            show_table(("setting", "value", "from"), rows)

    with_runtime(make_options(config, data_dir, database_url), work)


def change(
    name: Name,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="As in an environment variable.")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Change a setting; a running gateway knows within two seconds.

    \b
    Examples:
      dragoman config set strategy lowest_latency
      dragoman config set strategies 'gpt-*=least_busy,claude-*=lowest_price'
      dragoman config set require_auth off --config config.json
    """
    from dragoman.config.environment import setting_from_text  # noqa: PLC0415
    from dragoman.config.problems import Findings  # noqa: PLC0415

    _check_name(name)
    findings = Findings()
    wanted = findings.check(name, setting_from_text, name, value.strip())
    findings.refuse_source("The change")
    _change({name: wanted}, make_options(config, data_dir, database_url))


def reset(
    name: Name,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Give a setting its default again.

    \b
    Example:
      dragoman config reset strategies
    """
    _check_name(name)
    _change({name: None}, make_options(config, data_dir, database_url))


def high_availability(
    switch: Annotated[str, typer.Argument(metavar="on|off")],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Switch high-availability mode: every request goes to the best available channel, whatever model
    it names.

    \b
    Example:
      dragoman config ha on
    """
    if switch.lower() not in ("on", "off"):
        raise typer.BadParameter("say on or off")
    wanted = {"high_availability_mode": switch.lower() == "on"}
    _change(wanted, make_options(config, data_dir, database_url))


def _change(changes: dict[str, Any], options: Options) -> None:
    async def work(desk: Desk) -> None:
        answer = await desk.admin.change_settings(changes, desk.actor)
        for name in changes:
            say(f"{name} is {_text(answer['values'][name])}.")
            if name in answer["needs_restart"]:
                remark("A gateway that is running takes it on when it is started again.")

    administer(options, work)


def _check_name(name: str) -> None:
    from dragoman.config.problems import ConfigurationRefused, Problem, suggestion  # noqa: PLC0415
    from dragoman.config.schema import SETTINGS  # noqa: PLC0415

    if name not in SETTINGS:
        message = f"is not a known setting{suggestion(name, SETTINGS)}"
        raise ConfigurationRefused("The change", [Problem(name, message)])


def _text(value: Any) -> str:
    """A value as ``config set`` would take it."""
    match value:
        case bool():
            return "on" if value else "off"
        case list():
            return ",".join(value)
        case dict():
            return ",".join(f"{pattern}={item}" for pattern, item in value.items())
        case str():
            return value
    return json.dumps(value)
