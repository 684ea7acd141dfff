"""The straight line: plan → encode → send → decode → encode.

Authentication and decoding happen before (``server``), because their errors need nothing from here.
Until the first content has left for the client another channel may take over; after it a failure
becomes an error in the client's own protocol, never a clean end.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping

from dragoman.canonical.collect import collect, replay
from dragoman.canonical.errors import (
    GatewayError,
    NotTranslatable,
    UpstreamBroken,
    UpstreamError,
)
from dragoman.canonical.notes import Action
from dragoman.canonical.response import Response
from dragoman.canonical.signature import Origin
from dragoman.engine.answer import Answer
from dragoman.engine.call import Attempt, Call
from dragoman.engine.flow import Flow, Translation
from dragoman.engine.keepalive import PING_SECONDS, KeepAlive
from dragoman.engine.outbound import build_request
from dragoman.engine.reply import Deadlines, UpstreamReply
from dragoman.engine.transport import DISCONNECTED, Transport
from dragoman.protocols.base import Encoded, ModelProfile, Protocol, all_events
from dragoman.routing.channel import Channel
from dragoman.routing.select import RoutingTable
from dragoman.wire.http import media_type

logger = logging.getLogger("dragoman.pipeline")

MAX_ATTEMPTS = 3
JSON_HEADERS = {"content-type": "application/json"}

ProfileOf = Callable[[Channel, str, str], ModelProfile]
"""(channel, protocol id, upstream model) → the facts a codec needs."""


class Pipeline:
    """Carries generation requests from a client's protocol to a channel and back."""

    def __init__(
        self,
        *,
        protocols: Mapping[str, Protocol],
        profile_of: ProfileOf,
        transport: Transport,
        clock: Callable[[], float],
        deadlines: Deadlines | None = None,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        """``clock`` gives monotonic seconds. ``deadlines.first`` gives way to a channel's timeout."""
        self.protocols = protocols
        self.profile_of = profile_of
        self.transport = transport
        self._clock = clock
        self._deadlines = deadlines or Deadlines()
        self._ping_seconds = ping_seconds

    async def generate(
        self, call: Call, routing: RoutingTable, answer: Answer, *, fallback: bool = True
    ) -> None:
        """Answer ``call``. Raises GatewayError while ``answer`` has not begun; later failures are
        written into the stream."""
        channels = self._plan(call, routing, fallback=fallback)
        if not call.parsed.stream:
            await self._first_that_answers(call, channels, answer)
            return
        with KeepAlive(
            answer, lambda: _ping(call), lambda: _stream_headers(call), self._ping_seconds
        ) as kept_alive:
            await self._first_that_answers(call, channels, kept_alive)

    async def _first_that_answers(
        self, call: Call, channels: list[Channel], answer: Answer
    ) -> None:
        waiting = deque(channels)
        failure: GatewayError | None = None
        while waiting and len(call.attempts) < MAX_ATTEMPTS:
            channel = waiting.popleft()
            attempt = call.attempt(channel, call.protocol.name)
            try:
                await self._try(call, attempt, answer)
                return
            except (UpstreamError, NotTranslatable) as error:
                attempt.error = failure = error
                _log_failure(call, attempt, error)
                if call.first_content is not None or not _another_may_help(error):
                    break
                if _connection_was_stale(call, error):
                    waiting.appendleft(channel)
        assert failure is not None
        if not answer.begun:
            raise failure
        written = None
        if call.flow is not None and call.first_content is not None:
            written = call.flow.error(failure)  # it knows what the client has already got
        if written is None:
            written = call.protocol.stream_encoder(call.request).error(failure)
        await answer.write(written)
        await answer.end()

    def _plan(self, call: Call, routing: RoutingTable, *, fallback: bool) -> list[Channel]:
        principal = call.principal
        allowed = (
            (lambda channel: principal.may_use_channel(channel.id, channel.name))
            if principal.allowed_channels
            else None
        )
        candidates = routing.candidates(call.parsed.model, allowed)
        return candidates if fallback else candidates[:1]

    async def _try(self, call: Call, attempt: Attempt, answer: Answer) -> None:
        channel, endpoint = attempt.channel, attempt.endpoint
        upstream = self.protocols[endpoint.protocol]
        profile = self.profile_of(channel, upstream.name, attempt.upstream_model)
        encoded = (
            upstream.repeat_request(call.parsed, profile)
            if upstream is call.protocol
            else upstream.encode_request(call.request, profile)
        )
        call.notes = encoded.notes
        _refuse_loss(call, channel, encoded)
        stream = call.parsed.stream
        path = upstream.endpoint(profile.model, stream)
        request = build_request(channel, endpoint, upstream, path, encoded, stream=stream)
        deadlines = Deadlines(
            first=channel.timeout, idle=self._deadlines.idle, total=self._deadlines.total
        )
        async with self.transport.exchange(request, deadlines, channel.proxy_url) as reply:
            await check_status(upstream, reply)
            origin = Origin(upstream.name, channel.provider, attempt.upstream_model)
            if stream:
                await self._stream(call, upstream, origin, reply, answer)
            else:
                await _whole(call, upstream, origin, reply, answer)

    async def _stream(
        self, call: Call, upstream: Protocol, origin: Origin, reply: UpstreamReply, answer: Answer
    ) -> None:
        if _is_json(reply):
            await _whole_as_stream(call, upstream, origin, reply, answer)
            return
        flow = call.flow = _flow(call, upstream, origin)
        held: list[bytes] = []  # what came before the first content, which may yet be thrown away
        while not flow.ended and (chunk := await reply.chunk()):
            data, events = flow.feed(chunk)
            content = call.seen(events)
            if call.first_content is None:
                held.append(data)
                if not content:
                    continue
                call.first_content = self._clock()
                reply.began()
                data = b"".join(held)
            await _send(call, answer, data)
        data, events = flow.finish()
        call.seen(events)
        if call.first_content is None:
            call.first_content = self._clock()
            data = b"".join([*held, data])
        await _send(call, answer, data)
        await answer.end()


async def check_status(upstream: Protocol, reply: UpstreamReply) -> None:
    """Raise the upstream's own error for anything but 2xx; redirects are never followed."""
    if 200 <= reply.status < 300:
        return
    if 300 <= reply.status < 400:
        raise UpstreamBroken(
            f"The upstream redirects (HTTP {reply.status}); mend the channel's base URL.",
            upstream_status=reply.status,
        )
    raise upstream.decode_error(reply.status, reply.headers, await reply.read())


async def _whole(
    call: Call, upstream: Protocol, origin: Origin, reply: UpstreamReply, answer: Answer
) -> None:
    body = await reply.read()
    if media_type(reply.headers.get("content-type", "")) == "text/event-stream":
        response = collect(all_events(upstream.stream_decoder(origin), [body]))
        body = b""
    else:
        forwarded = upstream is call.protocol and upstream.glance_response is not None
        read = upstream.glance_response if forwarded else upstream.decode_response
        assert read is not None
        response = read(body, origin)
    call.answered(response)
    if upstream is not call.protocol or not body:
        body = call.protocol.encode_response(
            _for_client(call, upstream, origin, response), call.request
        )
    await answer.whole(200, {**JSON_HEADERS, **call.headers()}, body)


def _for_client(call: Call, upstream: Protocol, origin: Origin, response: Response) -> Response:
    if upstream is call.protocol or upstream.abroad is None:
        return response
    abroad = upstream.abroad(origin)
    return collect(more for event in replay(response) for more in abroad(event))


async def _whole_as_stream(
    call: Call, upstream: Protocol, origin: Origin, reply: UpstreamReply, answer: Answer
) -> None:
    """An upstream that was asked to stream and answered whole is streamed to the client in one go."""
    response = upstream.decode_response(await reply.read(), origin)
    call.answered(response)
    response = _for_client(call, upstream, origin, response)
    encoder = call.protocol.stream_encoder(call.request)
    data = b"".join([encoder.feed(event) for event in replay(response)]) + encoder.finish()
    await _send(call, answer, data)
    await answer.end()


def _flow(call: Call, upstream: Protocol, origin: Origin) -> Flow:
    if upstream is call.protocol:
        return upstream.stream_relay(call.parsed, origin)
    encoder = call.protocol.stream_encoder(call.request)
    abroad = None if upstream.abroad is None else upstream.abroad(origin)
    return Translation(upstream.stream_decoder(origin), encoder, abroad)


async def _send(call: Call, answer: Answer, data: bytes) -> None:
    if not answer.begun:
        await answer.begin(_stream_headers(call))
    if data:
        await answer.write(data)


def _stream_headers(call: Call) -> dict[str, str]:
    json_array = call.parsed.target.framing == "json_array"
    return {
        "content-type": "application/json" if json_array else call.protocol.stream_media_type,
        "cache-control": "no-cache",
        "x-accel-buffering": "no",  # nginx would hold a stream back until its buffer is full
        **call.headers(),
    }


def _ping(call: Call) -> bytes:
    return call.protocol.stream_encoder(call.request).ping()


def _is_json(reply: UpstreamReply) -> bool:
    return media_type(reply.headers.get("content-type", "")) == "application/json"


def _refuse_loss(call: Call, channel: Channel, encoded: Encoded) -> None:
    if not (call.strict or channel.strict):
        return
    lost = [note.path for note in encoded.notes if note.action is Action.DROPPED]
    if lost:
        shown = ", ".join(lost[:20])
        raise NotTranslatable(f"Strict mode: the upstream cannot express {shown}.", param=lost[0])


def _another_may_help(error: GatewayError) -> bool:
    """Another channel may speak a protocol that can say what this one's cannot."""
    return isinstance(error, NotTranslatable) or (
        isinstance(error, UpstreamError) and error.fallback
    )


def _connection_was_stale(call: Call, error: GatewayError) -> bool:
    """A kept-alive connection closes now and then just as it is used: try the channel again, once."""
    times = sum(
        attempt.error is not None and attempt.error.code == DISCONNECTED
        for attempt in call.attempts
    )
    return error.code == DISCONNECTED and times == 1


def _log_failure(call: Call, attempt: Attempt, error: GatewayError) -> None:
    logger.warning(
        "request %s: channel %r failed: %s", call.id, attempt.channel.name, error.message
    )
