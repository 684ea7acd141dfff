"""A command line in a home of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dragoman.config.environment import recognised_variables, unknown_variables
from dragoman.providers.catalog import load_catalog
from tests.cli.support import Cli


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and a data directory; none of our variables is set."""
    environ = dict(os.environ)
    for name in recognised_variables(environ, load_catalog()):
        monkeypatch.delenv(name)
    for name, _ in unknown_variables(environ):
        monkeypatch.delenv(name)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("DRAGOMAN_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def cli(home: Path) -> Cli:
    """Runs commands in this process."""
    return Cli(CliRunner())
