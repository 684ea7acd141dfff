"""The two homes of a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.support import DATABASE, FILE, Home


@pytest.fixture(params=[DATABASE, FILE])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """Each of them."""
    return Home(tmp_path, request.param)


@pytest.fixture
def database(tmp_path: Path) -> Home:
    """The database only."""
    return Home(tmp_path, DATABASE)


@pytest.fixture
def file(tmp_path: Path) -> Home:
    """The file only."""
    return Home(tmp_path, FILE)
