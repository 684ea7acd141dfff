"""What only the embedded database does."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dragoman.store.errors import DatabaseAway, StoreError
from dragoman.store.sqlite import SQLiteStore
from tests.store.homes import SECRET_KEY
from tests.store.test_store import CANARY, CHANNEL, KEY


def run(path: Path, work: Callable[[SQLiteStore], Awaitable[None]]) -> None:
    async def main() -> None:
        store = await SQLiteStore.open(path, SECRET_KEY)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(main())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dragoman.db"


def test_no_secret_is_in_the_files_or_in_a_printed_row(path: Path, tmp_path: Path) -> None:
    async def work(store: SQLiteStore) -> None:
        kept = await store.write(lambda step: step.add_channel(CHANNEL, 1.0))
        assert CANARY not in repr(kept)
        # While it is open, the write-ahead log holds the newest pages.
        for file in tmp_path.iterdir():
            assert CANARY.encode() not in file.read_bytes()
            assert stat.S_IMODE(file.stat().st_mode) == 0o600

    run(path, work)
    assert CANARY.encode() not in path.read_bytes()


@pytest.mark.parametrize("name", ["we?ird #%20.db", "ü.db"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    async def work(store: SQLiteStore) -> None:
        await store.write(lambda step: step.add_key(KEY))

    run(tmp_path / name, work)
    assert (tmp_path / name).exists()


def test_what_is_no_database_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"these bytes are no database, whatever their name says" * 9)
    for path in (tmp_path / "x.db", tmp_path / "nowhere" / "x.db", tmp_path):
        with pytest.raises(StoreError) as caught:
            asyncio.run(SQLiteStore.open(path, SECRET_KEY))
        assert "cannot be" in str(caught.value)


def test_a_lock_that_is_held_on_to_is_waited_for_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dragoman.store.sqlite._BUSY_MILLISECONDS", 500)
    waits: list[int] = []
    original = SQLiteStore._wait_for_locks

    def noted(store: SQLiteStore, milliseconds: int) -> None:
        waits.append(milliseconds)
        original(store, milliseconds)

    monkeypatch.setattr(SQLiteStore, "_wait_for_locks", noted)

    async def work(store: SQLiteStore) -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(3):
                with pytest.raises(DatabaseAway, match="locked"):
                    await store.write(lambda step: step.add_key(KEY))
                assert await store.keys() == [], "reading waits for nobody"
            assert waits == [100]
            other.execute("ROLLBACK")
        await store.write(lambda step: step.add_key(KEY))
        assert waits == [100, 500]

    run(path, work)
