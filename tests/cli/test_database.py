"""Where the database is, and looking after it from the command line."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from dragoman.cli.app import app
from dragoman.store.schema import NEWEST
from tests.cli.support import Cli
from tests.support.postgres import fresh_database, sql

CANARY = "canary-4711-database-password"


def commands(group: Any, *before: str) -> Iterator[tuple[str, set[str]]]:
    """Every command below ``group``, with its options."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *before, name)
        else:
            options = {option for one in command.params for option in one.opts}
            yield " ".join((*before, name)), options


def test_who_takes_a_data_directory_takes_a_database_url() -> None:
    found = dict(commands(typer.main.get_command(app)))
    taking = {name for name, options in found.items() if "--data-dir" in options}
    assert {"serve", "keys create", "channels add", "config set", "explain"} <= taking
    without = {name for name in taking if "--database-url" not in found[name]}
    assert not without, f"these open the store, and cannot be told where it is: {without}"


def test_a_database_elsewhere(cli: Cli, home: Path) -> None:
    url = f"sqlite:///{home / 'elsewhere.db'}"
    cli("keys", "create", "laptop", "--database-url", url)
    (key,) = cli.json("keys", "list", "--database-url", url)
    assert key["name"] == "laptop"
    assert (home / "elsewhere.db").stat().st_mode & 0o777 == 0o600
    assert not (home / "data" / "dragoman.db").exists()
    assert (home / "data" / "secret.key").exists()


def test_a_database_on_a_server(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh_database() as url:
        monkeypatch.setenv("DRAGOMAN_DATABASE_URL", url.replace("postgres@", f"postgres:{CANARY}@"))
        cli("keys", "create", "laptop")
        (key,) = cli.json("keys", "list")
        assert key["name"] == "laptop"
        assert sql(url, "SELECT name FROM keys") == [("laptop",)]
        assert not (home / "data" / "dragoman.db").exists()
        said = cli("doctor", code=1).output + cli("database", "status").output
        assert "on localhost:5432" in said
        assert CANARY not in said
        shown = cli.json("database", "status")
        assert (shown["revision"], shown["newest"]) == (NEWEST, NEWEST)
        assert shown["bytes"] > 10_000


def test_another_data_directory_has_no_key_for_it(cli: Cli, home: Path) -> None:
    with fresh_database() as url:
        cli("keys", "create", "laptop", "--database-url", url)
        other = home / "other"
        done = cli("keys", "list", "--database-url", url, "--data-dir", str(other), code=1)
        assert "another secret key" in done.output
        assert not (other / "secret.key").exists(), "one made in vain would only mislead"


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://root:{CANARY}@localhost/x",
        f"postgresql://u:{CANARY}@localhost",
        f"postgresql://u:{CANARY}@localhost:99999999/x",
        f"postgresql://u:{CANARY}@localhost:port/x",
        "sqlite://",
        f"sqlite://host{CANARY}/x",
        CANARY,
        f"postgresql//{CANARY}",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_repeated(cli: Cli, url: str) -> None:
    done = cli("keys", "list", "--database-url", url, code=1)
    assert "postgresql://USER:PASSWORD@HOST:PORT/NAME" in done.output
    assert CANARY not in done.output


def test_a_server_that_is_not_there_is_named_without_its_password(cli: Cli) -> None:
    url = f"postgresql://u:{CANARY}@127.0.0.1:1/x"
    done = cli("keys", "list", "--database-url", url, code=1)
    assert "x on 127.0.0.1:1 cannot be reached" in done.output
    assert CANARY not in done.output


def test_an_old_file_is_looked_at_upgraded_and_taken_back(cli: Cli, home: Path) -> None:
    cli("keys", "create", "laptop")
    path = home / "data" / "dragoman.db"
    kept = home / "data" / f"dragoman.db.{NEWEST}.bak"
    shown = cli("database", "downgrade", "0003", "--yes")
    assert str(kept) in shown.output
    assert cli.json("database", "status")["revision"] == "0003", "looking changes nothing"
    with contextlib.closing(sqlite3.connect(kept)) as copy:
        assert copy.execute("SELECT name FROM keys").fetchall() == [("laptop",)]
        assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [(NEWEST,)]
    with contextlib.closing(sqlite3.connect(path)) as old:
        assert old.execute("SELECT name FROM keys").fetchall() == [("laptop",)]
        tables = {name for (name,) in old.execute("SELECT name FROM sqlite_master")}
    assert "users" not in tables
    cli("database", "upgrade")
    assert cli.json("database", "status")["revision"] == NEWEST
    assert [key["name"] for key in cli.json("keys", "list")] == ["laptop"]
    shutil.copy(kept, path)
    assert [key["name"] for key in cli.json("keys", "list")] == ["laptop"]


@pytest.mark.parametrize("revision", ["9999", NEWEST, "base", "-1", "head"])
def test_there_is_no_going_back_to_what_is_not_older(cli: Cli, revision: str) -> None:
    cli("keys", "create", "laptop")
    done = cli("database", "downgrade", "--yes", "--", revision, code=1)
    assert "It can go back to: 0001, 0002" in done.output
    assert cli.json("database", "status")["revision"] == NEWEST


def test_going_back_is_asked_for(cli: Cli) -> None:
    cli("keys", "create", "laptop")
    done = cli("database", "downgrade", "0003", stdin="n\n", code=1)
    assert "Nothing was changed" in done.output
    assert cli.json("database", "status")["revision"] == NEWEST


def test_where_there_is_no_database_none_is_made(cli: Cli, home: Path) -> None:
    for words in (("status",), ("upgrade",), ("downgrade", "0003")):
        assert "There is no database" in cli("database", *words, code=1).output
    assert not (home / "data" / "dragoman.db").exists()
