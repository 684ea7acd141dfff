"""What every home of the tables does alike, on a real file and on a real server."""

from __future__ import annotations

import asyncio
import sqlite3

import msgspec
import psycopg
import pytest

from dragoman.governance.keys import VirtualKey
from dragoman.store.errors import NameTaken, NoSuchRow, SecretKeyError, StoreError
from dragoman.store.sql import SQLStore
from dragoman.store.store import AuditEntry, Batch, StoredChannel, Transaction
from tests.store.homes import Home

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


def test_what_is_kept_is_there_after_a_restart(home: Home) -> None:
    async def write(store: SQLStore) -> None:
        kept = await store.write(lambda step: step.add_key(KEY))
        assert kept == msgspec.structs.replace(KEY, id="1")
        assert (await store.write(lambda step: step.add_channel(CHANNEL, 1.0))).id == 1
        await store.write(lambda step: step.change_settings({"port": 4000, "cors_origins": ["*"]}))
        await store.touch_keys({"1": 77.0})

    async def read(store: SQLStore) -> None:
        assert await store.keys() == [msgspec.structs.replace(KEY, id="1", last_used_at=77.0)]
        (channel,) = await store.channels()
        assert channel == msgspec.structs.replace(CHANNEL, id=1)
        assert await store.settings() == {"port": 4000, "cors_origins": ["*"]}
        await store.write(lambda step: step.change_settings({"port": None}))
        assert await store.settings() == {"cors_origins": ["*"]}

    home.run(write)
    home.run(read)


def test_another_secret_key_is_told_apart_at_once(home: Home) -> None:
    async def nothing(_: SQLStore) -> None:
        """Opening is enough."""

    home.run(nothing)
    with pytest.raises(SecretKeyError, match="another secret key"):
        asyncio.run(home.open(b"o" * 32))


def test_a_sealed_value_cannot_be_moved_to_another_channel(home: Home) -> None:
    async def write(store: SQLStore) -> None:
        await store.write(lambda step: step.add_channel(CHANNEL, 1.0))
        await store.write(
            lambda step: step.add_channel(msgspec.structs.replace(CHANNEL, name="other"), 1.0)
        )

    async def read(store: SQLStore) -> None:
        with pytest.raises(SecretKeyError, match="channels/2"):
            await store.channels()

    home.run(write)
    home.sql("UPDATE channels SET sealed = (SELECT sealed FROM channels WHERE id = 1)")
    home.run(read)


def test_names_are_taken_once_and_ids_never_again(home: Home) -> None:
    async def work(store: SQLStore) -> None:
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

    home.run(work)


def test_revoking_is_final_and_frees_the_name(home: Home) -> None:
    async def work(store: SQLStore) -> None:
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

    home.run(work)


def test_a_batch_replaces_by_name_and_leaves_the_rest(home: Home) -> None:
    async def work(store: SQLStore) -> None:
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

    home.run(work)


def test_a_batch_happens_as_a_whole_or_not_at_all(home: Home) -> None:
    async def work(store: SQLStore) -> None:
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

    home.run(work)


def test_the_same_key_under_another_name_keeps_its_history(home: Home) -> None:
    async def work(store: SQLStore) -> None:
        await store.write(lambda step: step.add_key(KEY))
        await store.touch_keys({"1": 40.0})
        renamed = msgspec.structs.replace(KEY, name="desktop", created_at=9.0)
        await store.write(lambda step: step.take_over(Batch(keys=[renamed]), 9.0))
        (key,) = await store.keys()
        assert (key.id, key.name, key.created_at, key.last_used_at) == ("1", "desktop", 12.5, 40.0)

    home.run(work)


def test_a_key_is_changed_while_it_lives(home: Home) -> None:
    async def work(store: SQLStore) -> None:
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

    home.run(work)


ENTRY = AuditEntry(
    at=7.5,
    actor="laptop",
    via="session",
    address="::1",
    action="channel.add",
    target="main",
    changes={"name": [None, "é"]},
)


def test_the_audit_is_read_newest_first_and_in_pages(home: Home) -> None:
    async def work(store: SQLStore) -> None:
        for number in range(5):
            entry = msgspec.structs.replace(ENTRY, target=f"t{number}")
            kept = await store.write(lambda step, entry=entry: step.note(entry))
            assert kept == msgspec.structs.replace(entry, id=number + 1)
        assert [entry.target for entry in await store.audit(2)] == ["t4", "t3"]
        assert [entry.target for entry in await store.audit(9, before=3)] == ["t1", "t0"]
        assert (await store.audit(1))[0].changes == ENTRY.changes

    home.run(work)


def test_the_audit_only_grows(home: Home) -> None:
    async def write(store: SQLStore) -> None:
        await store.write(lambda step: step.note(msgspec.structs.replace(ENTRY, actor="x" * 999)))

    home.run(write)
    statements = ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"]
    if home.is_postgres:
        statements.append("TRUNCATE audit")
    for statement in statements:
        with pytest.raises((sqlite3.IntegrityError, psycopg.Error), match="append-only"):
            home.sql(statement)
    assert home.sql("SELECT actor FROM audit") == [("x" * 200,)]


def test_a_step_that_fails_leaves_neither_change_nor_entry(home: Home) -> None:
    def fail(step: Transaction) -> None:
        step.note(ENTRY)
        step.add_channel(CHANNEL, 1.0)
        step.add_key(KEY)
        step.change_settings({"port": 1})
        raise KeyError("a defect")

    async def work(store: SQLStore) -> None:
        with pytest.raises(KeyError, match="a defect"):
            await store.write(fail)
        assert await store.audit(9) == []
        assert await store.channels() == []
        assert await store.keys() == []
        assert await store.settings() == {}
        await store.write(lambda step: step.add_channel(CHANNEL, 1.0))

    home.run(work)


def test_two_processes_share_a_database_and_see_each_other(home: Home) -> None:
    async def main() -> None:
        server = await home.open()
        command = await home.open()
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


def test_first_starts_at_the_same_moment_do_not_collide(home: Home) -> None:
    async def main() -> None:
        stores = await asyncio.gather(*(home.open() for _ in range(6)))
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
