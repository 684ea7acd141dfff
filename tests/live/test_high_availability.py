"""High-availability mode and the other switches of the settings, changed while the gateway runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.live.routes import Group, Site, serving, settles
from tests.support.flexible_upstream import OK, Reply

FAILING = Reply(status=500)
# The group's name serves only as a prefix here: each channel has models of its own.
CHANNELS = Group(
    "ha",
    third={"priority": 3, "models": ["third-1", "shared"]},
    first={"priority": 1, "models": ["first-1", "first-2", "shared"]},
    second={"priority": 2, "models": ["second-1", "shared"]},
    off={"priority": 0, "models": ["off-1"], "enabled": False},
    any={"priority": 4, "models": []},
)
TOKENS = [
    {
        "name": "second only",
        "key": "sk-gw-second-only-0123456789",
        "allowed_channels": ["ha.second"],
    },
    {"name": "no first", "key": "sk-gw-other-models-0123456789", "allowed_models": ["first-2"]},
    {"name": "nothing", "key": "sk-gw-nothing-at-all-0123456789", "allowed_channels": ["ha.off"]},
]
SECOND_ONLY, OTHER_MODEL, NOTHING = (token["key"] for token in TOKENS)


@pytest.fixture(scope="module")
def running() -> Iterator[Site]:
    """One gateway for all tests; each says first how it wants it."""
    with serving([CHANNELS], {"high_availability_mode": True}, TOKENS) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    """In high-availability mode, every upstream well."""
    switch(running, high_availability_mode=True)
    for door in running.doors(CHANNELS):
        door.reply = OK
    running.channels("no-such-model", 1)  # an answer closes what the test before left open
    return running


def switch(site: Site, **settings: Any) -> None:
    """Change the settings in ``config.json`` and wait until they hold."""
    config = json.loads(json.dumps(site.gateway.config))
    changed: Mapping[str, Any] = {**config["settings"], **settings}
    if changed != config["settings"]:
        site.gateway.rewrite({**config, "settings": changed})
    wanted = changed.get("high_availability_mode", False)
    assert settles(lambda: site.health()["high_availability_mode"] == wanted)


def asked_for(site: Site, channel: str) -> str:
    """The model that the channel was asked for last."""
    return site.door(CHANNELS, channel).seen[-1].model


@pytest.mark.row("S2-46")
@pytest.mark.parametrize("model", ["no-such-model", "second-1", "off-1", "first-1"])
def test_the_model_is_ignored_and_the_first_channel_asked_for_its_first(
    site: Site, model: str
) -> None:
    told = site.ask(model)
    assert (told.status, told.channel) == (200, "first")
    assert asked_for(site, "first") == "first-1"
    assert told.headers["dragoman-model"] == "first-1"


@pytest.mark.row("S2-46")
@pytest.mark.parametrize(
    "protocol", ["openai_chat", "openai_responses", "anthropic_messages", "gemini_generate"]
)
def test_the_first_that_is_available_answers_by_priority(site: Site, protocol: str) -> None:
    expected = [("first", "first-1"), ("second", "second-1"), ("third", "third-1")]
    for channel, model in expected:
        told = site.ask("whatever", protocol=protocol)
        assert (told.status, told.channel) == (200, channel)
        assert asked_for(site, channel) == model
        site.door(CHANNELS, channel).reply = FAILING
    assert not site.door(CHANNELS, "off").seen
    site.door(CHANNELS, "first").reply = OK


def test_a_channel_without_a_list_is_asked_for_what_the_client_wants(site: Site) -> None:
    for channel in ("first", "second", "third"):
        site.door(CHANNELS, channel).reply = FAILING
    # Three attempts are the most: the fourth channel answers once one of them is left alone.
    assert settles(lambda: site.ask("special-model").status == 200)
    assert asked_for(site, "any") == "special-model"


def test_a_keys_restrictions_are_honoured(site: Site) -> None:
    assert site.ask("first-1", key=SECOND_ONLY).channel == "second"
    assert asked_for(site, "second") == "second-1"
    told = site.ask("whatever", key=OTHER_MODEL)
    assert (told.channel, asked_for(site, "first")) == ("first", "first-2")
    assert site.ask("whatever", key=NOTHING).status == 403
    site.door(CHANNELS, "second").reply = FAILING
    assert site.ask("first-1", key=SECOND_ONLY).status == 502, "no other may stand in"


@pytest.mark.row("S2-46")
def test_it_is_switched_while_the_gateway_runs(site: Site) -> None:
    assert site.ask("no-such-model").status == 200
    switch(site, high_availability_mode=False)
    assert site.ask("no-such-model", key=OTHER_MODEL).status == 403
    assert site.ask("second-1").channel == "second"
    switch(site, high_availability_mode=True)
    assert site.ask("second-1").channel == "first"


@pytest.mark.row("S2-45")
def test_without_fallback_the_first_channels_failure_is_the_answer(site: Site) -> None:
    site.door(CHANNELS, "first").reply = FAILING
    switch(site, high_availability_mode=False, enable_fallback=False)
    asked = len(site.door(CHANNELS, "second").seen)
    told = site.ask("shared")
    assert (told.status, told.channel) == (502, "first")
    assert len(site.door(CHANNELS, "second").seen) == asked
    switch(site, high_availability_mode=True, enable_fallback=True)
    told = site.ask("shared")
    assert (told.status, told.channel) == (200, "second")
