"""The lists of models: fetched, kept, fetched again."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from dragoman.canonical.errors import UpstreamUnreachable
from dragoman.canonical.secret import Secret
from dragoman.engine.model_lists import ModelLists
from dragoman.engine.opening import Openings
from dragoman.protocols.registry import protocols
from dragoman.routing.channel import Channel, Endpoint
from tests.engine.scripted import Script, ScriptedTransport


def channel(id: int = 1, protocol: str = "openai_chat", **fields: Any) -> Channel:
    return Channel(
        id=id,
        name=f"c{id}",
        provider="custom",
        endpoints=(Endpoint(protocol, fields.pop("url", "http://up.test/v1")),),
        **fields,
    )


def page(*names: str, **more: Any) -> Script:
    return Script(json.dumps({"data": [{"id": name} for name in names], **more}).encode())


class Site:
    """Lists of which the test has the clock and the upstream's answers."""

    def __init__(self, *scripts: Script) -> None:
        self.now = 1000.0
        self.changes = 0
        self.transport = ScriptedTransport(scripts)
        self.lists = ModelLists(
            protocols=protocols(),
            openings=Openings(self.transport),
            clock=lambda: self.now,
            changed=self._changed,
        )
        self.lists.seconds = 3600.0

    def _changed(self) -> None:
        self.changes += 1

    @property
    def urls(self) -> list[str]:
        return [request.url for request in self.transport.requests]

    def round(self) -> None:
        asyncio.run(self.lists.round())


def test_a_list_is_fetched_once_and_again_when_it_is_old() -> None:
    one = channel(credentials=(Secret("key-a"),))
    site = Site(page("a", "b"), page("a", "b"), page("c"))
    site.lists.configure([one])
    assert site.lists.lists(one, "a") is None
    site.round()
    assert list(site.lists.models(one)) == ["a", "b"]
    assert (site.lists.lists(one, "A"), site.lists.lists(one, "c")) == (True, False)
    (request,) = site.transport.requests
    assert request.url == "http://up.test/v1/models"
    assert request.headers["authorization"] == "Bearer key-a"
    site.round()
    assert len(site.urls) == 1
    site.now += 3600
    site.round()
    assert (len(site.urls), site.changes) == (2, 1), "the same list again is no change"
    site.now += 3600
    site.round()
    assert (list(site.lists.models(one)), site.changes) == (["c"], 2)


def test_a_failure_keeps_the_old_list_and_is_tried_again_sooner() -> None:
    one = channel()
    refused = Script(refuse=UpstreamUnreachable("gone"))
    site = Site(page("a"), refused, Script(b"<html>"), page(), page("a", "b"))
    site.lists.configure([one])
    site.round()
    site.now += 3600
    for _ in range(3):  # unreachable, no list, an empty one
        site.round()
        assert list(site.lists.models(one)) == ["a"]
        site.now += 60
    site.round()
    assert list(site.lists.models(one)) == ["a", "b"]


def test_pages_are_followed_to_the_end() -> None:
    one = channel(protocol="anthropic_messages", url="http://up.test")
    site = Site(page("a", has_more=True, last_id="a"), page("b", has_more=False, last_id="b"))
    site.lists.configure([one])
    site.round()
    assert list(site.lists.models(one)) == ["a", "b"]
    assert site.urls == ["http://up.test/v1/models", "http://up.test/v1/models?after_id=a"]


def test_a_list_that_never_ends_does() -> None:
    one = channel()
    endless = [page(f"m{n}", has_more=True, last_id=f"m{n}") for n in range(60)]
    site = Site(*endless)
    site.lists.configure([one])
    site.round()
    assert len(site.lists.models(one)) == len(site.urls) == 50
    same = [page("m", has_more=True, last_id="m") for _ in range(3)]
    site = Site(*same)
    site.lists.configure([one])
    site.round()
    assert len(site.urls) == 2, "the same page twice is the end"


@pytest.mark.parametrize(
    "aside",
    [
        channel(models=("m",)),
        channel(enabled=False),
        channel(lists_models=False),
        channel(url="demo:"),
    ],
    ids=["its own models", "switched off", "lists something else", "in this process"],
)
def test_who_is_not_asked(aside: Channel) -> None:
    site = Site()
    site.lists.configure([aside])
    site.round()
    assert site.urls == []
    assert site.lists.lists(aside, "m") is None


def test_what_a_list_was_fetched_with_decides_whether_it_stays() -> None:
    one = channel(credentials=(Secret("key-a"),))
    site = Site(page("a"), page("b"))
    site.lists.configure([one])
    site.round()
    renamed = msgspec.structs.replace(one, name="other", priority=9)
    site.lists.configure([renamed])
    assert site.lists.lists(renamed, "a") is True
    rekeyed = msgspec.structs.replace(renamed, credentials=(Secret("key-b"),))
    site.lists.configure([rekeyed])
    assert site.lists.lists(rekeyed, "a") is None
    site.round()
    assert site.transport.requests[-1].headers["authorization"] == "Bearer key-b"
    assert site.lists.lists(rekeyed, "b") is True


def test_names_are_compared_as_the_provider_spells_them() -> None:
    one = channel(aliases={"fast": "org/Model"}, usual_models=("usual",))
    site = Site(page("org/Model", "plain", "llama3:latest"))
    site.lists.configure([one])
    assert site.lists.lists(one, "usual") is True
    site.round()
    for name in ("fast", "org/model", "org/Model:cheapest", "plain", "llama3", "usual"):
        assert site.lists.lists(one, name) is True, name
    assert site.lists.lists(one, "plain:8b") is False
    listed = site.lists.listed(one, "org/Model:cheapest")
    assert listed is not None
    assert listed.id == "org/Model"
    assert site.lists.listed(one, "other") is None


def test_one_provider_that_fails_stops_no_other() -> None:
    first, second = channel(1), channel(2, url="http://other.test/v1")
    site = Site(Script(refuse=UpstreamUnreachable("gone")), page("a"))
    site.lists.configure([first, second])
    site.round()
    assert site.lists.lists(second, "a") is True
    assert site.lists.lists(first, "a") is None


def test_nothing_is_fetched_while_it_is_switched_off() -> None:
    site = Site()
    site.lists.seconds = 0.0
    site.lists.configure([channel()])

    async def a_while() -> None:
        task = asyncio.ensure_future(site.lists.run())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(a_while())
    assert site.urls == []
