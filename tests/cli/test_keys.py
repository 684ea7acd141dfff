"""``dragoman keys``."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.cli.support import Cli


@pytest.mark.row("S2-61")
def test_a_key_is_shown_once(cli: Cli, home: Path) -> None:
    made = cli("keys", "create", "laptop")
    key = made.stdout.strip()
    assert re.fullmatch(r"sk-gw-[A-Za-z0-9]{48}", key), "the key alone, so that it can be piped"
    assert "only now" in made.stderr
    listed = cli("keys", "list").output + cli("keys", "list", "--json").output
    assert key not in listed
    assert key[:10] in listed
    for file in (home / "data").iterdir():
        assert key.encode() not in file.read_bytes()


@pytest.mark.row("S2-62", "S2-63")
def test_restrictions_and_expiry_are_kept(cli: Cli) -> None:
    cli("channels", "add", "--type", "ollama", "--name", "local")
    before = time.time()
    cli(
        *("keys", "create", "ci", "--channel", "local", "--model", "a", "--model", "b"),
        *("--expires", "30d", "--strict"),
    )
    (row,) = cli.json("keys", "list")
    assert row["channels"] == ["local"]
    assert row["models"] == ["a", "b"]
    assert row["strict"] is True
    assert row["status"] == "active"
    assert row["last_used"] is None
    assert row["expires"][:10] == time.strftime("%Y-%m-%d", time.gmtime(before + 30 * 86_400))


def test_revoking_ends_a_key(cli: Cli) -> None:
    cli("keys", "create", "laptop")
    assert "is revoked" in cli("keys", "revoke", "laptop").output
    assert cli.json("keys", "list")[0]["status"] == "revoked"
    assert "No live key" in cli("keys", "revoke", "laptop", code=1).output
    cli("keys", "create", "laptop")
    assert [row["status"] for row in cli.json("keys", "list")] == ["revoked", "active"]
    cli("keys", "revoke", "2")


def test_what_is_wrong_is_said(cli: Cli) -> None:
    cli("keys", "create", "laptop")
    assert "taken" in cli("keys", "create", "laptop", code=1).output
    assert "digits" in cli("keys", "create", "123", code=3).output
    assert "there are none" in cli("keys", "create", "x", "--channel", "nope", code=1).output
    cli("channels", "add", "--type", "ollama", "--name", "local")
    assert (
        "did you mean 'local'?" in cli("keys", "create", "x", "--channel", "lokal", code=1).output
    )
    assert "30d" in cli("keys", "create", "x", "--expires", "soon", code=2).output
    assert "past" in cli("keys", "create", "x", "--expires", "2001-01-01", code=2).output
    assert "NAME" in cli("keys", "create", code=2).output


def test_keys_that_are_written_elsewhere_are_listed_but_ended_there(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "my-own-key-4711")
    (row,) = cli.json("keys", "list")
    assert row["id"] == "environment"
    assert row["key"] == "my-ow…"
    assert "take it out there" in cli("keys", "revoke", "API_KEY", code=1).output


def test_an_empty_list_says_what_to_do(cli: Cli) -> None:
    assert "dragoman keys create" in cli("keys", "list").output
    assert cli.json("keys", "list") == []
