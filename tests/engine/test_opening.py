"""What has to be done before an upstream can be asked."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.canonical.errors import UpstreamRefusedCredential, UpstreamUnreachable
from dragoman.canonical.secret import Secret
from dragoman.engine.journey import Attempt
from dragoman.engine.opening import Openings
from dragoman.providers.opening import Memory, Opened
from dragoman.routing.channel import Channel, Endpoint
from dragoman.routing.plan import Plan
from dragoman.routing.select import RoutingTable
from dragoman.wire.http import HttpRequest
from tests.engine.openers import TOKEN_URL
from tests.engine.scripted import Script, ScriptedTransport
from tests.engine.test_pipeline import GOOD, Run, stream


def attempt_at(opener: str) -> Attempt:
    channel = Channel(
        id=1,
        name="one",
        provider="custom",
        endpoints=(Endpoint("openai_chat", "http://up.test/v1"),),
        credentials=(Secret("first-credential"),),
        opener=f"tests.engine.openers:{opener}" if opener else "",
    )
    slot = Plan(RoutingTable((channel,)).order("m", 0.0)).pick(0.0)
    assert slot is not None
    return Attempt(slot, "openai_chat")


async def open_one(openings: Openings, opener: str) -> Opened:
    request = HttpRequest(method="POST", url="http://up.test/v1/chat", headers={})
    return await openings.open(attempt_at(opener), request, "generate", protocol="openai_chat")


def test_many_requests_fetch_one_token() -> None:
    kept: list[tuple[str, str]] = []

    async def keep(channel: str, old: Secret, new: Secret) -> None:
        kept.append((old.reveal(), new.reveal()))

    async def many() -> list[Opened]:
        openings = Openings(transport, keep)
        return await asyncio.gather(*(open_one(openings, "with_token") for _ in range(20)))

    transport = ScriptedTransport([Script(b"t-1", headers_after=0.05)])
    opened = asyncio.run(many())
    assert [one.request.headers["authorization"] for one in opened] == ["Bearer t-1"] * 20
    assert [one.url for one in transport.requests] == [TOKEN_URL]
    assert kept == [("first-credential", "rotated-credential")]


def test_a_refused_token_is_the_openers_own_error_and_lets_the_lock_go() -> None:
    transport = ScriptedTransport([Script(b"no", status=400), Script(b"t-2")])

    async def twice() -> Opened:
        openings = Openings(transport)
        with pytest.raises(UpstreamRefusedCredential):
            await open_one(openings, "with_token")
        return await open_one(openings, "with_token")

    assert asyncio.run(twice()).request.headers["authorization"] == "Bearer t-2"


def test_a_failing_step_is_thrown_into_the_opener() -> None:
    transport = ScriptedTransport([Script(refuse=UpstreamUnreachable("refused"))])

    async def one() -> Opened:
        return await open_one(Openings(transport), "forgiving")

    assert asyncio.run(one()).request.headers["x-info"] == "none"


def test_without_an_opener_the_request_is_sent_as_it_is() -> None:
    async def one() -> Opened:
        return await open_one(Openings(ScriptedTransport([])), "")

    assert asyncio.run(one()).request.headers == {}


@pytest.mark.parametrize("broken", [True, False])
def test_an_answer_that_is_given_up_is_called_off_upstream(broken: bool) -> None:
    cut = UpstreamUnreachable("gone")
    answers = stream(*GOOD.steps[:2], cut) if broken else GOOD
    r = Run(answers, Script(b""), channels=1, opener="tests.engine.openers:queued")

    async def go() -> None:
        await r.go()
        for _ in range(20):
            await asyncio.sleep(0)

    asyncio.run(go())
    urls = [request.url for request in r.transport.requests]
    assert (urls[1:] == ["http://up.test/cancel"]) is broken


def test_memory_is_bounded_and_forgets_in_time() -> None:
    memory = Memory(most=3)
    for number in range(5):
        memory.put(str(number), number, until=100.0)
    assert [memory.get(str(number), 50.0) for number in range(5)] == [None, None, 2, 3, 4]
    assert memory.get("4", 100.0) is None
