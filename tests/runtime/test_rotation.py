"""Refresh tokens that were rotated: kept where the channel has its home, and in force at once."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from dragoman.canonical.secret import Secret
from dragoman.config.checks import MASK
from dragoman.runtime import GatewayState, Runtime
from dragoman.runtime.administration import Administrator
from dragoman.runtime.rotation import Rotation, rotation_of
from dragoman.server.admin.contract import ChangeRefused, Storage
from tests.runtime.support import ALICE, FILE, Home

OAUTH = {
    "token_url": "https://auth.test/token",
    "client_id": "ours",
    "client_secret": "s3cret-client",
}
CHANNEL = {
    "name": "signed in",
    "type": "builtin:glm",
    "api_key": "refresh-one",
    "api_keys": ["refresh-two", "refresh-three"],
    "oauth": OAUTH,
}


def keys(runtime: Runtime, name: str = "signed in") -> list[str]:
    (channel,) = [one for one in runtime.state.channels if one.name == name]
    return [one.reveal() for one in channel.credentials]


@pytest.mark.row("S2-32")
def test_a_channel_of_refresh_tokens_is_made_shown_and_changed(home: Home) -> None:
    async def change(runtime: Runtime, admin: Administrator) -> None:
        made = await admin.add_channel(CHANNEL, ALICE)
        assert made["oauth"] == {**OAUTH, "client_secret": MASK}
        channel = runtime.state.channels[-1]
        assert channel.opener == "dragoman.providers.refresh_token:open_with_token"
        assert channel.credential_header == "authorization"
        assert channel.oauth is not None
        assert channel.oauth.client_secret == Secret("s3cret-client")
        # As a form sends it back: what was not changed comes masked.
        await admin.change_channel(
            made["id"], {"oauth": {**made["oauth"], "scope": "models"}}, ALICE
        )
        channel = runtime.state.channels[-1]
        assert channel.oauth is not None
        assert channel.oauth.scope == "models"
        assert channel.oauth.client_secret == Secret("s3cret-client")
        await admin.change_channel(made["id"], {"oauth": None}, ALICE)
        assert (runtime.state.channels[-1].oauth, runtime.state.channels[-1].opener) == (None, "")
        audit = json.dumps(await admin.audit(10))
        assert "s3cret-client" not in audit

    home.run(change)


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"oauth": {"token_url": "http://auth.test/t"}}, "oauth.token_url", "https://"),
        ({"oauth": {"token_url": "https://u:p@a.test/t"}}, "oauth.token_url", "user or password"),
        ({"oauth": {"token_url": "https://a.test/t#x"}}, "oauth.token_url", "fragment"),
        ({"oauth": {}}, "oauth.token_url", "is missing"),
        ({"oauth": {**OAUTH, "client_di": "x"}}, "oauth.client_di", "did you mean 'client_id'"),
        ({"oauth": {**OAUTH, "client_secret": MASK}}, "oauth.client_secret", "placeholder"),
        ({"oauth": "https://a.test"}, "oauth", "must be an object"),
        ({"oauth": OAUTH, "api_key": "", "api_keys": []}, "api_key", "is missing"),
        ({"oauth": OAUTH, "type": "vertex"}, "oauth", "signs in by itself"),
    ],
)
def test_what_cannot_work_is_refused(
    file: Home, changes: dict[str, Any], path: str, words: str
) -> None:
    async def change(runtime: Runtime, admin: Administrator) -> None:
        with pytest.raises(ChangeRefused) as caught:
            await admin.add_channel({**CHANNEL, **changes}, ALICE)
        ((where, why),) = caught.value.problems
        assert where == path
        assert words in why

    file.run(change)


@pytest.mark.parametrize("url", ["http://localhost:1/t", "http://127.0.0.1/t", "http://[::1]/t"])
def test_a_token_endpoint_on_this_machine_may_be_plain(file: Home, url: str) -> None:
    async def change(runtime: Runtime, admin: Administrator) -> None:
        made = await admin.add_channel({**CHANNEL, "oauth": {"token_url": url}}, ALICE)
        assert made["oauth"] == {"token_url": url}

    file.run(change)


@pytest.mark.row("S2-32")
def test_a_rotated_token_takes_the_place_of_the_old_one_and_is_audited(home: Home) -> None:
    states: list[GatewayState] = []

    async def rotate(runtime: Runtime, admin: Administrator) -> None:
        await admin.add_channel(CHANNEL, ALICE)
        await admin.add_channel({**CHANNEL, "name": "same", "api_keys": []}, ALICE)
        await admin.add_channel(
            {"name": "plain", "type": "openai", "api_key": "refresh-one"}, ALICE
        )
        runtime.subscribe(states.append)
        rotated = await admin.rotate_credential(Secret("refresh-one"), Secret("refresh-new"))
        assert rotated
        assert states[-1] is runtime.state
        assert keys(runtime) == ["refresh-new", "refresh-two", "refresh-three"]
        assert keys(runtime, "same") == ["refresh-new"]
        assert keys(runtime, "plain") == ["refresh-one"]  # an API key that happens to be the same
        await admin.rotate_credential(Secret("refresh-three"), Secret("refresh-last"))
        newest = (await admin.audit(1))[0]
        assert (newest["actor"], newest["via"], newest["action"]) == (
            "gateway",
            "refresh",
            "channel.change",
        )
        assert list(newest["changes"]) == ["api_keys"]
        assert "refresh-" not in json.dumps(newest["changes"])

    async def again(runtime: Runtime, admin: Administrator) -> None:
        assert keys(runtime) == ["refresh-new", "refresh-two", "refresh-last"]

    home.run(rotate)
    home.run(again)


def test_what_was_replaced_by_hand_meanwhile_stays(file: Home) -> None:
    async def rotate(runtime: Runtime, admin: Administrator) -> None:
        await admin.add_channel(CHANNEL, ALICE)
        document = file.read()
        document["channels"][-1]["api_key"] = "pasted-by-hand"
        file.write(document)
        rotated = await admin.rotate_credential(Secret("refresh-one"), Secret("refresh-new"))
        assert not rotated
        assert keys(runtime)[0] == "pasted-by-hand"

    file.run(rotate)


def test_only_refresh_tokens_are_rotated() -> None:
    from dragoman.config.channels import read_channel  # noqa: PLC0415 - for this test only

    old, new = Secret("refresh-two"), Secret("new")
    with_oauth = read_channel(CHANNEL)
    assert rotation_of(with_oauth, old, new) == {"api_keys": ["new", MASK]}
    assert rotation_of(with_oauth, Secret("another"), new) == {}
    plain = read_channel({**CHANNEL, "oauth": None})
    assert rotation_of(plain, old, new) == {}


def test_a_token_that_cannot_be_kept_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    outcomes: list[Exception | bool] = [
        Storage("disk full"),
        Storage("disk full"),
        True,
    ]
    done = asyncio.Event()

    async def rotate(old: Secret, new: Secret) -> bool:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        done.set()
        return outcome

    async def keep() -> None:
        await Rotation(rotate, again_seconds=0.01).keep("glm", Secret("r-old"), Secret("r-new"))
        await asyncio.wait_for(done.wait(), 5)
        await asyncio.sleep(0)

    with caplog.at_level(logging.INFO, "dragoman.credentials"):
        asyncio.run(keep())
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "INFO"]
    assert "disk full" in caplog.text
    assert "r-new" not in caplog.text


def test_a_channel_that_cannot_be_changed_is_warned_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def rotate(old: Secret, new: Secret) -> bool:
        return False

    with caplog.at_level(logging.WARNING, "dragoman.credentials"):
        asyncio.run(Rotation(rotate).keep("glm", Secret("r-old"), Secret("r-new")))
    assert "in memory only" in caplog.text


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    home = Home(tmp_path, FILE, {"channels": [CHANNEL]})

    async def rotate(runtime: Runtime, admin: Administrator) -> None:
        home.config.unlink()
        with pytest.raises(Storage):
            await admin.rotate_credential(Secret("refresh-one"), Secret("refresh-new"))
        assert keys(runtime)[0] == "refresh-one"

    home.run(rotate)
