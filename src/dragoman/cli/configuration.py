"""``dragoman config``: settings, and configuration files in and out of the database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dragoman.cli import settings
from dragoman.cli.administering import Desk, administer
from dragoman.cli.options import ConfigFile, DatabaseUrl, DataDir, make_options, with_runtime
from dragoman.cli.output import CommandFailed, remark, say

if TYPE_CHECKING:
    from dragoman.runtime import Runtime

app = typer.Typer(
    help="Show and change settings; check, import and export configuration files.",
    no_args_is_help=True,
)
app.command("get")(settings.show)
app.command("set")(settings.change)
app.command("reset")(settings.reset)
app.command("ha")(settings.high_availability)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A configuration in JSON.")]


@app.command()
def check(file: File) -> None:
    """Say everything that is wrong with a file, or that nothing is.

    \b
    Example:
      dragoman config check config.json
    """
    from dragoman.config.load import read_file  # noqa: PLC0415
    from dragoman.runtime import data_dir_of, environ_of, read_catalog  # noqa: PLC0415

    options = make_options()
    environ = environ_of(options)
    configuration = read_file(file, read_catalog(environ, data_dir_of(options, environ)))
    say(
        f"{file} is valid: {len(configuration.channels)} channels, "
        f"{len(configuration.tokens)} tokens."
    )


@app.command("import")
def take_over(file: File, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Take a file's settings, channels and tokens over into the database.

    Channels and tokens of the same name are replaced, others stay; settings become the file's. It
    happens as a whole or not at all.

    \b
    Example:
      dragoman config import config.json
    """
    from dragoman.config.load import read_file  # noqa: PLC0415

    async def work(desk: Desk) -> None:
        configuration = read_file(file, desk.runtime.catalog)
        await desk.admin.import_configuration(configuration, str(file), desk.actor)
        say(
            f"Imported {len(configuration.channels)} channels and {len(configuration.tokens)} "
            f"tokens from {file}."
        )

    administer(make_options(data_dir=data_dir, database_url=database_url), work)


@app.command()
def export(
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Write credentials in the clear.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Else standard output."),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write the configuration in force as a file. Secrets are masked unless asked for.

    \b
    Examples:
      dragoman config export
      dragoman config export --with-secrets --output config.json
    """
    from dragoman.config.export import export as to_text  # noqa: PLC0415

    async def work(runtime: Runtime) -> None:
        configuration, digests_only = runtime.as_configuration()
        text = to_text(configuration, with_secrets=with_secrets)
        if output is None:
            say(text.rstrip("\n"))
        else:
            _write_private(output, text)
            remark(f"Wrote {output}.")
        if digests_only:
            remark(
                f"{digests_only} keys are kept as digests only, so no export can hold them: they "
                "stand as '***'. Replace or remove those tokens before importing the file."
            )

    with_runtime(make_options(config, data_dir, database_url), work)


def _write_private(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}.") from None
