"""What there is of a database that is away: whether it is, and the snapshot of it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from dragoman.governance.keys import VirtualKey
from dragoman.governance.users import User
from dragoman.runtime.outage import Outage
from dragoman.runtime.snapshot import FILE_NAME, Kept, Snapshot
from dragoman.store.errors import DatabaseAway, StoreError
from dragoman.store.store import StoredChannel

SECRET_KEY = b"s" * 32
CANARY = "sk-canary-4711-never-to-be-seen"
AWAY = DatabaseAway("The database cannot be reached.")
KEPT = Kept(
    pepper=b"p" * 32,
    channels=[
        StoredChannel(
            id=3, name="main", document={"models": ["é", 1.5, None]}, secrets={"api_key": CANARY}
        )
    ],
    keys=[VirtualKey(id="7", name=CANARY, digest=b"\x00\xff" * 16, hint="x", created_at=1.5)],
    settings={"port": 4000, "strategies": {"a": "b"}},
    users=[User(id=1, name="default"), User(id=5, name="ada")],
)


def test_an_outage_is_said_once_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage(lambda: 0.0)
    outage.ends()
    assert not outage.is_on()
    for _ in range(3):
        outage.begins(AWAY)
    assert outage.is_on()
    outage.ends()
    outage.ends()
    assert not outage.is_on()
    assert [record.message.split(".")[0] for record in caplog.records] == [
        "The database cannot be reached",
        "the database is back",
    ]


def test_a_look_that_does_not_come_back_is_an_outage_too() -> None:
    now = 100.0
    outage = Outage(lambda: now)
    assert not outage.is_on(), "nobody looks: a command, not a server"
    outage.ends()
    now += 2
    assert not outage.is_on()
    now += 2
    assert outage.is_on()
    assert not outage.is_known
    outage.ends()
    assert not outage.is_on()


def test_a_snapshot_gives_back_what_it_was_given_and_nothing_to_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(Snapshot(tmp_path, SECRET_KEY, "x on y:1").write(KEPT))
    path = tmp_path / FILE_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]
    assert CANARY.encode() not in path.read_bytes()
    assert Snapshot(tmp_path, SECRET_KEY, "x on y:1").last(AWAY) == KEPT
    assert "SNAPSHOT" in caplog.text
    assert CANARY not in caplog.text
    with pytest.raises(StoreError, match="no snapshot of it"):
        Snapshot(tmp_path, SECRET_KEY, "another on y:1").last(AWAY)
    with pytest.raises(StoreError, match=r"cannot be reached.*Nor can .*snapshot be used"):
        Snapshot(tmp_path, b"o" * 32, "x on y:1").last(AWAY)


def test_a_damaged_snapshot_is_none(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path, SECRET_KEY, "x")
    asyncio.run(snapshot.write(KEPT))
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole[:40] + b"\x00" + whole[41:]):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="Nor can"):
            snapshot.last(AWAY)


def test_a_snapshot_is_written_when_something_has_changed(tmp_path: Path) -> None:
    async def work() -> None:
        snapshot = Snapshot(tmp_path, SECRET_KEY, "x")
        await snapshot.write(KEPT)
        path = tmp_path / FILE_NAME
        first = path.read_bytes()
        await snapshot.write(KEPT)
        assert path.read_bytes() == first
        await snapshot.write(Kept(pepper=b"p", channels=[], keys=[], settings={}, users=[]))
        assert path.read_bytes() != first

    asyncio.run(work())


def test_a_disk_that_is_full_does_not_end_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = Snapshot(tmp_path / "gone", SECRET_KEY, "x")
    asyncio.run(snapshot.write(KEPT))
    assert "cannot be written" in caplog.text
