"""The embedded database, on real files."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from dragoman.governance.keys import VirtualKey
from dragoman.store.errors import NameTaken, NoSuchRow, SecretKeyError, StoreError
from dragoman.store.sqlite import SQLiteStore
from dragoman.store.store import AuditEntry, Batch, StoredChannel, Transaction

SECRET_KEY = b"s" * 32
CANARY = "sk-canary-4711-never-to-be-seen"
CHANNEL = StoredChannel(
    id=0, name="main", document={"type": "openai", "models": ["é"]}, secrets={"api_key": CANARY}
)
KEY = VirtualKey(
    id="",
    name="laptop",
    digest=b"d" * 32,
    hint="sk-gw-abcd",
    allowed_channels=("main",),
    allowed_models=("gpt-4o", "o3"),
    strict=True,
    created_at=12.5,
    expires_at=99.0,
)


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


def test_what_is_kept_is_there_after_a_restart(path: Path) -> None:
    async def write(store: SQLiteStore) -> None:
        kept = await store.write(lambda step: step.add_key(KEY))
        assert kept == msgspec.structs.replace(KEY, id="1")
        assert (await store.write(lambda step: step.add_channel(CHANNEL, 1.0))).id == 1
        await store.write(lambda step: step.change_settings({"port": 4000, "cors_origins": ["*"]}))
        await store.touch_keys({"1": 77.0})

    async def read(store: SQLiteStore) -> None:
        assert await store.keys() == [msgspec.structs.replace(KEY, id="1", last_used_at=77.0)]
        (channel,) = await store.channels()
        assert channel == msgspec.structs.replace(CHANNEL, id=1)
        assert await store.settings() == {"port": 4000, "cors_origins": ["*"]}
        await store.write(lambda step: step.change_settings({"port": None}))
        assert await store.settings() == {"cors_origins": ["*"]}

    run(path, write)
    run(path, read)


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


def test_another_secret_key_is_told_apart_at_once(path: Path) -> None:
    async def nothing(_: SQLiteStore) -> None:
        """Opening is enough."""

    run(path, nothing)
    with pytest.raises(SecretKeyError, match="another secret key"):
        asyncio.run(SQLiteStore.open(path, b"o" * 32))


def test_a_sealed_value_cannot_be_moved_to_another_channel(path: Path) -> None:
    async def write(store: SQLiteStore) -> None:
        await store.write(lambda step: step.add_channel(CHANNEL, 1.0))
        await store.write(
            lambda step: step.add_channel(msgspec.structs.replace(CHANNEL, name="other"), 1.0)
        )

    async def read(store: SQLiteStore) -> None:
        with pytest.raises(SecretKeyError, match="channels/2"):
            await store.channels()

    run(path, write)
    database = sqlite3.connect(path)
    database.execute("UPDATE channels SET sealed = (SELECT sealed FROM channels WHERE id = 1)")
    database.commit()
    database.close()
    run(path, read)


def test_names_are_taken_once_and_ids_never_again(path: Path) -> None:
    async def work(store: SQLiteStore) -> None:
        await store.write(lambda step: step.add_channel(CHANNEL, 1.0))
        with pytest.raises(NameTaken, match="main"):
            await store.write(lambda step: step.add_channel(CHANNEL, 2.0))
        removed = await store.write(lambda step: step.remove_channel("main"))
        assert removed.id == 1
        assert (await store.write(lambda step: step.add_channel(CHANNEL, 3.0))).id == 2
        with pytest.raises(NoSuchRow):
            await store.write(lambda step: step.remove_channel("1"))
        other = await store.write(
            lambda step: step.add_channel(msgspec.structs.replace(CHANNEL, name="other"), 4.0)
        )
        with pytest.raises(NameTaken):
            await store.write(
                lambda step: step.update_channel(msgspec.structs.replace(other, name="main"), 5.0)
            )
        await store.write(
            lambda step: step.update_channel(
                msgspec.structs.replace(other, name="third", secrets={}, document={"a": 1}), 5.0
            )
        )
        with pytest.raises(NoSuchRow):
            await store.write(
                lambda step: step.update_channel(
                    msgspec.structs.replace(other, id=99, name="fourth"), 5.0
                )
            )
        assert [(c.id, c.name, c.secrets) for c in await store.channels()] == [
            (2, "main", {"api_key": CANARY}),
            (3, "third", {}),
        ]

    run(path, work)


def test_revoking_is_final_and_frees_the_name(path: Path) -> None:
    async def work(store: SQLiteStore) -> None:
        await store.write(lambda step: step.add_key(KEY))
        with pytest.raises(NameTaken, match="laptop"):
            await store.write(
                lambda step: step.add_key(msgspec.structs.replace(KEY, digest=b"e" * 32))
            )
        assert (await store.write(lambda step: step.revoke_key("laptop", 50.0))).revoked_at == 50.0
        for again in ("laptop", "1", "99999999999999999999999"):
            with pytest.raises(NoSuchRow):
                await store.write(lambda step, again=again: step.revoke_key(again, 51.0))
        second = await store.write(
            lambda step: step.add_key(msgspec.structs.replace(KEY, digest=b"e" * 32))
        )
        assert second.id == "2"
        assert (await store.write(lambda step: step.revoke_key("2", 52.0))).name == "laptop"
        assert [key.revoked_at for key in await store.keys()] == [50.0, 52.0]

    run(path, work)


def test_a_batch_replaces_by_name_and_leaves_the_rest(path: Path) -> None:
    async def work(store: SQLiteStore) -> None:
        await store.write(lambda step: step.add_channel(CHANNEL, 1.0))
        await store.write(
            lambda step: step.add_channel(msgspec.structs.replace(CHANNEL, name="kept"), 1.0)
        )
        await store.write(lambda step: step.add_key(KEY))
        changed = msgspec.structs.replace(CHANNEL, document={"type": "gemini"}, secrets={})
        added = msgspec.structs.replace(CHANNEL, name="added")
        await store.write(
            lambda step: step.take_over(
                Batch(
                    settings={"port": 5000},
                    channels=[changed, added],
                    keys=[
                        msgspec.structs.replace(KEY, digest=b"e" * 32),
                        msgspec.structs.replace(KEY, name="ci", digest=b"f" * 32),
                    ],
                ),
                9.0,
            )
        )
        channels = {c.name: c for c in await store.channels()}
        assert channels["main"] == msgspec.structs.replace(changed, id=1)
        assert sorted(channels) == ["added", "kept", "main"]
        live = {k.name: k.digest for k in await store.keys() if k.revoked_at is None}
        assert live == {"laptop": b"e" * 32, "ci": b"f" * 32}
        assert await store.settings() == {"port": 5000}

    run(path, work)


def test_a_batch_happens_as_a_whole_or_not_at_all(path: Path) -> None:
    async def work(store: SQLiteStore) -> None:
        await store.write(lambda step: step.add_key(KEY))
        await store.write(lambda step: step.revoke_key("laptop", 2.0))
        with pytest.raises(StoreError, match="revoked"):
            await store.write(
                lambda step: step.take_over(
                    Batch(settings={"port": 5000}, channels=[CHANNEL], keys=[KEY]), 9.0
                )
            )
        assert await store.channels() == []
        assert await store.settings() == {}

    run(path, work)


def test_the_same_key_under_another_name_keeps_its_history(path: Path) -> None:
    async def work(store: SQLiteStore) -> None:
        await store.write(lambda step: step.add_key(KEY))
        await store.touch_keys({"1": 40.0})
        renamed = msgspec.structs.replace(KEY, name="desktop", created_at=9.0)
        await store.write(lambda step: step.take_over(Batch(keys=[renamed]), 9.0))
        (key,) = await store.keys()
        assert (key.id, key.name, key.created_at, key.last_used_at) == ("1", "desktop", 12.5, 40.0)

    run(path, work)


def test_a_key_is_changed_while_it_lives(path: Path) -> None:
    async def work(store: SQLiteStore) -> None:
        kept = await store.write(lambda step: step.add_key(KEY))
        other = await store.write(
            lambda step: step.add_key(msgspec.structs.replace(KEY, name="ci", digest=b"e" * 32))
        )
        changed = msgspec.structs.replace(
            kept, name="desk", enabled=False, admin=True, allowed_models=(), expires_at=None
        )
        await store.write(lambda step: step.change_key(changed))
        assert await store.keys() == [changed, other]
        with pytest.raises(NameTaken, match="ci"):
            await store.write(
                lambda step: step.change_key(msgspec.structs.replace(changed, name="ci"))
            )
        await store.write(lambda step: step.revoke_key("desk", 50.0))
        for lost in (changed, msgspec.structs.replace(changed, id="99")):
            with pytest.raises(NoSuchRow):
                await store.write(lambda step, lost=lost: step.change_key(lost))
        with pytest.raises(NameTaken, match="was in use"):
            await store.write(lambda step: step.add_key(KEY))  # revoked, and known for good

    run(path, work)


ENTRY = AuditEntry(
    at=7.5,
    actor="laptop",
    via="session",
    address="::1",
    action="channel.add",
    target="main",
    changes={"name": [None, "é"]},
)


def test_the_audit_is_read_newest_first_and_in_pages(path: Path) -> None:
    async def work(store: SQLiteStore) -> None:
        for number in range(5):
            entry = msgspec.structs.replace(ENTRY, target=f"t{number}")
            kept = await store.write(lambda step, entry=entry: step.note(entry))
            assert kept == msgspec.structs.replace(entry, id=number + 1)
        assert [entry.target for entry in await store.audit(2)] == ["t4", "t3"]
        assert [entry.target for entry in await store.audit(9, before=3)] == ["t1", "t0"]
        assert (await store.audit(1))[0].changes == ENTRY.changes

    run(path, work)


def test_the_audit_only_grows(path: Path) -> None:
    async def write(store: SQLiteStore) -> None:
        await store.write(lambda step: step.note(msgspec.structs.replace(ENTRY, actor="x" * 999)))

    run(path, write)
    database = sqlite3.connect(path)
    for statement in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute(statement)
    assert database.execute("SELECT actor FROM audit").fetchall() == [("x" * 200,)]
    database.close()


def test_a_step_that_fails_leaves_neither_change_nor_entry(path: Path) -> None:
    def fail(step: Transaction) -> None:
        step.note(ENTRY)
        step.add_channel(CHANNEL, 1.0)
        step.add_key(KEY)
        step.change_settings({"port": 1})
        raise KeyError("a defect")

    async def work(store: SQLiteStore) -> None:
        with pytest.raises(KeyError, match="a defect"):
            await store.write(fail)
        assert await store.audit(9) == []
        assert await store.channels() == []
        assert await store.keys() == []
        assert await store.settings() == {}
        await store.write(lambda step: step.add_channel(CHANNEL, 1.0))

    run(path, work)


def test_two_processes_share_a_database_and_see_each_other(path: Path) -> None:
    async def main() -> None:
        server = await SQLiteStore.open(path, SECRET_KEY)
        command = await SQLiteStore.open(path, SECRET_KEY)
        before = await server.version()
        await server.touch_keys({})
        await server.write(lambda step: step.change_settings({"port": 1}))
        assert await server.version() == before, "its own writes are no news"
        await command.write(lambda step: step.add_key(KEY))
        assert await server.version() != before
        assert len(await server.keys()) == 1
        await command.close()
        await server.close()

    asyncio.run(main())


def test_first_starts_at_the_same_moment_do_not_collide(path: Path) -> None:
    async def main() -> None:
        stores = await asyncio.gather(*(SQLiteStore.open(path, SECRET_KEY) for _ in range(6)))
        await asyncio.gather(
            *(
                store.write(
                    lambda step, n=n: step.add_key(
                        msgspec.structs.replace(KEY, name=f"k{n}", digest=bytes([n]) * 32)
                    )
                )
                for n, store in enumerate(stores)
            )
        )
        assert len(await stores[0].keys()) == 6
        for store in stores:
            await store.close()

    asyncio.run(main())


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
