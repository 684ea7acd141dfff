"""What the package says of itself."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.row("S0-54", "S1-43")
def test_it_may_be_used_under_the_mit_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (project["license"], project["license-files"]) == ("MIT", ["LICENSE"])
    licence = " ".join((ROOT / "LICENSE").read_text(encoding="utf-8").split())
    assert licence.startswith("MIT License Copyright (c)")
    assert "without restriction, including without limitation the rights to use" in licence
    assert 'THE SOFTWARE IS PROVIDED "AS IS"' in licence
