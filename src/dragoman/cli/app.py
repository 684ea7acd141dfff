"""The commands put together, and what is common to their failing."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dragoman import __version__
from dragoman.cli import (
    audit,
    channels,
    configuration,
    credits,
    database,
    doctor,
    explain,
    hf,
    keys,
    ledger,
    models,
    prices,
    requests,
    secrets,
    serve,
    users,
)
from dragoman.cli.output import CommandFailed, ExitCode, complain

_OWN_OPTIONS = ("--help", "-h", "--version", "--install-completion", "--show-completion")


class _Root(TyperGroup):
    """``dragoman`` alone, or with options only, means ``dragoman serve``; what is the user's to mend
    is said in plain words, without a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        has_command = args and not args[0].startswith("-")
        is_own_option = args and args[0] in _OWN_OPTIONS
        if not (has_command or is_own_option or ctx.resilient_parsing):  # the last is completion
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        from dragoman.config.problems import ConfigurationRefused  # noqa: PLC0415
        from dragoman.protocols.registry import BadProtocol  # noqa: PLC0415
        from dragoman.providers.catalog import CatalogError  # noqa: PLC0415
        from dragoman.store.errors import StoreError  # noqa: PLC0415

        try:
            return super().invoke(ctx)
        except ConfigurationRefused as error:
            complain(str(error))
            raise typer.Exit(ExitCode.REFUSED) from None
        except (CommandFailed, StoreError, CatalogError, BadProtocol) as error:
            complain(str(error))
            raise typer.Exit(ExitCode.FAILED) from None


app = typer.Typer(
    cls=_Root,
    help="One gateway between every LLM protocol and every provider.",
    epilog="Without a command, 'serve' is meant. Exit codes: 0 done, 1 failed, 2 wrong usage, "
    "3 configuration refused.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dragoman {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Read the options of ``dragoman`` itself."""


app.command("serve")(serve.serve)
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")
app.add_typer(credits.app, name="credits")
app.add_typer(ledger.app, name="ledger")
app.add_typer(channels.app, name="channels")
app.command("models")(models.models)
app.add_typer(prices.app, name="prices")
app.add_typer(configuration.app, name="config")
app.command("requests")(requests.requests)
app.command("explain")(explain.explain)
app.command("audit")(audit.audit)
app.add_typer(secrets.app, name="secrets")
app.add_typer(database.app, name="database")
app.add_typer(hf.app, name="hf")
app.command("doctor")(doctor.doctor)
