"""Rows of the operator's own, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import Cli

ROW = """
[house]
name = "The house's own"
protocols.openai_chat = "http://127.0.0.1:9/v1"
env_key = ["HOUSE_API_KEY"]
"""


@pytest.mark.parametrize("named", [True, False], ids=["named", "data directory"])
def test_they_are_known_to_every_command(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    path = home / "rows.toml" if named else home / "data" / "providers.toml"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(ROW, encoding="utf-8")
    if named:
        monkeypatch.setenv("DRAGOMAN_CATALOG", str(path))
    monkeypatch.setenv("HOUSE_API_KEY", "key-of-the-house")
    said = cli("doctor", code=1).output  # for want of a key for clients
    assert "HOUSE_API_KEY is set, by the environment" in said
    assert "Channel house (environment (HOUSE_API_KEY))" in said
    assert "DRAGOMAN_CATALOG is not" not in said
    channel = {"name": "one", "type": "house", "api_key": "key-of-the-house"}
    (home / "config.json").write_text(json.dumps({"channels": [channel]}), encoding="utf-8")
    assert "is valid: 1 channels" in cli("config", "check", str(home / "config.json")).output


def test_a_row_that_cannot_be_used_is_named(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "rows.toml").write_text("[house]\ncolour = 1", encoding="utf-8")
    monkeypatch.setenv("DRAGOMAN_CATALOG", str(home / "rows.toml"))
    assert "✗" in (said := cli("doctor", code=1).output)
    assert "provider 'house'" in said
    assert "provider 'house'" in cli("channels", "list", code=1).stderr
