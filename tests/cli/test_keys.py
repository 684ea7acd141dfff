"""``dragoman keys``."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Cli
from tests.config.support import sample


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
    for words in (["revoke", "API_KEY"], ["edit", "API_KEY", "--disable"]):
        said = cli("keys", *words, code=1).output
        assert "environment variable API_KEY: change it there" in said


def test_an_empty_list_says_what_to_do(cli: Cli) -> None:
    assert "dragoman keys create" in cli("keys", "list").output
    assert cli.json("keys", "list") == []


@pytest.mark.row("S2-62", "S2-63", "S2-64", "S2-72")
def test_a_key_is_changed(cli: Cli) -> None:
    cli("channels", "add", "--type", "ollama", "--name", "local")
    cli("keys", "create", "ci", "--model", "a", "--expires", "30d")

    def row() -> dict[str, Any]:
        (found,) = cli.json("keys", "list")
        return found

    assert "was changed" in cli("keys", "edit", "ci", "--disable").output
    assert row()["status"] == "disabled"
    cli("keys", "edit", "ci", "--enable", "--channel", "local", "--model", "b", "--strict")
    found = row()
    assert (found["status"], found["channels"], found["models"]) == ("active", ["local"], ["b"])
    assert found["strict"] is True
    cli("keys", "edit", "1", "--no-restrictions", "--expires", "never", "--name", "build")
    found = row()
    assert (found["name"], found["channels"], found["models"]) == ("build", [], [])
    assert found["expires"] is None
    cli("keys", "edit", "build", "--expires", "2099-01-31", "--no-strict")
    assert row()["expires"] == "2099-01-31T00:00:00Z"


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("ci",), "say what to change", 2),
        (("ci", "--expires", "soon"), "30d", 2),
        (("ci", "--channel", "nope"), "there are none", 1),
        (("ci", "--name", "12"), "digits", 3),
        (("co", "--disable"), "known are ci", 1),
    ],
)
def test_what_is_wrong_with_a_change_is_said(
    cli: Cli, words: tuple[str, ...], said: str, code: int
) -> None:
    cli("keys", "create", "ci")
    before = cli.json("keys", "list")
    assert said in cli("keys", "edit", *words, code=code).output
    assert cli.json("keys", "list") == before


def test_a_token_of_the_file_is_changed_and_taken_out_there(cli: Cli) -> None:
    Path("config.json").write_text(json.dumps(sample()))
    config = ("--config", "config.json")
    cli("keys", "edit", "My Token", "--disable", *config)
    (token,) = json.loads(Path("config.json").read_text())["tokens"]
    assert token["enabled"] is False
    key = cli("keys", "create", "laptop", *config).stdout.strip()
    assert key not in Path("config.json").read_text()
    cli("keys", "revoke", "file-1", *config)
    assert json.loads(Path("config.json").read_text())["tokens"] == []
    assert [row["name"] for row in cli.json("keys", "list", *config)] == ["laptop"]


def test_an_admin_key_is_marked(cli: Cli) -> None:
    cli("keys", "create", "alice", "--admin")
    cli("keys", "create", "laptop")
    assert [row["admin"] for row in cli.json("keys", "list")] == [True, False]
