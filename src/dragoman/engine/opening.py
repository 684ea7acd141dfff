"""Carries out what a provider's opener asks for before the answer can be had."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import time
from collections.abc import Awaitable, Callable
from typing import cast
from weakref import WeakValueDictionary

from dragoman.canonical.errors import GatewayError, UpstreamBroken
from dragoman.canonical.secret import Secret
from dragoman.engine.journey import Attempt
from dragoman.engine.quoting import mask
from dragoman.engine.reply import Deadlines
from dragoman.engine.tasks import spawn
from dragoman.engine.transport import Transport
from dragoman.providers.opening import (
    Draft,
    Lock,
    Memory,
    Opened,
    Opener,
    Opening,
    Persist,
    Purpose,
    Step,
)
from dragoman.routing.channel import Channel
from dragoman.wire.http import HttpReply, HttpRequest

MAX_STEP_BYTES = 4 * 1024 * 1024
STEP_SECONDS = 30.0
_NOTHING = HttpReply(status=0)

Keep = Callable[[str, Secret, Secret], Awaitable[None]]
"""(channel's name, old, new): keeps a rotated credential wherever the old one stands."""


async def keep_nothing(channel: str, old: Secret, new: Secret) -> None:
    """For processes that have no store at hand."""


class Openings:
    """What all openings of a process share."""

    def __init__(self, transport: Transport, keep: Keep = keep_nothing) -> None:
        self.transport = transport
        self._keep = keep
        self._memory = Memory()
        # A lock lives as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def open(
        self,
        attempt: Attempt,
        request: HttpRequest,
        purpose: Purpose,
        *,
        protocol: str,
        stream: bool = False,
        caller_credential: Secret | None = None,
    ) -> Opened:
        """Have the channel's opener make of ``request`` what is to be sent; without an opener it is
        sent as it is. Raises GatewayError."""
        channel = attempt.channel
        if not channel.opener:
            return Opened(request=request)
        draft = _draft(channel, request, purpose, protocol, attempt.credential)
        draft.model = attempt.upstream_model
        draft.listed = channel.lists(attempt.slot.option.model)
        draft.stream = stream
        draft.caller_credential = caller_credential
        return await self.run(channel, _opener(channel.opener)(draft, self._memory))

    async def open_trial(
        self,
        channel: Channel,
        request: HttpRequest,
        purpose: Purpose,
        *,
        protocol: str,
        credential: Secret | None,
        model: str = "",
    ) -> Opened:
        """The same for a request of our own, which nobody waits for. ``model`` is a public name. Raises
        GatewayError."""
        if not channel.opener:
            return Opened(request=request)
        draft = _draft(channel, request, purpose, protocol, credential)
        draft.model = channel.upstream_model(model) if model else ""
        draft.listed = channel.lists(model)
        return await self.run(channel, _opener(channel.opener)(draft, self._memory))

    async def run(self, channel: Channel, steps: Opening) -> Opened:
        """Carry out an opening. Raises GatewayError."""
        proceed: Callable[[], Step] = functools.partial(next, steps)
        async with contextlib.AsyncExitStack() as held:
            while True:
                try:
                    step = proceed()
                except StopIteration as end:
                    return cast(Opened, end.value)
                try:
                    reply = await self._carry_out(step, channel, held)
                    proceed = functools.partial(steps.send, reply)
                except GatewayError as error:  # the opener may know better what it means
                    proceed = functools.partial(steps.throw, error)

    def abort(self, channel: Channel, request: HttpRequest) -> None:
        """Tell the upstream that its answer is not wanted any more; nobody waits for that."""
        spawn(self._send_quietly(channel, request), "abort-upstream")

    async def _carry_out(
        self, step: Step, channel: Channel, held: contextlib.AsyncExitStack
    ) -> HttpReply:
        match step:
            case Lock(name):
                lock = self._locks.get(name)
                if lock is None:
                    lock = self._locks[name] = asyncio.Lock()
                await held.enter_async_context(lock)
                return _NOTHING
            case Persist(old, new):
                await self._keep(channel.name, old, new)
                return _NOTHING
        return await self._send(channel, step)

    async def _send(self, channel: Channel, request: HttpRequest) -> HttpReply:
        seconds = min(STEP_SECONDS, channel.timeout)
        deadlines = Deadlines(first=seconds, idle=seconds, total=seconds)
        async with self.transport.exchange(request, deadlines, channel.proxy_url) as reply:
            body = await reply.read()
            if len(body) > MAX_STEP_BYTES:
                raise UpstreamBroken(f"The upstream's answer exceeds {MAX_STEP_BYTES} bytes.")
            headers = [field for field in reply.headers.items() if field[0] != "set-cookie"]
            headers += [("set-cookie", cookie) for cookie in reply.cookies()]
            if reply.status >= 400:
                body = mask(body.decode("latin-1"), request).encode("latin-1")
            return HttpReply(status=reply.status, headers=headers, body=body)

    async def _send_quietly(self, channel: Channel, request: HttpRequest) -> None:
        with contextlib.suppress(GatewayError):
            await self._send(channel, request)


def _draft(
    channel: Channel,
    request: HttpRequest,
    purpose: Purpose,
    protocol: str,
    credential: Secret | None,
) -> Draft:
    return Draft(
        request=request,
        purpose=purpose,
        protocol=protocol,
        provider=channel.provider,
        base_url=channel.endpoint_for(protocol).base_url,
        model="",
        stream=False,
        credential=credential,
        quirks=channel.quirks,
        oauth=channel.oauth,
        now=time.time(),
    )


@functools.cache
def _opener(name: str) -> Opener:
    """``module:function`` as it stands in a provider's row."""
    module, _, function = name.partition(":")
    return cast(Opener, getattr(importlib.import_module(module), function))
