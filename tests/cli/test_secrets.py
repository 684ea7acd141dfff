"""``dragoman secrets``: checking and rotating, as an operator does it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.cli.support import Cli, Gateway

ADD = ("channels", "add", "--type", "openai", "--name", "one", "--api-key-stdin")


@pytest.fixture
def folder(home: Path) -> Path:
    """The data directory."""
    return home / "data"


def test_a_rotation_keeps_keys_and_credentials(cli: Cli, folder: Path) -> None:
    key = cli("keys", "create", "laptop").stdout.strip()
    cli(*ADD, stdin="sk-one-0123456789\n")
    before = (folder / "secret.key").read_bytes()
    said = cli("secrets", "rotate")
    assert "1 values are sealed with the new one" in said.output
    assert (folder / "secret.key").read_bytes() != before
    health = cli.json("secrets", "check")
    assert health == {"opened": {"channels": 1, "requests": 0, "idempotency": 0}, "damaged": []}
    assert "secret_key.rotate" in cli("audit").output
    with Gateway() as gateway:
        status, _ = gateway.ask("/v1/models", key)
        assert status == 200, "the key from before goes on working"
        refused = cli("secrets", "rotate", code=1)
        assert "stop it first" in refused.output
        assert gateway.ask("/v1/models", key)[0] == 200


def test_a_value_that_does_not_open_is_named(cli: Cli, folder: Path) -> None:
    cli(*ADD, stdin="sk-one-0123456789\n")
    database = sqlite3.connect(folder / "dragoman.db")
    with database:
        database.execute("UPDATE channels SET sealed = X'0100'")
    database.close()
    assert "channels/1 does not open" in cli("secrets", "check", code=1).output
    refused = cli("secrets", "rotate", code=1)
    assert "channels/1" in refused.output
