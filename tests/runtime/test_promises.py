"""What holds for every change: no change without its entry, no secret anywhere, no waiting for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from dragoman.governance.record import Filter, RequestRecord
from dragoman.runtime import GatewayState, Runtime
from dragoman.runtime.administration import Administrator
from dragoman.server.admin.contract import Actor, NoSuchEntry, NotEditable, Storage
from tests.config.support import sample
from tests.runtime.support import ALICE, DATABASE, Home, entries, names

LOCAL = {"name": "local", "type": "ollama"}

Change = Callable[[Administrator], Awaitable[Any]]
CHANGES: dict[str, Change] = {
    "channel.add": lambda admin: admin.add_channel({**LOCAL, "name": "more"}, ALICE),
    "channel.change": lambda admin: admin.change_channel(1, {"priority": 9}, ALICE),
    "channel.remove": lambda admin: admin.remove_channel(1, ALICE),
    "settings.change": lambda admin: admin.change_settings({"queue_limit": 9}, ALICE),
    "key.add": lambda admin: admin.add_key({"name": "more"}, ALICE),
    "key.change": lambda admin: admin.change_key("1", {"strict": True}, ALICE),
    "key.revoke": lambda admin: admin.revoke_key("1", ALICE),
}


async def prepared(home: Home, admin: Administrator) -> None:
    """A channel of the id 1 and a key of the id 1."""
    if home.kind == DATABASE:
        await admin.add_channel(LOCAL, ALICE)
    await admin.add_key({"name": "laptop"}, ALICE)


@pytest.mark.parametrize("action", CHANGES)
def test_every_change_leaves_its_entry(home: Home, action: str) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        await prepared(home, admin)
        before = len(await entries(admin))
        await CHANGES[action](admin)
        assert [entry["action"] for entry in (await entries(admin))[before:]] == [action]

    home.run(work)


@pytest.mark.parametrize("action", CHANGES)
def test_there_is_no_change_without_an_entry(home: Home, action: str) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        await prepared(home, admin)
        everything = (await admin.channels(), await admin.keys(), await admin.settings())
        content = home.config.read_bytes() if home.config.exists() else b""
        home.fill_the_audit()
        with pytest.raises(Storage, match="no room for it"):
            await CHANGES[action](admin)
        await runtime.reload()
        assert (await admin.channels(), await admin.keys(), await admin.settings()) == everything
        assert content == (home.config.read_bytes() if home.config.exists() else b"")

    home.run(work)


def test_own_changes_are_told_once_and_at_once(home: Home) -> None:
    states: list[GatewayState] = []

    async def work(runtime: Runtime, admin: Administrator) -> None:
        looks = 0
        look = runtime.store.version

        async def counted() -> int:
            nonlocal looks
            looks += 1
            return await look()

        runtime.store.version = counted  # type: ignore[method-assign]
        watcher = asyncio.ensure_future(runtime.watch(states.append, every=0.01))
        await until(lambda: looks > 2)
        for number, change in enumerate(CHANGES.values(), start=1):
            if number == 1:
                await prepared(home, admin)
                told = len(states)
            await change(admin)
            assert len(states) == told + number, "before the call returns"
            assert states[-1] is runtime.state
        seen = looks
        await until(lambda: looks > seen + 5)
        assert len(states) == told + len(CHANGES), "the poll has nothing to add"
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        await admin.change_settings({"queue_limit": 8}, ALICE)
        assert len(states) == told + len(CHANGES), "a watch that ended is told nothing"

    home.run(work)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_client_that_leaves_does_not_leave_a_change_halfway(home: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        asked = asyncio.ensure_future(admin.add_channel(LOCAL, ALICE))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await until(lambda: "local" in names(runtime))
        assert len(await entries(admin)) == 1

    home.run(work)


def test_changes_at_the_same_time_come_one_after_another(home: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        await prepared(home, admin)
        fields = {"priority": 9, "weight": 3, "max_retries": 1, "tags": ["t"], "timeout": 7.0}
        await asyncio.gather(
            *(admin.change_channel(1, {name: value}, ALICE) for name, value in fields.items())
        )
        document = await admin.channel(1)
        assert {name: document[name] for name in fields} == fields

    home.run(work)


CANARIES = {
    name: f"never-seen-{name}-canary-4711"
    for name in ("key", "first", "second", "proxy", "header", "token", "own", "new", "wrong")
}


def planted(document: dict[str, Any]) -> dict[str, Any]:
    return {
        **document,
        "api_key": CANARIES["key"],
        "api_keys": [CANARIES["first"], CANARIES["second"]],
        "proxy_url": f"http://u:{CANARIES['proxy']}@proxy:1",
        "headers": {"x-secret": CANARIES["header"]},
    }


def test_no_secret_is_ever_shown(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    """A canary in every secret field, looked for in all that is said."""
    home.environ = {"API_KEY": CANARIES["own"]}
    if home.kind != DATABASE:
        document = sample()
        document["channels"][0] = planted(document["channels"][0])
        document["tokens"][0]["key"] = CANARIES["token"]
        home.write(document)
    said: list[Any] = []

    async def attempt(change: Awaitable[Any]) -> None:
        try:
            said.append(await change)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not give a secret away
            said.append(traceback.format_exception(error))
            said.append(repr(error))

    async def work(runtime: Runtime, admin: Administrator) -> None:
        await attempt(admin.add_channel(planted(LOCAL), ALICE))
        last = runtime.assembly.channels[-1].entry.id
        wrong = CANARIES["wrong"]
        changes: Sequence[dict[str, Any]] = [
            {"api_key": CANARIES["new"], "api_keys": [CANARIES["new"] + "2", "***"]},
            {"api_key": f"{wrong}\n"},
            {"api_keys": [f"{wrong}\0", wrong, wrong]},
            {"proxy_url": f"ftp://{wrong}"},
            {"headers": {"x-a": f"{wrong}\n", "x-b": "***"}},
            {"priority": wrong, "timeout": [wrong], "enabled": wrong, "base_url": wrong},
            {"proxy_url": None, "proxy_enabled": True},
            {"name": "renamed", "headers": {"x-other": CANARIES["new"]}},
        ]
        for change in changes:
            await attempt(admin.change_channel(last, change, ALICE))
        await attempt(admin.add_channel(planted(LOCAL), ALICE))
        _, document = await admin.add_key({"name": "mine", "key": CANARIES["token"] + "2"}, ALICE)
        said.append(document)
        await attempt(admin.add_key({"name": "again", "key": CANARIES["token"] + "2"}, ALICE))
        await attempt(admin.add_key({"name": "bad", "key": f"{wrong} \n"}, ALICE))
        await attempt(admin.change_key("1", {"key": wrong, "enabled": wrong}, ALICE))
        await attempt(admin.change_settings({"log_level": wrong, "host": f"{wrong} x"}, ALICE))
        await attempt(admin.channels())
        await attempt(admin.keys())
        await attempt(admin.settings())
        await attempt(admin.remove_channel(last, ALICE))
        await attempt(admin.audit(100))

    with caplog.at_level(logging.DEBUG):
        home.run(work)
    text = f"{said} {caplog.text}"
    assert "***" in text
    assert "renamed" in text
    for canary in CANARIES.values():
        assert canary[10:] not in text, "the first ten letters are a key's hint"
    with contextlib.closing(sqlite3.connect(home.data_dir / "dragoman.db")) as database:
        rows = "\n".join(database.iterdump())
    for canary in CANARIES.values():
        assert canary[10:] not in rows


def test_what_the_environment_gives_is_changed_there(database: Home) -> None:
    database.environ = {"GROQ_API_KEY": "gsk-4711"}
    database.flags = {"demo": True}

    async def work(runtime: Runtime, admin: Administrator) -> None:
        found = {one["name"]: one for one in await admin.channels()}
        assert {name: (one["source"], one["editable"]) for name, one in found.items()} == {
            "groq": ("environment", False),
            "demo": ("demo", False),
        }
        for name, words in (("groq", "GROQ_API_KEY"), ("demo", "--demo")):
            with pytest.raises(NotEditable, match=words):
                await admin.change_channel(found[name]["id"], {"enabled": False}, ALICE)
            with pytest.raises(NotEditable, match=words):
                await admin.remove_channel(found[name]["id"], ALICE)
        assert await entries(admin) == []

    database.run(work)


def test_sign_ins_are_in_the_audit_and_pages_go_back(database: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        mallory = Actor(name="unknown", via="session", address="198.51.100.3")
        await admin.note_sign_in(mallory, accepted=False)
        await admin.note_sign_in(ALICE, accepted=True)
        newest, oldest = await admin.audit(10, None)
        assert (newest["action"], newest["actor"]) == ("sign-in", "alice")
        assert (oldest["action"], oldest["address"]) == ("sign-in.refused", "198.51.100.3")
        assert oldest["at"].endswith("Z")
        assert await admin.audit(1, None) == [newest]
        assert await admin.audit(10, newest["id"]) == [oldest]

    database.run(work)


RECORD = RequestRecord(
    id="r1", started_at=1.0, operation="chat", protocol="openai_chat", model="gpt"
)


class Log:
    async def find(self, wanted: Filter) -> Sequence[RequestRecord]:
        return [RECORD] if wanted.model in (None, "gpt") else []

    async def get(self, request_id: str) -> RequestRecord | None:
        return RECORD if request_id == "r1" else None


def test_requests_are_asked_of_the_log(database: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        with_log = Administrator(runtime, Log())
        assert list(await with_log.requests(Filter())) == [RECORD]
        assert list(await with_log.requests(Filter(model="o3"))) == []
        assert await with_log.request("r1") is RECORD
        with pytest.raises(NoSuchEntry, match="r2"):
            await with_log.request("r2")
        assert list(await admin.requests(Filter())) == []
        with pytest.raises(NoSuchEntry):
            await admin.request("r1")

    database.run(work)


def test_the_catalogue_is_shown_as_it_is(database: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        rows = {row["id"]: row for row in admin.providers()}
        assert list(rows) == list(runtime.catalog)
        assert rows["openai"]["protocols"]["openai_chat"] == "https://api.openai.com/v1"
        assert rows["openai"]["key_required"] is True
        assert rows["openai"]["title"] == "OpenAI"

    database.run(work)
