"""What the command line and the environment say before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from dragoman.canonical.secret import Secret
from dragoman.config import environment as env
from dragoman.config.assemble import flag_of
from dragoman.config.channels import Catalog
from dragoman.config.problems import ConfigurationRefused, Findings, Refusal
from dragoman.config.schema import SETTINGS
from dragoman.providers.catalog import load_catalog
from dragoman.store.errors import StoreError

CATALOG_FILE = "providers.toml"


class Options(msgspec.Struct, kw_only=True, frozen=True):
    """What the command line says; None where it says nothing. Only who is ``serving`` may start while
    the database is away."""

    config: Path | None = None
    host: str | None = None
    port: int | None = None
    data_dir: Path | None = None
    database_url: Secret | None = None
    log_level: str | None = None
    demo: bool = False
    lenient: bool = False
    serving: bool = False
    environ: Mapping[str, str] = {}
    directory: Path = Path()

    def __repr__(self) -> str:  # the environment holds credentials
        return f"Options(config={self.config}, data_dir={self.data_dir}, demo={self.demo})"


def check_flags(options: Options) -> dict[str, Any]:
    """The settings that flags give. Raises ConfigurationRefused."""
    findings = Findings()
    flags = {
        name: findings.check(flag_of(name), SETTINGS[name], value)
        for name in ("host", "port", "log_level")
        if (value := getattr(options, name)) is not None
    }
    findings.refuse_source("The command line")
    return flags


def environ_of(options: Options) -> dict[str, str]:
    """The environment with ``.env`` below it. Raises ConfigurationRefused."""
    try:
        return env.with_dotenv(options.environ, options.directory)
    except Refusal as refusal:
        raise ConfigurationRefused("The environment", refusal.problems) from None


def read_environment(environ: Mapping[str, str], catalog: Catalog) -> env.Environment:
    """What the variables say. Raises ConfigurationRefused."""
    try:
        return env.read(environ, catalog)
    except Refusal as refusal:
        raise ConfigurationRefused("The environment", refusal.problems) from None


def config_path(options: Options, environ: Mapping[str, str]) -> Path | None:
    """The configuration file, if one is named."""
    named = options.config or environ.get(env.CONFIG, "").strip()
    return Path(named) if named else None


def read_catalog(environ: Mapping[str, str], data_dir: Path) -> Catalog:
    """The providers, with the operator's own rows: from the file that is named, else from one in the
    data directory, if it is there. Raises CatalogError."""
    usual = data_dir / CATALOG_FILE
    if named := environ.get(env.CATALOG, "").strip():
        return load_catalog(Path(named).expanduser())
    return load_catalog(usual if usual.is_file() else None)


def data_dir_of(options: Options, environ: Mapping[str, str]) -> Path:
    """The data directory: flag, environment, or where the system keeps such things."""
    if named := options.data_dir or environ.get(env.DATA_DIR, "").strip():
        return Path(named).expanduser()
    import platformdirs  # noqa: PLC0415 - not needed where a directory is named

    return Path(platformdirs.user_data_dir("dragoman", appauthor=False))


def database_url(options: Options, environ: Mapping[str, str]) -> Secret | None:
    """Where the database is, by flag or environment; None for the file in the data directory."""
    if options.database_url is not None:
        return options.database_url
    named = environ.get(env.DATABASE_URL, "").strip()
    return Secret(named) if named else None


def prepare_data_dir(path: Path) -> Path:
    """Make the data directory, for its owner's eyes only. Raises StoreError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The data directory {path} cannot be made: {error.strerror}. "
            "Name another with --data-dir or DRAGOMAN_DATA_DIR."
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise StoreError(
            f"The data directory {path} is not writable. Name another with --data-dir."
        )
    return path
