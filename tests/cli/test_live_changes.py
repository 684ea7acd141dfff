"""Changes by the command line while a real gateway runs: seen without a restart, and kept over one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import Cli, Gateway, soon
from tests.config.support import TOKEN_KEY, sample

_SECONDS = 15.0  # two for the gateway to look, the rest for a busy machine


def models(gateway: Gateway, key: str) -> list[str]:
    status, body = gateway.ask("/v1/models", key)
    return [one["id"] for one in json.loads(body)["data"]] if status == 200 else [str(status)]


@pytest.mark.row("S2-34", "S2-37", "S2-39", "S2-62", "S2-63", "S2-64", "S2-70", "S2-71", "S2-72")
@pytest.mark.parametrize("place", ["database", "file"])
def test_changes_are_served_at_once_and_after_a_restart(
    place: str, home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = TOKEN_KEY
    if place == "file":
        document = sample()
        document["channels"][0]["api_key"] = "sk-first"
        Path("config.json").write_text(json.dumps(document, indent=2))
        monkeypatch.setenv("DRAGOMAN_CONFIG", "config.json")
    else:
        words = ("--name", "OpenAI", "--model", "gpt-4o", "--model", "gpt-4o-mini")
        cli("channels", "add", "--type", "openai", "--api-key", "sk-first", *words)
        key = cli("keys", "create", "My Token").stdout.strip()
    with Gateway() as gateway:

        def served(*expected: str) -> bool:
            return soon(lambda: models(gateway, key) == sorted(expected), _SECONDS)

        assert served("gpt-4o", "gpt-4o-mini")
        cli("channels", "add", "--type", "ollama", "--name", "local", "--model", "llama-9")
        assert served("gpt-4o", "gpt-4o-mini", "llama-9")
        cli("channels", "edit", "OpenAI", "--model", "o3", "--alias", "fast=o3")
        assert served("fast", "llama-9", "o3")
        cli("keys", "edit", "My Token", "--channel", "local")
        assert served("llama-9")
        cli("keys", "edit", "My Token", "--no-restrictions", "--model", "o3")
        assert served("o3")
        cli("keys", "edit", "My Token", "--no-restrictions")
        cli("channels", "disable", "OpenAI")
        assert served("llama-9")
        cli("keys", "edit", "My Token", "--disable")
        assert served("401")
        cli("config", "set", "require_auth", "off")
        assert served("llama-9")
        cli("keys", "edit", "My Token", "--enable")
        cli("config", "reset", "require_auth")
        cli("channels", "enable", "OpenAI")
        cli("channels", "remove", "local")
        assert served("fast", "o3")
        assert gateway.ask("/v1/models")[0] == 401
        assert gateway.stop() == 0
    with Gateway() as gateway:
        assert models(gateway, key) == ["fast", "o3"]
        assert gateway.ask("/v1/models")[0] == 401
        assert gateway.stop() == 0


def test_an_admin_key_is_refused_where_clients_come(home: Path, cli: Cli) -> None:
    admin = cli("keys", "create", "alice", "--admin").stdout.strip()
    with Gateway("--demo", DRAGOMAN_ADMIN_KEY="an-admin-key-4711") as gateway:
        for key in (admin, "an-admin-key-4711"):
            status, body = gateway.ask("/v1/models", key)
            assert status == 403
            error = json.loads(body)["error"]
            assert "admin key" in error["message"]
            assert "/admin" in error["message"]
            assert error["code"] == "admin_key"
            assert gateway.ask("/v1/messages", key, b"{}")[0] == 403
        assert gateway.stop() == 0


def test_how_much_is_logged_follows_the_setting(home: Path, cli: Cli) -> None:
    cli("config", "set", "log_level", "error")
    with Gateway("--demo") as gateway:

        def told() -> str:
            return gateway.errors.read_text()

        cli("config", "set", "log_level", "info")
        cli("channels", "add", "--type", "ollama", "--name", "local")
        assert soon(lambda: "channel local from database" in told(), _SECONDS)
        assert gateway.stop() == 0
