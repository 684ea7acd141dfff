"""Settings, changed while the gateway runs."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.config.schema import SETTINGS
from dragoman.runtime import GatewayState, Runtime
from dragoman.runtime.administration import Administrator
from dragoman.server.admin.contract import ChangeRefused, NotEditable
from tests.runtime.support import ALICE, FILE, Home, entries


@pytest.mark.row("S2-69", "S2-72")
def test_a_setting_is_in_force_at_once_and_after_a_restart(home: Home) -> None:
    states: list[GatewayState] = []

    async def change(runtime: Runtime, admin: Administrator) -> None:
        runtime.subscribe(states.append)
        assert runtime.state.settings.high_availability_mode is False
        answer = await admin.change_settings(
            {"high_availability_mode": True, "strategies": {"gpt-*": "least_busy"}}, ALICE
        )
        assert states[-1].settings.high_availability_mode is True
        assert states[-1].settings.strategies == {"gpt-*": "least_busy"}
        assert answer["values"]["high_availability_mode"] is True
        assert answer["sources"]["high_availability_mode"] == home.kind
        assert answer["needs_restart"] == []

    async def again(runtime: Runtime, admin: Administrator) -> None:
        assert runtime.state.settings.high_availability_mode is True
        answer = await admin.change_settings(
            {"high_availability_mode": None, "strategies": None}, ALICE
        )
        assert answer["sources"]["high_availability_mode"] == "default"
        assert runtime.state.settings.high_availability_mode is False
        first, second = await entries(admin)
        assert first["action"] == second["action"] == "settings.change"
        assert second["changes"] == {
            "high_availability_mode": [True, False],
            "strategies": [{"gpt-*": "least_busy"}, {}],
        }

    home.run(change)
    home.run(again)


def test_every_setting_has_a_value_and_a_source(home: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        answer = await admin.settings()
        assert set(answer["values"]) == set(answer["sources"]) == set(SETTINGS)
        # The sample file names seven of them.
        named = [name for name, source in answer["sources"].items() if source != "default"]
        assert len(named) == (7 if home.kind == FILE else 0)

    home.run(work)


def test_what_waits_for_a_restart_is_told_until_it_comes(home: Home) -> None:
    async def change(runtime: Runtime, admin: Administrator) -> None:
        answer = await admin.change_settings({"port": 4000, "cors_origins": ["http://a"]}, ALICE)
        assert answer["needs_restart"] == ["port", "cors_origins"]
        answer = await admin.change_settings({"cors_origins": ["*"]}, ALICE)
        assert answer["needs_restart"] == ["port"]
        assert (await admin.settings())["needs_restart"] == ["port"]

    async def restarted(runtime: Runtime, admin: Administrator) -> None:
        answer = await admin.settings()
        assert answer["values"]["port"] == 4000
        assert answer["needs_restart"] == []

    home.run(change)
    home.run(restarted)


def test_what_stands_above_is_told_by_name_and_stays(home: Home) -> None:
    home.environ = {"LISTEN": "127.0.0.1", "DRAGOMAN_STRATEGY": "least_busy"}
    home.flags = {"port": 4711}

    async def work(runtime: Runtime, admin: Administrator) -> None:
        sources = (await admin.settings())["sources"]
        assert (sources["host"], sources["strategy"]) == ("environment", "environment")
        assert sources["port"] == "flag"
        for name, value, words in (
            ("host", "::1", "environment variable LISTEN"),
            ("strategy", None, "environment variable DRAGOMAN_STRATEGY"),
            ("port", 80, "flag --port"),
        ):
            with pytest.raises(NotEditable, match=words):
                await admin.change_settings({name: value, "queue_limit": 5}, ALICE)
        # As it is shown, it may come back.
        await admin.change_settings({"host": "127.0.0.1", "queue_limit": 5}, ALICE)
        assert runtime.state.settings.queue_limit == 5
        assert [list(entry["changes"]) for entry in await entries(admin)] == [["queue_limit"]]

    home.run(work)


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"prot": 1}, "prot", "did you mean 'port'"),
        ({"prot": None}, "prot", "did you mean 'port'"),
        ({"port": "80"}, "port", "not text"),
        ({"require_auth": 1}, "require_auth", "true or false"),
        ({"strategies": {"gpt-*": "best"}}, "strategies.gpt-*", "one of"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    home: Home, changes: dict[str, Any], path: str, words: str
) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        before = await admin.settings()
        with pytest.raises(ChangeRefused) as caught:
            await admin.change_settings({"queue_limit": 5, **changes}, ALICE)
        ((place, message),) = caught.value.problems
        assert place == path
        assert words in message
        assert await admin.settings() == before

    home.run(work)
