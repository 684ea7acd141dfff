"""The two homes of a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.support import DATABASE, FILE, Home
from tests.support.postgres import fresh_database

POSTGRES = "postgresql"


@pytest.fixture(params=[DATABASE, FILE, POSTGRES])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """Each of them, and the database on a server."""
    if request.param != POSTGRES:
        yield Home(tmp_path, request.param)
        return
    with fresh_database() as url:
        home = Home(tmp_path, DATABASE)
        home.database_url = url
        yield home


@pytest.fixture
def database(tmp_path: Path) -> Home:
    """The database only."""
    return Home(tmp_path, DATABASE)


@pytest.fixture
def file(tmp_path: Path) -> Home:
    """The file only."""
    return Home(tmp_path, FILE)
