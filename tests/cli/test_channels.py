"""``dragoman channels`` and ``dragoman models``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import Cli
from tests.config.support import CANARY

KEY = f"sk-{CANARY}-tail"


def add(cli: Cli, *words: str, code: int = 0) -> str:
    return cli("channels", "add", *words, code=code).output


@pytest.mark.row("S2-34", "S2-36", "S2-37", "S2-38", "S2-72")
def test_a_channel_is_added_listed_and_removed(cli: Cli) -> None:
    said = add(
        *(cli, "--type", "openai", "--api-key", KEY, "--name", "main", "--priority", "3"),
        *("--model", "gpt-4o", "--model", "o3", "--alias", "fast=gpt-4o-mini"),
    )
    assert "channels test main" in said
    (row,) = cli.json("channels", "list")
    assert row == {
        "id": 1,
        "name": "main",
        "type": "openai",
        "base_url": "https://api.openai.com/v1",
        "protocols": ["openai_chat", "openai_responses"],
        "api_key": "…tail",
        "models": ["gpt-4o", "o3", "fast"],
        "priority": 3,
        "enabled": True,
        "source": "database",
    }
    assert "main" in cli("channels", "list").output
    assert "was removed" in cli("channels", "remove", "main").output
    assert "channels add" in cli("channels", "list").output


def test_the_key_can_come_by_standard_input(cli: Cli) -> None:
    cli("channels", "add", "--type", "openai", "--api-key-stdin", stdin=f"{KEY}\n")
    assert [row["api_key"] for row in cli.json("channels", "list")] == ["…tail"]


def test_a_key_that_is_needed_and_cannot_be_asked_for_is_missed(cli: Cli) -> None:
    said = add(cli, "--type", "anthropic", code=1)
    assert "Anthropic needs a key" in said
    assert "--api-key-stdin" in said


def test_names_are_free_by_default(cli: Cli) -> None:
    for _ in range(2):
        add(cli, "--type", "builtin:glm", "--api-key", KEY)
    assert [row["name"] for row in cli.json("channels", "list")] == ["glm", "glm-2"]
    assert "taken" in add(cli, "--type", "ollama", "--name", "glm", code=1)


def test_an_own_address_and_protocol(cli: Cli) -> None:
    add(cli, "--type", "openai", "--base-url", "http://box:8000/v1/")
    add(cli, "--type", "custom", "--protocol", "anthropic_messages", "--base-url", "http://c")
    add(cli, "--type", "ollama", "--proxy", f"socks5://u:{CANARY}@p:1")
    rows = cli.json("channels", "list")
    assert [(row["base_url"], row["protocols"]) for row in rows] == [
        ("http://box:8000/v1", ["openai_chat"]),
        ("http://c", ["anthropic_messages"]),
        ("http://localhost:11434", ["ollama_chat"]),
    ]


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("--type", "opneai"), "did you mean 'openai'?", 3),
        (("--type", "custom"), "base_url", 3),
        (("--type", "ollama", "--base-url", "box:1"), "base_url: must begin with", 3),
        (("--type", "ollama", "--priority", "-1"), "priority", 3),
        (("--type", "ollama", "--proxy", "ftp://p"), "proxy_url", 3),
        (("--type", "ollama", "--alias", "fast"), "PUBLIC=UPSTREAM", 2),
        (("--type", "openai", "--api-key", "a", "--api-key-stdin"), "one of", 2),
        ((), "--type", 2),
    ],
)
def test_what_is_wrong_is_said(cli: Cli, words: tuple[str, ...], said: str, code: int) -> None:
    assert said in add(cli, *words, code=code)
    assert cli.json("channels", "list") == []


def test_channels_of_the_environment_are_removed_there(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    (row,) = cli.json("channels", "list")
    assert (row["name"], row["source"]) == ("groq", "environment (GROQ_API_KEY)")
    assert "GROQ_API_KEY" in cli("channels", "remove", "groq", code=1).output
    assert "did you mean 'groq'?" in cli("channels", "remove", "grok", code=1).output


def test_models_are_shown_by_channel(cli: Cli) -> None:
    add(cli, "--type", "openai", "--api-key", KEY, "--model", "gpt-4o", "--alias", "fast=o3-mini")
    add(cli, "--type", "ollama")
    assert cli.json("models") == [
        {"model": "gpt-4o", "channel": "openai", "upstream_model": "gpt-4o"},
        {"model": "fast", "channel": "openai", "upstream_model": "o3-mini"},
        {"model": "*", "channel": "ollama", "upstream_model": "as asked for"},
    ]
    assert "UPSTREAM MODEL" in cli("models").output


def test_no_command_shows_a_credential(cli: Cli, home: Path) -> None:
    add(cli, "--type", "openai", "--api-key", KEY, "--proxy", f"http://u:{CANARY}@p:1")
    commands = ["channels list", "channels list --json", "models", "keys list", "doctor"]
    for command in [*commands, "config export"]:
        assert CANARY not in cli(*command.split(), code=1 if command == "doctor" else 0).output
    for file in (home / "data").iterdir():
        assert CANARY.encode() not in file.read_bytes()


class TestTrying:
    """``channels test`` against real sockets."""

    def test_the_demonstration_answers(self, cli: Cli) -> None:
        add(cli, "--type", "demo")
        assert "demo: answers (HTTP 200" in cli("channels", "test").output
        assert "demo: answers as echo" in cli("channels", "test", "demo", "--model", "echo").output

    def test_nobody_there(self, cli: Cli) -> None:
        add(cli, "--type", "ollama", "--base-url", "http://127.0.0.1:9")
        said = cli("channels", "test", "ollama", code=1).output
        assert "refused the connection" in said
        assert "http://127.0.0.1:9" in said

    def test_no_such_host(self, cli: Cli) -> None:
        add(cli, "--type", "ollama", "--base-url", "http://no-such-host.invalid")
        assert "DNS" in cli("channels", "test", code=1).output

    def test_no_channel(self, cli: Cli) -> None:
        assert "no channels" in cli("channels", "test", code=1).output
