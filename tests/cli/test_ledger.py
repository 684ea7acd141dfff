"""``dragoman ledger``, on the books of a data directory."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import sqlite3
from pathlib import Path

import pytest

from dragoman.governance.ledger import Entry
from dragoman.runtime.opening import open_store
from dragoman.store.sqlite import FILE_NAME
from tests.cli.support import Cli
from tests.support.ledgers import topup, used


@pytest.fixture
def data(home: Path) -> Path:
    folder = home / "data"
    folder.mkdir()
    return folder


def booked(data: Path, *entries: Entry) -> None:
    """Put entries into the books."""

    async def main() -> None:
        store, _ = await open_store(data, {})
        await store.ledger().book(entries)
        await store.close()

    asyncio.run(main())


@pytest.fixture
def books(data: Path) -> Path:
    booked(
        data,
        topup(0, 10**9, user_id=1),
        used(1, user_id=1, cost=2_000_000),
        used(2, user_id=1, cost=None, model="new\x1b[2J"),
        used(3, user_id=2, cost=3, model="gpt-4", outcome="broken"),
        used(1, id="r1#1", user_id=1, kind="attempt", outcome="failed", cost=500),
    )
    return data


def test_sound_books_are_said_to_be_so(cli: Cli, books: Path) -> None:
    assert cli("ledger", "verify").stdout == "The books add up: 5 entries, 5 accounts.\n"
    assert cli.json("ledger", "verify") == {
        "ok": True,
        "entries": 5,
        "accounts": 5,
        "discrepancies": [],
    }


def test_books_that_do_not_add_up_end_with_1_and_say_where(cli: Cli, books: Path) -> None:
    with contextlib.closing(sqlite3.connect(books / FILE_NAME)) as database:
        database.execute("UPDATE accounts SET balance = balance + 5 WHERE name = 'credit:1'")
        database.commit()
    told = cli("ledger", "verify", code=1)
    assert "do not add up" in told.output
    assert "account credit:1: its balance is kept $0.000000005 too high" in told.output
    told = cli("ledger", "verify", "--json", code=1)
    assert '"ok": false' in told.stdout


def test_a_request_is_shown_with_all_that_it_caused(cli: Cli, books: Path) -> None:
    told = cli("ledger", "show", "r1").stdout
    assert "cost: $0.002, by your own price as of 2026-09-01" in told
    assert "-$0.002 to credit:1" in told
    assert "-$0.0000005 to operator" in told
    assert "100 input, 20 cache_read, 30 output, 7 reasoning" in told
    assert [one["id"] for one in cli.json("ledger", "show", "r1")] == ["r1", "r1#1"]
    unpriced = cli("ledger", "show", "r2").stdout
    assert "nobody says what it costs" in unpriced
    assert "\x1b" not in unpriced
    assert "Nothing was booked" in cli("ledger", "show", "r4", code=1).output


def test_the_export_is_csv(cli: Cli, books: Path) -> None:
    rows = [*csv.DictReader(io.StringIO(cli("ledger", "export").stdout, newline=""))]
    assert [row["id"] for row in rows] == ["t0", "r1", "r1#1", "r2", "r3"]
    of_one = cli("ledger", "export", "--user", "default", "--until", "2026-09-22").stdout
    assert of_one.count("\n") == 5
    assert cli("ledger", "export", "--until", "2026-09-21").stdout.count("\n") == 1
    assert "users list" in cli("ledger", "export", "--user", "nobody", code=1).output
    assert "--until" in cli("ledger", "export", "--until", "soon", code=2).output


def test_usage_is_summed_by_what_is_asked(cli: Cli, books: Path) -> None:
    lines = cli("ledger", "usage", "--by", "model", "--bucket", "day").stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["MODEL", "gpt-4", "gpt-5", "new\\x1b[2J"]
    assert lines[2].split()[-1] == "$0.002"
    by_user = cli.json("ledger", "usage", "--by", "user", "--bucket", "month")
    assert [(row["name"], row["requests"], row["unpriced"]) for row in by_user] == [
        ("default", 2, 1),
        ("anonymous", 1, 0),
    ]
    (attempts,) = cli.json("ledger", "usage", "--attempts")
    assert (attempts["cost_nano_usd"], attempts["errors"]) == (500, 1)
    assert cli("ledger", "usage", "--since", "2030-01-01").stdout == "Nothing was used.\n"


def test_without_books_the_data_directory_is_asked_for(cli: Cli, home: Path) -> None:
    assert "--data-dir" in cli("ledger", "verify", code=1).output
