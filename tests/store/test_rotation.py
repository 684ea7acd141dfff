"""Another secret key for a database: everything sealed anew, or nothing."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import LargeBinary

from dragoman.governance.idempotency import Answered, Claim
from dragoman.governance.keys import VirtualKey, digest
from dragoman.governance.record import Filter, Transcript
from dragoman.runtime import secret_key
from dragoman.runtime.opening import open_store
from dragoman.runtime.secret_key import Rotated, rotate
from dragoman.server.admin.contract import Actor
from dragoman.store import journal_files, tables
from dragoman.store.errors import SecretKeyError, StoreError
from dragoman.store.rotation import SEALED
from dragoman.store.sealing import FILE_NAME, NEW_FILE_NAME
from dragoman.store.sql import SQLStore
from dragoman.store.store import StoredChannel
from tests.support.records import record

CANARY = "sk-canary-rotation-4711"
SCOPE = b"s" * 32
TRANSCRIPT = Transcript(request=CANARY.encode(), answer=b"answer")
ACTOR = Actor(name="tester", via="cli")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def filled(folder: Path, environ: Mapping[str, str]) -> None:
    """A database with one of everything that is sealed, and a virtual key."""
    store, _ = await open_store(folder, environ)
    pepper = await store.pepper()
    channel = StoredChannel(id=0, name="one", document={}, secrets={"api_key": CANARY})
    key = VirtualKey(id="", name="laptop", digest=digest("sk-gw-x", pepper), hint="sk-gw")
    await store.write(lambda step: step.add_channel(channel, 1.0))
    await store.write(lambda step: step.add_key(key))
    await store.request_log().add([record(1, transcript=TRANSCRIPT)])
    claim = Claim(scope=SCOPE, fingerprint=b"f" * 32, request_id="r", at=1.0)
    answers = store.idempotency()
    assert await answers.claim(claim, since=0.0) is None
    await answers.settle({SCOPE: ("r", Answered(200, {}, CANARY.encode()))})
    await store.close()


async def holds_everything(store: SQLStore) -> None:
    """What ``filled`` put there can be read, and its key is still known."""
    health = await store.examine()
    assert (health.opened, health.damaged) == (
        {"channels": 1, "requests": 1, "idempotency": 1},
        (),
    )
    (channel,) = await store.channels()
    assert channel.secrets == {"api_key": CANARY}
    (brief,) = await store.request_log().find(Filter(limit=5))
    kept = await store.request_log().get(brief.id)
    assert kept is not None
    assert kept.transcript == TRANSCRIPT
    claim = Claim(scope=SCOPE, fingerprint=b"f" * 32, request_id="r2", at=2.0)
    earlier = await store.idempotency().claim(claim, since=0.0)
    assert earlier is not None
    assert earlier.answered == Answered(200, {}, CANARY.encode())
    (key,) = await store.keys()
    assert key.digest == digest("sk-gw-x", await store.pepper()), "virtual keys go on working"


async def opened(folder: Path, environ: Mapping[str, str]) -> None:
    store, _ = await open_store(folder, environ)
    try:
        await holds_everything(store)
    finally:
        await store.close()


async def rotated(folder: Path, environ: Mapping[str, str], variable: str | None = None) -> Rotated:
    store, old = await open_store(folder, environ)
    try:
        return await rotate(
            store,
            old,
            data_dir=folder,
            environ=environ,
            new_key_variable=variable,
            actor=ACTOR,
        )
    finally:
        await store.close()


def test_every_sealed_column_is_known() -> None:
    """A column that is sealed and not sealed anew would be lost with the old key."""
    known = {(where.table.name, where.column.name) for where in SEALED}
    plain = {("keys", "digest"), ("meta", "value"), *digests()}
    binary = {
        (table.name, column.name)
        for table in tables.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    assert binary - plain == known


def digests() -> set[tuple[str, str]]:
    return {("idempotency", "scope"), ("idempotency", "fingerprint")}


def test_a_key_file_is_replaced_and_everything_opens(tmp_path: Path) -> None:
    run(filled(tmp_path, {}))
    before = (tmp_path / FILE_NAME).read_bytes()
    for _ in range(2):  # the pepper is kept from the first time on
        done = run(rotated(tmp_path, {}))
        assert done == Rotated(values=3, in_file=tmp_path / FILE_NAME)
        assert (tmp_path / FILE_NAME).read_bytes() != before
        assert not (tmp_path / NEW_FILE_NAME).exists()
        assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
        run(opened(tmp_path, {}))
    (tmp_path / FILE_NAME).write_bytes(before)
    with pytest.raises(SecretKeyError, match="another secret key"):
        run(opened(tmp_path, {}))


def test_a_key_of_the_environment_is_the_operators_to_change(tmp_path: Path) -> None:
    old = {"DRAGOMAN_SECRET_KEY": "an old passphrase"}
    run(filled(tmp_path, old))
    with pytest.raises(SecretKeyError, match="--new-key-env"):
        run(rotated(tmp_path, old))
    with pytest.raises(SecretKeyError, match="NEW_KEY is not set"):
        run(rotated(tmp_path, old, "NEW_KEY"))
    both = old | {"NEW_KEY": "a passphrase that is new"}
    assert run(rotated(tmp_path, both, "NEW_KEY")) == Rotated(values=3, in_file=None)
    run(opened(tmp_path, {"DRAGOMAN_SECRET_KEY": both["NEW_KEY"]}))
    with pytest.raises(SecretKeyError):
        run(opened(tmp_path, old))
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize("cut_off", ["change_secret_key", "adopt_staged_key"])
def test_a_rotation_that_is_cut_off_leaves_a_pair_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_off: str
) -> None:
    run(filled(tmp_path, {}))

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    place = SQLStore if cut_off == "change_secret_key" else secret_key
    with monkeypatch.context() as patch:
        patch.setattr(place, cut_off, crash)
        with pytest.raises(KeyboardInterrupt):
            run(rotated(tmp_path, {}))
    assert (tmp_path / NEW_FILE_NAME).exists()
    run(opened(tmp_path, {}))
    run(rotated(tmp_path, {}))
    run(opened(tmp_path, {}))


def test_one_value_that_does_not_open_stops_it_all(tmp_path: Path) -> None:
    run(filled(tmp_path, {}))

    async def damage() -> None:
        store, _ = await open_store(tmp_path, {})
        await store._write(
            lambda connection: (
                connection.execute(
                    tables.idempotency.update().values(sealed=b"\x01" + os.urandom(40))
                ).rowcount
            )
        )
        health = await store.examine()
        assert health.opened == {"channels": 1, "requests": 1, "idempotency": 0}
        assert health.damaged == (f"idempotency/{SCOPE.hex()}",)
        await store.close()

    run(damage())
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(SecretKeyError, match="idempotency/"):
        run(rotated(tmp_path, {}))
    assert (tmp_path / FILE_NAME).read_bytes() == before

    async def still_there() -> None:
        store, _ = await open_store(tmp_path, {})
        assert (await store.channels())[0].secrets == {"api_key": CANARY}
        await store.close()

    run(still_there())


def test_not_while_a_gateway_serves(tmp_path: Path) -> None:
    run(filled(tmp_path, {}))
    (tmp_path / "journal").mkdir()
    serving = journal_files.take_lock(tmp_path / "journal" / "lock")
    with pytest.raises(StoreError, match="stop it first"):
        run(rotated(tmp_path, {}))
    os.close(serving)
    run(opened(tmp_path, {}))


def test_the_audit_tells_of_it(tmp_path: Path) -> None:
    run(filled(tmp_path, {}))
    run(rotated(tmp_path, {}))

    async def look() -> None:
        store, _ = await open_store(tmp_path, {})
        (entry,) = await store.audit(5)
        assert (entry.action, entry.actor, entry.via) == ("secret_key.rotate", "tester", "cli")
        await store.close()

    run(look())
