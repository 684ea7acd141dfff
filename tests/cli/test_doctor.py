"""``dragoman doctor``."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.cli.support import Cli, Gateway, free_port
from tests.config.support import CANARY


def test_a_healthy_installation_is_well(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("PORT", str(free_port()))
    Path(".env").write_text(f"OPENAI_API_KEY={CANARY}\n")
    cli("keys", "create", "laptop")
    said = cli("doctor").output
    assert "All is well." in said
    assert "✗" not in said
    for words in (
        "Python 3",
        "is read",
        "OPENAI_API_KEY is set, by .env",
        "PORT is set, by the environment",
        f"Data directory {home / 'data'} is writable",
        "dragoman.db opens",
        "secret.key fits",
        "Channel openai (environment (OPENAI_API_KEY))",
        "1 usable keys",
        "is free",
    ):
        assert words in said
    assert CANARY not in said


def test_an_empty_installation_is_told_what_to_do(cli: Cli) -> None:
    said = cli("doctor", code=1).output
    assert "✗ No channel is configured\n    Add one: dragoman channels add" in said
    assert "✗ No usable key\n    Make one: dragoman keys create" in said
    assert "2 of" in said


def test_each_trouble_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    cli("channels", "add", "--type", "ollama")
    cli("keys", "create", "laptop")
    (home / "data" / "secret.key").chmod(0o644)
    monkeypatch.setenv("DRAGOMAN_PROT", "1")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        monkeypatch.setenv("PORT", str(holder.getsockname()[1]))
        monkeypatch.setenv("LISTEN", "127.0.0.1")
        said = cli("doctor", code=1).output
    assert "✗ DRAGOMAN_PROT is not a known variable; did you mean 'DRAGOMAN_PORT'?" in said
    assert "chmod 600" in said
    assert "cannot be used" in said
    assert "3 of" in said


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "x", "✗ The environment: PORT"),
        ("API_KEY", "123456", "✗ The environment: API_KEY"),
        ("DRAGOMAN_CONFIG", "missing.json", "✗ missing.json: it cannot be read"),
        ("DRAGOMAN_SECRET_KEY", "short", "✗ The secret key does not fit"),
        ("DRAGOMAN_DATA_DIR", "/dev/null/x", "✗ The database does not open"),
    ],
)
def test_what_stops_a_start_is_found(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    assert words in cli("doctor", code=1).output


def test_a_lost_secret_key_is_found(cli: Cli, home: Path) -> None:
    cli("keys", "create", "laptop")
    (home / "data" / "secret.key").unlink()
    said = cli("doctor", code=1).output
    assert "Put secret.key back" in said


def test_a_running_gateway_is_recognised(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with Gateway() as gateway:
        monkeypatch.setenv("PORT", str(gateway.port))
        monkeypatch.setenv("LISTEN", "127.0.0.1")
        assert "A Dragoman is running" in cli("doctor", code=1).output
