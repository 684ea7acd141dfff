"""A database in each of its two homes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.homes import Home
from tests.support.postgres import fresh_database


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """An empty place for one, SQLite's and PostgreSQL's in turn."""
    if request.param == "sqlite":
        yield Home(tmp_path / "dragoman.db")
        return
    with fresh_database() as url:
        yield Home(url)
