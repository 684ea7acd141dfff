"""Pings while a client waits commit nothing: another channel may still answer.

The pings of the real process come every fifteen seconds, so here the application is called without a
server in front, with SDKs before it and sockets behind it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anthropic
import httpx2
import openai
import pytest

from dragoman.cli.wiring import profile_of
from dragoman.engine.dispatch import Dispatcher
from dragoman.engine.pipeline import Pipeline
from dragoman.engine.transport import Transport
from dragoman.governance.keys import KeyRing
from dragoman.protocols.registry import protocols
from dragoman.routing.channel import Channel, Endpoint
from dragoman.server.app import App
from dragoman.server.gateway import Gateway, Policy
from tests.support.flexible_upstream import OK, TEXT, FlexibleUpstream, Hold, Reply

PING_SECONDS = 0.05
SILENCE = 0.4

USER = {"role": "user", "content": "hi"}


@pytest.fixture
def upstream() -> Iterator[FlexibleUpstream]:
    """Two doors."""
    with FlexibleUpstream() as running:
        yield running


@asynccontextmanager
async def http_client(
    upstream: FlexibleUpstream,
) -> AsyncIterator[tuple[httpx2.AsyncClient, list[bytes]]]:
    """An HTTP client that reaches the gateway, and the bodies it has got."""
    transport = Transport()
    gateway = Gateway(
        Pipeline(
            protocols=protocols(),
            profile_of=profile_of,
            transport=transport,
            dispatcher=Dispatcher(clock=time.monotonic, random=random.random),
            ping_seconds=PING_SECONDS,
        )
    )
    channels = tuple(
        Channel(
            id=number,
            name=name,
            provider="custom",
            endpoints=(Endpoint("openai_chat", upstream.door(name).url),),
            priority=number,
            max_retries=0,
        )
        for number, name in enumerate(("first", "second"), start=1)
    )
    gateway.configure(channels, KeyRing((), b""), Policy(require_auth=False))
    bodies: list[bytes] = []

    async def keep(response: httpx2.Response) -> None:
        bodies.append(await response.aread())

    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(App(gateway)),  # type: ignore[arg-type]
        event_hooks={"response": [keep]},
    ) as client:
        yield client, bodies
    await transport.close()


async def chat(client: httpx2.AsyncClient) -> str:
    """What the OpenAI SDK makes of a streamed answer."""
    sdk = openai.AsyncOpenAI(
        base_url="http://gateway/v1", api_key="none", max_retries=0, http_client=client
    )
    chunks = await sdk.chat.completions.create(model="m", messages=[USER], stream=True)  # type: ignore[list-item]
    return "".join([c.choices[0].delta.content or "" async for c in chunks if c.choices])


async def messages(client: httpx2.AsyncClient) -> str:
    """What the Anthropic SDK makes of a streamed answer."""
    sdk = anthropic.AsyncAnthropic(
        base_url="http://gateway", api_key="none", max_retries=0, http_client=client
    )
    async with sdk.messages.stream(model="m", max_tokens=9, messages=[USER]) as stream:  # type: ignore[list-item]
        return await stream.get_final_text()


SDKS = [(chat, b": "), (messages, b"event: ping")]


def dies_slowly(*, hold_after: int | None) -> tuple[Hold, Reply]:
    """Silence, then a broken connection."""
    hold = Hold()
    return hold, Reply(hold=hold, hold_after=hold_after, cut=True)


@pytest.mark.parametrize("hold_after", [None, 0], ids=["before headers", "before content"])
@pytest.mark.parametrize(("sdk", "ping"), SDKS, ids=["chat", "anthropic"])
def test_a_channel_that_dies_after_pings_is_followed_by_the_next(
    upstream: FlexibleUpstream, sdk: object, ping: bytes, hold_after: int | None
) -> None:
    async def go() -> tuple[str, bytes]:
        async with http_client(upstream) as (client, bodies):
            hold, reply = dies_slowly(hold_after=hold_after)
            upstream.door("first").reply = reply
            asyncio.get_running_loop().call_later(SILENCE, hold.release)
            text: str = await sdk(client)  # type: ignore[operator]
            return text, bodies[-1]

    text, body = asyncio.run(go())
    assert text == TEXT
    assert body.startswith(ping), "the client had heard something"
    assert upstream.door("first").seen
    assert len(upstream.door("second").seen) == 1


@pytest.mark.parametrize(("sdk", "ping"), SDKS, ids=["chat", "anthropic"])
def test_if_all_die_after_pings_the_sdk_raises(
    upstream: FlexibleUpstream, sdk: object, ping: bytes
) -> None:
    async def go() -> bytes:
        async with http_client(upstream) as (client, bodies):
            hold, reply = dies_slowly(hold_after=0)
            upstream.door("first").reply = reply
            upstream.door("second").reply = Reply(status=500)
            asyncio.get_running_loop().call_later(SILENCE, hold.release)
            with pytest.raises((openai.APIError, anthropic.APIError)):
                await sdk(client)  # type: ignore[operator]
            return bodies[-1]

    assert asyncio.run(go()).startswith(ping), "the status line had left"


def test_no_ping_where_none_is_needed(upstream: FlexibleUpstream) -> None:
    async def go() -> bytes:
        async with http_client(upstream) as (client, bodies):
            upstream.door("first").reply = OK
            assert await chat(client) == TEXT
            return bodies[-1]

    assert asyncio.run(go()).startswith(b"data:")
