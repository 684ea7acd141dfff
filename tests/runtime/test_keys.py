"""Virtual keys: made, changed and ended while the gateway runs."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.canonical.errors import Unauthorized
from dragoman.governance.principal import Principal
from dragoman.runtime import Runtime
from dragoman.runtime.administration import Administrator
from dragoman.server.admin.contract import (
    ChangeRefused,
    NameIsTaken,
    NoSuchEntry,
    NotEditable,
)
from tests.config.support import TOKEN_KEY, bent
from tests.runtime.support import ALICE, DATABASE, Home, entries

NOW = 2_000_000_000.0
OWN = "sk-gw-my-own-text-4711"


def caller(runtime: Runtime, text: str) -> Principal:
    return runtime.state.keyring.authenticate(text, NOW)


@pytest.mark.row("S2-61", "S2-62", "S2-63", "S2-64", "S2-72")
def test_a_key_is_made_changed_and_ended_at_once_and_for_good(home: Home) -> None:
    kept: dict[str, str] = {}

    async def change(runtime: Runtime, admin: Administrator) -> None:
        await admin.add_channel({"name": "local", "type": "ollama"}, ALICE)
        number = runtime.assembly.channels[-1].entry.id
        text, made = await admin.add_key(
            {"name": "laptop", "allowed_channels": [number], "allowed_models": "a, b"}, ALICE
        )
        assert (made["source"], made["editable"]) == (DATABASE, True)
        assert made["allowed_channels"] == ["local"]
        assert made["hint"] == text[:10]
        principal = caller(runtime, text)
        assert principal.may_use_channel(number, "local")
        assert not principal.may_use_channel(number + 1, "other")
        assert principal.may_use_model("b")
        assert not principal.may_use_model("c")
        answer = await admin.change_key(
            made["id"],
            {
                "name": "desk",
                "allowed_channels": None,
                "allowed_models": ["c"],
                "strict": True,
                "expires_at": "2099-01-31T00:00:00Z",
            },
            ALICE,
        )
        assert answer["expires_at"] == "2099-01-31T00:00:00Z"
        principal = caller(runtime, text)
        assert (principal.name, principal.strict) == ("desk", True)
        assert principal.may_use_channel(number + 1, "other")
        assert principal.may_use_model("c")
        await admin.change_key(made["id"], {"enabled": False}, ALICE)
        with pytest.raises(Unauthorized, match="disabled"):
            caller(runtime, text)
        await admin.change_key(made["id"], {"enabled": True, "expires_at": None}, ALICE)
        kept.update(text=text, id=made["id"])

    async def again(runtime: Runtime, admin: Administrator) -> None:
        assert caller(runtime, kept["text"]).name == "desk"
        await admin.revoke_key(kept["id"], ALICE)
        with pytest.raises(Unauthorized, match="revoked"):
            caller(runtime, kept["text"])
        document = next(one for one in await admin.keys() if one["id"] == kept["id"])
        assert document["revoked_at"] is not None
        assert document["editable"] is False
        with pytest.raises(NotEditable, match="revoked"):
            await admin.change_key(kept["id"], {"enabled": True}, ALICE)
        found = await entries(admin)
        assert [entry["action"] for entry in found[1:]] == [
            "key.add",
            "key.change",
            "key.change",
            "key.change",
            "key.revoke",
        ]
        assert found[1]["changes"]["allowed_models"] == [None, ["a", "b"]]
        assert found[2]["changes"]["allowed_channels"] == [["local"], []]
        assert found[3]["changes"] == {"enabled": [True, False]}
        assert kept["text"] not in str(found)

    home.run(change)
    home.run(again)


def test_a_text_of_ones_own_is_kept_as_a_digest(home: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        text, made = await admin.add_key({"name": "own", "key": OWN}, ALICE)
        assert text == OWN
        assert caller(runtime, OWN).name == "own"
        assert OWN not in str(made)
        await admin.revoke_key(made["id"], ALICE)
        for key, words in (
            (OWN, "in use"),
            ("short", "shorter"),
            ("changeme-please", "everybody"),
            (5, "must be text"),
            ("***", "placeholder"),
        ):
            with pytest.raises(ChangeRefused, match=words) as caught:
                await admin.add_key({"name": "again", "key": key}, ALICE)
            assert [place for place, _ in caught.value.problems] == ["key"]
            assert OWN not in str(caught.value)

    home.run(work)
    for path in (home.data_dir, home.data_dir.parent):
        for one in path.iterdir():
            assert not one.is_file() or OWN.encode() not in one.read_bytes()


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({}, "name", "missing"),
        ({"name": "12"}, "name", "digits"),
        ({"name": "x", "allowed_channels": ["nope"]}, "allowed_channels.0", "unknown"),
        ({"name": "x", "expires_at": "2001-01-01"}, "expires_at", "past"),
        ({"name": "x", "expires_at": 5}, "expires_at", "date"),
        ({"name": "x", "enabled": 1}, "enabled", "true or false"),
        ({"name": "x", "admn": True}, "admn", "did you mean 'admin'"),
    ],
)
def test_what_is_wrong_is_refused_by_field(
    home: Home, fields: dict[str, Any], path: str, words: str
) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        before = await admin.keys()
        with pytest.raises(ChangeRefused, match=words) as caught:
            await admin.add_key(fields, ALICE)
        assert [place for place, _ in caught.value.problems] == [path]
        _, made = await admin.add_key({"name": "good"}, ALICE)
        if fields:
            with pytest.raises(ChangeRefused, match=words):
                await admin.change_key(made["id"], fields, ALICE)
        assert await admin.keys() == [*before, made]

    home.run(work)


def test_names_are_taken_across_every_source(file: Home) -> None:
    file.environ = {"API_KEY": OWN}

    async def work(runtime: Runtime, admin: Administrator) -> None:
        _, made = await admin.add_key({"name": "laptop"}, ALICE)
        for name in ("My token", "api_key", "Laptop"):
            with pytest.raises(NameIsTaken):
                await admin.add_key({"name": name}, ALICE)
        with pytest.raises(NameIsTaken):
            await admin.change_key(made["id"], {"name": "MY TOKEN"}, ALICE)
        with pytest.raises(NameIsTaken):
            await admin.change_key("file-1", {"name": "laptop"}, ALICE)
        await admin.revoke_key(made["id"], ALICE)
        await admin.add_key({"name": "laptop"}, ALICE)

    file.run(work)


@pytest.mark.row("S2-62", "S2-63", "S2-64", "S2-71", "S2-72")
def test_a_token_of_the_file_is_changed_in_the_file(file: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        (document,) = await admin.keys()
        assert (document["id"], document["source"], document["editable"]) == (
            *("file-1", "file"),
            True,
        )
        await admin.change_key("file-1", {"allowed_channels": [1], "allowed_models": "o3"}, ALICE)
        principal = caller(runtime, TOKEN_KEY)
        assert not principal.may_use_channel(2, "other")
        assert not principal.may_use_model("gpt-4o")
        await admin.change_key("file-1", {"enabled": False, "name": "mine"}, ALICE)
        with pytest.raises(Unauthorized, match="disabled"):
            caller(runtime, TOKEN_KEY)
        assert file.read()["tokens"] == [
            {
                "id": 1,
                "name": "mine",
                "key": TOKEN_KEY,
                "enabled": False,
                "allowed_channels": ["OpenAI"],
                "allowed_models": "o3",
            }
        ]
        await admin.revoke_key("file-1", ALICE)
        assert file.read()["tokens"] == []
        with pytest.raises(Unauthorized, match="unknown"):
            caller(runtime, TOKEN_KEY)
        with pytest.raises(NoSuchEntry):
            await admin.revoke_key("file-1", ALICE)
        actions = [entry["action"] for entry in await entries(admin)]
        assert actions == ["key.change", "key.change", "key.remove"]

    file.run(work)


def test_keys_of_the_environment_are_changed_there(database: Home) -> None:
    database.environ = {"API_KEY": OWN, "DRAGOMAN_ADMIN_KEY": f"{OWN}-admin"}
    database.flags = {"demo": True}

    async def work(runtime: Runtime, admin: Administrator) -> None:
        found = {one["name"]: one for one in await admin.keys()}
        assert {name: one["source"] for name, one in found.items()} == {
            "API_KEY": "environment",
            "environment-admin": "environment",
            "demo": "demo",
        }
        for one, words in zip(
            found.values(), ("--demo", "API_KEY", "DRAGOMAN_ADMIN_KEY"), strict=True
        ):
            assert one["editable"] is False
            with pytest.raises(NotEditable, match=words):
                await admin.change_key(one["id"], {"enabled": False}, ALICE)
            with pytest.raises(NotEditable, match=words):
                await admin.revoke_key(one["id"], ALICE)
        assert caller(runtime, f"{OWN}-admin").admin is True
        assert caller(runtime, OWN).admin is False
        assert await entries(admin) == []

    database.run(work)


def test_an_admin_key_is_a_key_with_a_mark(home: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        text, made = await admin.add_key({"name": "boss", "admin": True}, ALICE)
        assert made["admin"] is True
        assert caller(runtime, text).admin is True
        await admin.change_key(made["id"], {"admin": False}, ALICE)
        assert caller(runtime, text).admin is False

    home.run(work)


def test_admin_keys_alone_do_not_count_as_keys_for_clients(database: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        assert runtime.state.keyring.usable(NOW) == 0
        assert await runtime.first_key() is not None
        (entry,) = await entries(admin)
        assert (entry["actor"], entry["via"], entry["action"]) == ("dragoman", "start", "key.add")

    database.environ = {"DRAGOMAN_ADMIN_KEY": f"{OWN}-admin"}
    database.run(work)


def test_a_renamed_channel_takes_its_keys_along(home: Home) -> None:
    document = bent("tokens.0.allowed_channels", ["OpenAI", 1])
    if home.kind == "file":
        home.write(document)

    async def work(runtime: Runtime, admin: Administrator) -> None:
        if home.kind == DATABASE:
            await admin.add_channel({**document["channels"][0], "api_key": "k"}, ALICE)
        text, _ = await admin.add_key({"name": "a", "allowed_channels": ["OpenAI"]}, ALICE)
        (channel,) = await admin.channels()
        await admin.change_channel(channel["id"], {"name": "New"}, ALICE)
        assert caller(runtime, text).may_use_channel(999, "New")
        assert not caller(runtime, text).may_use_channel(999, "OpenAI")
        if home.kind == "file":
            assert file_tokens(home) == [["New", 1]]
            assert caller(runtime, TOKEN_KEY).may_use_channel(999, "New")

    home.run(work)


def file_tokens(home: Home) -> list[Any]:
    return [token["allowed_channels"] for token in home.read()["tokens"]]


def test_a_channel_that_a_token_of_the_file_needs_is_not_removed(file: Home) -> None:
    file.write(bent("tokens.0.allowed_channels", [1]))

    async def work(runtime: Runtime, admin: Administrator) -> None:
        with pytest.raises(ChangeRefused, match="'My Token' in the file is limited to"):
            await admin.remove_channel(1, ALICE)
        await admin.change_key("file-1", {"allowed_channels": None}, ALICE)
        await admin.remove_channel(1, ALICE)
        assert runtime.state.channels == ()

    file.run(work)
