"""The straight line: plan → encode → send → decode → encode.

Authentication and decoding happen before (``server``), because their errors need nothing from here.
Until the first content has left for the client another channel may take over; after it a failure
becomes an error in the client's own protocol, never a clean end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from dragoman.canonical.collect import replay
from dragoman.canonical.errors import (
    GatewayError,
    NotTranslatable,
    UpstreamError,
)
from dragoman.canonical.notes import Action, Note
from dragoman.canonical.request import Request
from dragoman.canonical.signature import Origin
from dragoman.engine.answer import Answer
from dragoman.engine.call import Call
from dragoman.engine.dispatch import Dispatcher
from dragoman.engine.exchange import check_status, deadlines_for, learn
from dragoman.engine.fetch import Fetcher
from dragoman.engine.filters import filter_for, filtered
from dragoman.engine.flow import EventFilter, Flow, Translation
from dragoman.engine.journey import Attempt
from dragoman.engine.keepalive import PING_SECONDS, KeepAlive
from dragoman.engine.opening import Openings
from dragoman.engine.outbound import build_request
from dragoman.engine.produced import tells_usage, usage_of
from dragoman.engine.reading import decoder_for, read_to_end
from dragoman.engine.reply import Deadlines, UpstreamReply
from dragoman.engine.token_counts import TokenCounter, model_key
from dragoman.engine.transport import Transport
from dragoman.protocols.base import Encoded, ModelProfile, Protocol
from dragoman.protocols.think_tags import QUIRK as THINK_TAG
from dragoman.providers.opening import Opened
from dragoman.routing.channel import Channel
from dragoman.routing.plan import Plan
from dragoman.wire.http import HttpRequest, media_type

UNSTREAMED_PING_SECONDS = 1.0
JSON_HEADERS = {"content-type": "application/json"}
_MEDIA_TYPES = {"json_array": "application/json", "ndjson": "application/x-ndjson"}
"""Of streams that are no server-sent events, by the framing that the request asks for."""

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
        dispatcher: Dispatcher,
        openings: Openings | None = None,
        counter: TokenCounter | None = None,
        deadlines: Deadlines | None = None,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        """``deadlines.first`` gives way to a channel's timeout, ``idle`` to a shorter one."""
        self.protocols = protocols
        self.profile_of = profile_of
        self.transport = transport
        self.openings = openings or Openings(transport)
        self.dispatcher = dispatcher
        self.counter = counter or TokenCounter()
        self._fetcher = Fetcher(transport)
        self._deadlines = deadlines or Deadlines()
        self._ping_seconds = ping_seconds

    async def generate(self, call: Call, plan: Plan, answer: Answer) -> None:
        """Answer ``call`` by one of the candidates of ``plan``. Raises GatewayError while ``answer``
        has not begun; later failures are written into the stream."""
        try:
            if call.parsed.stream:
                await self._generate_stream(call, plan, answer)
            else:
                await self.dispatcher.first_that_answers(
                    call.journey, plan, lambda attempt: self._try(call, attempt, answer)
                )
        finally:
            self._fetcher.forget(call)

    async def _generate_stream(self, call: Call, plan: Plan, answer: Answer) -> None:
        with KeepAlive(
            answer, lambda: _ping(call), lambda: _stream_headers(call), self._ping_seconds
        ) as kept_alive:
            try:
                await self.dispatcher.first_that_answers(
                    call.journey, plan, lambda attempt: self._try(call, attempt, kept_alive)
                )
            except GatewayError as error:
                if not kept_alive.begun:
                    raise
                await _end_with_error(call, kept_alive, error)

    async def _try(self, call: Call, attempt: Attempt, answer: Answer) -> None:
        """One attempt, with what it costs if it fails."""
        bill = call.bill
        if bill is None:
            await self._ask(call, attempt, answer)
            return
        bill.began(attempt)
        try:
            await self._ask(call, attempt, answer)
        except UpstreamError:
            if not call.journey.committed:
                bill.failed(attempt)
            raise

    async def _ask(self, call: Call, attempt: Attempt, answer: Answer) -> None:
        channel, endpoint = attempt.channel, attempt.endpoint
        upstream = self.protocols[endpoint.protocol]
        profile = self.profile_of(channel, upstream.name, attempt.upstream_model)
        stream = call.parsed.stream and not profile.quirks.get("unstreamed")
        fetched = await self._fetcher.with_bytes(call, upstream, profile, channel.proxy_url)
        encoded = _encoded(call, upstream, profile, fetched and fetched[0], stream=stream)
        if fetched is not None:
            encoded.notes += fetched[1]
        call.trace.notes = encoded.notes
        _refuse_loss(call, channel, encoded.notes)
        path = upstream.endpoint(profile.model, stream)
        request = build_request(
            channel,
            endpoint,
            upstream,
            path,
            encoded,
            credential=attempt.credential,
            stream=stream,
            client_headers=call.client_headers,
        )
        opened = await self.openings.open(
            attempt,
            request,
            "generate",
            protocol=upstream.name,
            stream=stream,
            caller_credential=call.caller_credential,
        )
        if opened.notes:
            call.trace.notes = [*encoded.notes, *opened.notes]
            _refuse_loss(call, channel, opened.notes)
        origin = Origin(upstream.name, channel.provider, attempt.upstream_model)
        if stream is not call.parsed.stream:
            seconds = profile.quirks.get("unstreamed_ping_seconds", UNSTREAMED_PING_SECONDS)
            if seconds > 0:
                answer.hurry(seconds)
        await self._opened(call, attempt, opened, origin, answer)
        call.remember_answer(upstream)
        if not call.parsed.previous:  # else more was read than is in the request
            key = model_key(channel.provider, attempt.upstream_model)
            self.counter.learn(key, lambda: call.request, call.trace.usage)

    async def _opened(
        self, call: Call, attempt: Attempt, opened: Opened, origin: Origin, answer: Answer
    ) -> None:
        """Have the request answered, or else what its opener proposes instead."""
        try:
            await self._abortable(call, attempt, opened, origin, answer)
            return
        except UpstreamError as error:
            if opened.failed is None:
                raise
            recourse = opened.failed(error)
        if recourse.again is None or call.journey.committed:
            raise recourse.error
        try:
            second = await self.openings.run(attempt.channel, recourse.again)
            await self._abortable(call, attempt, second, origin, answer)
        except UpstreamError:
            if call.journey.committed:
                raise
            raise recourse.error from None

    async def _abortable(
        self, call: Call, attempt: Attempt, opened: Opened, origin: Origin, answer: Answer
    ) -> None:
        try:
            await self._exchange(call, attempt, opened.request, origin, answer)
        except BaseException:
            if opened.abort is not None:
                self.openings.abort(attempt.channel, opened.abort)
            raise

    async def _exchange(
        self, call: Call, attempt: Attempt, request: HttpRequest, origin: Origin, answer: Answer
    ) -> None:
        channel = attempt.channel
        upstream = self.protocols[origin.protocol]
        deadlines = deadlines_for(channel, self._deadlines)
        async with self.transport.exchange(request, deadlines, channel.proxy_url) as reply:
            learn(attempt, reply, self.dispatcher.clock())
            await check_status(upstream, reply)
            tag = self.profile_of(channel, upstream.name, origin.model).quirks.get(THINK_TAG)
            meeting = _Meeting(call, attempt, upstream, origin, reply, answer, tag)
            if not call.parsed.stream:
                await self._whole(meeting)
            elif _is_json(reply):
                await self._whole_as_stream(meeting)
            else:
                await self._stream(meeting)

    def _commit(self, meeting: _Meeting) -> None:
        """The first content has come: from here on nothing may be tried again."""
        call = meeting.call
        call.trace.first_content = self.dispatcher.clock()
        call.journey.committed = True
        self.dispatcher.first_content(meeting.attempt, call.journey)

    async def _stream(self, meeting: _Meeting) -> None:
        call, reply, answer = meeting.call, meeting.reply, meeting.answer
        flow = call.flow = self._flow(meeting)
        held: list[bytes] = []  # what came before the first content, which may yet be thrown away
        while not flow.ended and (chunk := await reply.chunk()):
            data, events = flow.feed(chunk)
            content = call.seen(events)
            if not call.journey.committed:
                held.append(data)
                if not content:
                    continue
                self._commit(meeting)
                reply.began()
                data = b"".join(held)
                held.clear()
            if flow.ended:  # these bytes may be the last: what they cost is booked first
                held.append(data)
                break
            await _send(call, answer, data if call.tail is None else call.tail.feed(data))
        data, events = flow.finish()
        call.seen(events)
        if not call.journey.committed:
            self._commit(meeting)
        call.settle()
        await _send(call, answer, call.last(b"".join([*held, data])))
        await answer.end()

    async def _whole(self, meeting: _Meeting) -> None:
        call, upstream, origin, reply = (
            meeting.call,
            meeting.upstream,
            meeting.origin,
            meeting.reply,
        )
        body = b""
        if media_type(reply.headers.get("content-type", "")) == "text/event-stream":
            decoder = decoder_for(upstream, origin, lambda: self._input_of(meeting), whole=True)
            response = await read_to_end(reply, decoder)
        else:
            body = await reply.read()
            forwarded = meeting.forwards and upstream.glance_response is not None
            read = upstream.glance_response if forwarded else upstream.decode_response
            assert read is not None
            response = read(body, origin)
            if not tells_usage(response):
                full = upstream.decode_response(body, origin) if forwarded else response
                response.usage = usage_of(full, self._input_of(meeting))
        call.answered(response)
        if not meeting.forwards or not body:
            shown = filtered(response, meeting.filter)
            call.entitle(shown)
            body = call.protocol.encode_response(shown, call.request)
        self._commit(meeting)
        call.settle()
        headers = {**JSON_HEADERS, **call.headers()}
        await meeting.answer.whole(200, headers, call.whole(body))

    async def _whole_as_stream(self, meeting: _Meeting) -> None:
        """An upstream that was asked to stream and answered whole is streamed to the client in one
        go."""
        call, answer = meeting.call, meeting.answer
        response = meeting.upstream.decode_response(await meeting.reply.read(), meeting.origin)
        if not tells_usage(response):
            response.usage = usage_of(response, self._input_of(meeting))
        call.answered(response)
        response = filtered(response, meeting.filter)
        call.entitle(response)
        encoder = call.protocol.stream_encoder(call.request)
        data = b"".join([encoder.feed(event) for event in replay(response)]) + encoder.finish()
        self._commit(meeting)
        call.settle()
        await _send(call, answer, call.last(data))
        await answer.end()

    def _flow(self, meeting: _Meeting) -> Flow:
        call, upstream, origin = meeting.call, meeting.upstream, meeting.origin
        if meeting.forwards:
            return upstream.stream_relay(call.parsed, origin)
        encoder = call.protocol.stream_encoder(call.request)
        decoder = decoder_for(upstream, origin, lambda: self._input_of(meeting))
        return Translation(decoder, encoder, meeting.filter, call.entitle)

    def _input_of(self, meeting: _Meeting) -> int:
        """How many tokens the upstream has read, if it does not tell."""
        key = model_key(meeting.attempt.channel.provider, meeting.origin.model)
        return self.counter.count_parsed(key, meeting.call.parsed, lambda: meeting.call.request)


def _encoded(
    call: Call,
    upstream: Protocol,
    profile: ModelProfile,
    changed: Request | None,
    *,
    stream: bool,
) -> Encoded:
    """The body for the upstream: the client's own bytes where both speak one protocol, and nothing had
    to be ``changed``."""
    if stream is not call.parsed.stream:  # the upstream is to answer whole, and we to stream that
        request = msgspec.structs.replace(changed or call.request, stream=False)
        return upstream.encode_request(request, profile)
    if changed is None and upstream is call.protocol and not profile.quirks.get(THINK_TAG):
        return upstream.repeat_request(call.parsed, profile)
    return upstream.encode_request(changed or call.request, profile)


class _Meeting(NamedTuple):
    """A call, and the upstream's reply to it. ``think_tag`` is the tag around the reasoning in its
    text, if there may be such."""

    call: Call
    attempt: Attempt
    upstream: Protocol
    origin: Origin
    reply: UpstreamReply
    answer: Answer
    think_tag: str | None

    @property
    def forwards(self) -> bool:
        """The upstream's bytes are the client's."""
        return self.upstream is self.call.protocol and not self.think_tag

    @property
    def filter(self) -> EventFilter | None:
        """What is done to the events of this answer."""
        return filter_for(self.upstream, self.origin, self.call.protocol, self.think_tag)


async def _end_with_error(call: Call, answer: Answer, error: GatewayError) -> None:
    """Write ``error`` into a stream that has begun, in the client's protocol."""
    written = None
    if call.flow is not None and call.journey.committed:
        written = call.flow.error(error)  # it knows what the client has already got
    if written is None:
        written = call.protocol.stream_encoder(call.request).error(error)
    if call.tail is not None:
        written = call.tail.flush() + written
    await answer.write(written)
    await answer.end()


async def _send(call: Call, answer: Answer, data: bytes) -> None:
    if not answer.begun:
        await answer.begin(_stream_headers(call))
    if data:
        await answer.write(data)


def _stream_headers(call: Call) -> dict[str, str]:
    framing = call.parsed.target.framing
    return {
        "content-type": _MEDIA_TYPES.get(framing, call.protocol.stream_media_type),
        "cache-control": "no-cache",
        "x-accel-buffering": "no",  # nginx would hold a stream back until its buffer is full
        **call.headers(),
    }


def _ping(call: Call) -> bytes:
    return call.protocol.stream_encoder(call.request).ping()


def _is_json(reply: UpstreamReply) -> bool:
    return media_type(reply.headers.get("content-type", "")) == "application/json"


def _refuse_loss(call: Call, channel: Channel, notes: list[Note]) -> None:
    if not (call.strict or channel.strict):
        return
    lost = [note.path for note in notes if note.action is Action.DROPPED]
    if lost:
        shown = ", ".join(lost[:20])
        raise NotTranslatable(f"Strict mode: the upstream cannot express {shown}.", param=lost[0])
