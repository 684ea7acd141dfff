"""Changes while it runs: checked, written, audited and in force before the call returns."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.runtime import GatewayState, Runtime
from dragoman.runtime.administration import Administrator
from dragoman.server.admin.contract import (
    MASK,
    ChangeRefused,
    NameIsTaken,
    NoSuchEntry,
)
from tests.runtime.support import ALICE, Home, entries, names

NOW = 2_000_000_000.0
CHANNEL = {"name": "local", "type": "ollama", "models": ["llama"], "weight": 3}


@pytest.mark.row("S2-34", "S2-72")
def test_a_channel_is_made_changed_and_removed_at_once_and_for_good(home: Home) -> None:
    states: list[GatewayState] = []

    async def change(runtime: Runtime, admin: Administrator) -> None:
        runtime.subscribe(states.append)
        made = await admin.add_channel(CHANNEL, ALICE)
        assert states[-1] is runtime.state
        assert names(runtime)[-1] == "local"
        assert (made["source"], made["editable"], made["has_api_key"]) == (home.kind, True, False)
        assert made["protocols"] == {"ollama_chat": "http://localhost:11434"}
        changed = await admin.change_channel(
            made["id"],
            {
                "name": "far",
                "base_url": "http://far:1/",
                "api_key": "k",
                "models": "a, b",
                "priority": 7,
                "enabled": False,
                "timeout": 9,
                "max_retries": 0,
                "weight": None,
            },
            ALICE,
        )
        channel = states[-1].channels[-1]
        assert (channel.name, channel.models, channel.priority) == ("far", ("a", "b"), 7)
        assert (channel.enabled, channel.timeout, channel.max_retries) == (False, 9.0, 0)
        assert (channel.weight, channel.endpoints[0].base_url) == (1, "http://far:1")
        assert channel.first_credential is not None
        assert changed == await admin.channel(made["id"])
        assert changed["api_key"] == MASK

    async def again(runtime: Runtime, admin: Administrator) -> None:
        assert names(runtime)[-1] == "far"
        (document,) = [one for one in await admin.channels() if one["name"] == "far"]
        assert document["models"] == ["a", "b"]
        await admin.remove_channel(document["id"], ALICE)
        assert "far" not in names(runtime)
        with pytest.raises(NoSuchEntry):
            await admin.channel(document["id"])
        with pytest.raises(NoSuchEntry):
            await admin.remove_channel(document["id"], ALICE)
        found = await entries(admin)
        actions = [entry["action"] for entry in found]
        assert actions == ["channel.add", "channel.change", "channel.remove"]
        for entry in found:
            assert (entry["actor"], entry["via"], entry["address"]) == (
                *("alice", "key"),
                "192.0.2.7",
            )
        assert found[0]["changes"]["weight"] == [None, 3]
        assert found[1]["changes"]["weight"] == [3, 1]
        assert found[1]["changes"]["api_key"] == ["", MASK]
        assert "max_concurrency" not in found[1]["changes"]
        assert found[2]["target"].startswith("far (id ")

    home.run(change)
    home.run(again)


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"timeout": -1}, "timeout", "above 0"),
        ({"typ": "x"}, "typ", "did you mean 'type'"),
        ({"priority": True}, "priority", "not true"),
        ({"name": "\ud800"}, "name", "control characters"),
        ({"quirks": {"a": ["\ud800"]}}, "quirks.a.0", "surrogate"),
        ({"models": [{}]}, "models.0", "must be text"),
        ({"type": "opneai"}, "type", "did you mean 'openai'"),
        ({"name": None}, "name", "missing"),
        ({"headers": {"host": "x"}}, "headers.host", "gateway itself"),
        ({"api_keys": ["a", 3]}, "api_keys.1", "must be text"),
        ({"proxy_enabled": True}, "proxy_url", "missing"),
        ({"min_concurrency": 90}, "min_concurrency", "max_adaptive_concurrency"),
        ({"id": 77}, "id", "cannot be changed"),
        ({"source": "elsewhere"}, "source", "cannot be changed"),
        ({"headers": {"x-a": MASK}}, "headers.x-a", "there is none"),
        ({"api_keys": [MASK]}, "api_keys.0", "there is none"),
    ],
)
def test_what_is_wrong_is_refused_by_field_and_changes_nothing(
    home: Home, changes: dict[str, Any], path: str, words: str
) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        made = await admin.add_channel(CHANNEL, ALICE)
        before = await admin.channels()
        with pytest.raises(ChangeRefused) as caught:
            await admin.change_channel(made["id"], changes, ALICE)
        ((place, message),) = caught.value.problems
        assert place == path
        assert words in message
        assert await admin.channels() == before
        assert len(await entries(admin)) == 1

    home.run(work)


def test_names_are_taken_whatever_their_case(home: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        await admin.add_channel(CHANNEL, ALICE)
        other = await admin.add_channel({**CHANNEL, "name": "other"}, ALICE)
        with pytest.raises(NameIsTaken, match="LOCAL"):
            await admin.add_channel({**CHANNEL, "name": "LOCAL"}, ALICE)
        with pytest.raises(NameIsTaken):
            await admin.change_channel(other["id"], {"name": "Local"}, ALICE)
        await admin.change_channel(other["id"], {"name": "Other"}, ALICE)
        assert names(runtime)[-2:] == ["local", "Other"]

    home.run(work)


SECRETS = {
    "api_key": "one",
    "api_keys": ["two", "three", "four"],
    "proxy_url": "socks5://u:p@proxy:1",
    "headers": {"X-Key": "five", "x-other": "six"},
}


def test_a_masked_secret_that_is_sent_back_stays(home: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        made = await admin.add_channel({**CHANNEL, **SECRETS}, ALICE)
        assert made["api_keys"] == [MASK] * 3
        assert made["headers"] == {"x-key": MASK, "x-other": MASK}
        assert made["proxy_enabled"] is True

        async def change(**changes: Any) -> Any:
            await admin.change_channel(made["id"], changes, ALICE)
            entry = runtime.assembly.channels[-1].entry
            return (
                entry.api_key.reveal() if entry.api_key else None,
                [one.reveal() for one in entry.api_keys],
                entry.proxy_url.reveal() if entry.proxy_url else None,
                {name: value.reveal() for name, value in entry.headers.items()},
            )

        proxy, headers = SECRETS["proxy_url"], {"x-key": "five", "x-other": "six"}
        before = ("one", ["two", "three", "four"], proxy, headers)
        # As a form does it: everything comes back, one thing was changed.
        assert await change(**{**made, "priority": 5}) == before
        assert (await admin.channel(made["id"]))["priority"] == 5
        kept = await change(api_keys=[None, MASK, "new"], headers={"X-OTHER": MASK, "x-n": "7"})
        assert kept[1] == ["three", "new"], "the third is the one put in its place"
        assert kept[3] == {"x-other": "six", "x-n": "7"}
        assert await change(api_key=MASK, proxy_url=MASK) == kept
        assert await change(api_key="", api_keys=[], proxy_url=None, headers=None) == (
            *(None, [], None),
            {},
        )
        assert (await admin.channel(made["id"]))["proxy_enabled"] is False
        with pytest.raises(ChangeRefused, match="there is none"):
            await admin.change_channel(made["id"], {"api_key": MASK}, ALICE)

    home.run(work)


def test_a_change_that_changes_nothing_is_not_written(home: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        made = await admin.add_channel({**CHANNEL, **SECRETS}, ALICE)
        await admin.change_channel(made["id"], made, ALICE)
        await admin.change_channel(made["id"], {"priority": 1, "api_key": "one"}, ALICE)
        await admin.change_settings((await admin.settings())["values"], ALICE)
        await admin.change_settings({"queue_limit": None}, ALICE)
        assert [entry["action"] for entry in await entries(admin)] == ["channel.add"]

    home.run(work)
