"""Embeddings, images and token counts: the same line as generation, always answered whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from dragoman.canonical.embeddings import EmbeddingRequest
from dragoman.canonical.errors import UpstreamError, UpstreamRejected
from dragoman.canonical.images import ImageRequest
from dragoman.canonical.notes import Note, summary
from dragoman.canonical.request import Request
from dragoman.engine.bill import Bill
from dragoman.engine.exchange import check_status, deadlines_for, learn
from dragoman.engine.journey import Attempt, Journey, header_text
from dragoman.engine.outbound import build_request
from dragoman.engine.pipeline import Pipeline
from dragoman.engine.records import Trace
from dragoman.engine.reply import Deadlines
from dragoman.engine.token_counts import model_key
from dragoman.protocols.base import (
    EmbeddingCodecs,
    Encoded,
    ImageForm,
    Protocol,
    TokenCountCodecs,
)
from dragoman.providers.opening import Opened, Purpose
from dragoman.routing.channel import Channel
from dragoman.routing.plan import Plan


class SideAnswer(msgspec.Struct, kw_only=True):
    """A body for the client, and the headers that say how it came about."""

    body: bytes
    headers: dict[str, str]


class SideCalls:
    """Embeds, draws and counts through the pipeline's channels."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def embed(
        self,
        codecs: EmbeddingCodecs,
        request: EmbeddingRequest,
        trace: Trace,
        plan: Plan,
        bill: Bill,
    ) -> SideAnswer:
        """Embed ``request``'s inputs, and settle ``bill``; ``codecs`` are the client's. Raises
        GatewayError."""

        async def ask(attempt: Attempt) -> SideAnswer:
            bill.began(attempt)
            upstream = self._first_with_embeddings(attempt.channel)
            model = attempt.upstream_model
            profile = self._pipeline.profile_of(attempt.channel, upstream.name, model)
            form = upstream.embedding_forms.get(profile.quirks.get("embedding_form", ""))
            theirs = form or upstream.embeddings
            assert theirs is not None
            encoded = theirs.encode_request(request, profile)
            path = theirs.endpoint(model, len(request.inputs) > 1 or not request.single)
            body = await self._post(attempt, upstream, path, encoded, "embed")
            response = theirs.decode_response(body)
            trace.usage = response.usage
            trace.response_model = response.model
            bill.settle()
            return SideAnswer(
                body=codecs.encode_response(response, request),
                headers={**_headers(attempt, encoded.notes), **bill.headers()},
            )

        return await self._first_answer(trace.journey, plan, ask)

    async def image(
        self, form: ImageForm, request: ImageRequest, trace: Trace, plan: Plan, bill: Bill
    ) -> SideAnswer:
        """Draw what ``request`` says, and settle ``bill``; ``form`` is the client's. Raises
        GatewayError."""

        async def ask(attempt: Attempt) -> SideAnswer:
            bill.began(attempt)
            upstream = self._first_with_images(attempt.channel)
            assert upstream.images is not None
            model = attempt.upstream_model
            profile = self._pipeline.profile_of(attempt.channel, upstream.name, model)
            encoded = upstream.images.encode_request(request, profile)
            path = upstream.images.endpoint(model)
            body = await self._post(attempt, upstream, path, encoded, "image")
            response = upstream.images.decode_response(body)
            trace.usage = response.usage
            trace.response_model = response.model
            answer, content_type = form.encode_response(response, request)
            bill.settle()
            headers = {**_headers(attempt, encoded.notes), **bill.headers()}
            return SideAnswer(body=answer, headers={**headers, "content-type": content_type})

        return await self._first_answer(trace.journey, plan, ask)

    async def count_tokens(
        self,
        codecs: TokenCountCodecs,
        request: Request,
        client: Protocol,
        journey: Journey,
        plan: Plan,
    ) -> SideAnswer:
        """Count ``request``'s input tokens: by the upstream where its protocol can, else by estimate
        (header ``dragoman-estimated``). Raises GatewayError."""

        async def ask(attempt: Attempt) -> SideAnswer:
            channel = attempt.channel
            endpoint = channel.endpoint_for(client.name)
            upstream = self._pipeline.protocols[endpoint.protocol]
            model = attempt.upstream_model
            if upstream.token_count is None:
                return self._estimated(codecs, request, attempt)
            profile = self._pipeline.profile_of(channel, upstream.name, model)
            encoded = upstream.token_count.encode_request(request, profile)
            path = upstream.token_count.endpoint(model)
            try:
                body = await self._post(attempt, upstream, path, encoded, "count")
            except UpstreamRejected:
                # Compatible servers often lack the counting route; a guess serves better than a
                # failure, and the header tells which it is.
                return self._estimated(codecs, request, attempt)
            count = upstream.token_count.decode_response(body)
            key = model_key(channel.provider, model)
            self._pipeline.counter.learn_count(key, request, count)
            return SideAnswer(body=codecs.encode_response(count), headers=_headers(attempt, []))

        return await self._first_answer(journey, plan, ask)

    def _estimated(
        self, codecs: TokenCountCodecs, request: Request, attempt: Attempt
    ) -> SideAnswer:
        headers = {**_headers(attempt, []), "dragoman-estimated": "true"}
        key = model_key(attempt.channel.provider, attempt.upstream_model)
        count = self._pipeline.counter.count(key, request)
        return SideAnswer(body=codecs.encode_response(count), headers=headers)

    async def _first_answer(
        self, journey: Journey, plan: Plan, ask: Callable[[Attempt], Awaitable[SideAnswer]]
    ) -> SideAnswer:
        answers: list[SideAnswer] = []

        async def keep(attempt: Attempt) -> None:
            answers.append(await ask(attempt))

        await self._pipeline.dispatcher.first_that_answers(journey, plan, keep)
        return answers[-1]

    def _first_with_embeddings(self, channel: Channel) -> Protocol:
        for endpoint in channel.endpoints:
            protocol = self._pipeline.protocols[endpoint.protocol]
            if protocol.embeddings is not None:
                return protocol
        title = self._pipeline.protocols[channel.endpoints[0].protocol].title
        raise UpstreamRejected(f"The upstream speaks {title}, which has no embeddings.")

    def _first_with_images(self, channel: Channel) -> Protocol:
        for endpoint in channel.endpoints:
            protocol = self._pipeline.protocols[endpoint.protocol]
            if protocol.images is not None:
                return protocol
        title = self._pipeline.protocols[channel.endpoints[0].protocol].title
        raise UpstreamRejected(f"The upstream speaks {title}, in which no images can be made.")

    async def _post(
        self, attempt: Attempt, upstream: Protocol, path: str, encoded: Encoded, purpose: Purpose
    ) -> bytes:
        channel = attempt.channel
        request = build_request(
            channel,
            channel.endpoint_for(upstream.name),
            upstream,
            path,
            encoded,
            credential=attempt.credential,
        )
        openings = self._pipeline.openings
        opened = await openings.open(attempt, request, purpose, protocol=upstream.name)
        try:
            return await self._send(attempt, upstream, opened)
        except UpstreamError as error:
            if opened.failed is None:
                raise
            recourse = opened.failed(error)
        if recourse.again is None:
            raise recourse.error
        try:
            second = await openings.run(channel, recourse.again)
            return await self._send(attempt, upstream, second)
        except UpstreamError:
            raise recourse.error from None

    async def _send(self, attempt: Attempt, upstream: Protocol, opened: Opened) -> bytes:
        channel = attempt.channel
        deadlines = deadlines_for(channel, Deadlines())
        async with self._pipeline.transport.exchange(
            opened.request, deadlines, channel.proxy_url
        ) as reply:
            learn(attempt, reply, self._pipeline.dispatcher.clock())
            await check_status(upstream, reply)
            return await reply.read()


def _headers(attempt: Attempt, notes: list[Note]) -> dict[str, str]:
    headers = {
        "dragoman-channel": header_text(attempt.channel.name),
        "dragoman-model": header_text(attempt.upstream_model),
    }
    if notes:
        headers["dragoman-translation"] = summary(notes)
    return headers
