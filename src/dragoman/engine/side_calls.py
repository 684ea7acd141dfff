"""Embeddings and token counts: the same line as generation, always answered whole."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import msgspec

from dragoman.canonical.embeddings import EmbeddingRequest
from dragoman.canonical.errors import GatewayError, UpstreamError, UpstreamRejected
from dragoman.canonical.notes import Note, summary
from dragoman.canonical.request import Request
from dragoman.engine.call import header_text
from dragoman.engine.estimate import estimate_input
from dragoman.engine.outbound import build_request
from dragoman.engine.pipeline import MAX_ATTEMPTS, Pipeline, check_status
from dragoman.engine.reply import Deadlines
from dragoman.governance.principal import Principal
from dragoman.protocols.base import EmbeddingCodecs, Encoded, Protocol, TokenCountCodecs
from dragoman.routing.channel import Channel
from dragoman.routing.select import RoutingTable

logger = logging.getLogger("dragoman.side_calls")


class SideAnswer(msgspec.Struct, kw_only=True):
    """A body for the client, and the headers that say how it came about."""

    body: bytes
    headers: dict[str, str]


class SideCalls:
    """Embeds and counts through the pipeline's channels."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def embed(
        self,
        codecs: EmbeddingCodecs,
        request: EmbeddingRequest,
        principal: Principal,
        routing: RoutingTable,
    ) -> SideAnswer:
        """Embed ``request``'s inputs; ``codecs`` are the client's. Raises GatewayError."""

        async def ask(channel: Channel) -> SideAnswer:
            upstream = self._first_with_embeddings(channel)
            model = channel.upstream_model(request.model)
            profile = self._pipeline.profile_of(channel, upstream.name, model)
            assert upstream.embeddings is not None
            encoded = upstream.embeddings.encode_request(request, profile)
            path = upstream.embeddings.endpoint(
                model, len(request.inputs) > 1 or not request.single
            )
            body = await self._post(channel, upstream, path, encoded)
            response = upstream.embeddings.decode_response(body)
            return SideAnswer(
                body=codecs.encode_response(response, request),
                headers=_headers(channel, model, encoded.notes),
            )

        return await _first_answer(_plan(request.model, principal, routing), ask)

    async def count_tokens(
        self,
        codecs: TokenCountCodecs,
        request: Request,
        client: Protocol,
        principal: Principal,
        routing: RoutingTable,
    ) -> SideAnswer:
        """Count ``request``'s input tokens: by the upstream where its protocol can, else by estimate
        (header ``dragoman-estimated``). Raises GatewayError."""

        async def ask(channel: Channel) -> SideAnswer:
            endpoint = channel.endpoint_for(client.name)
            upstream = self._pipeline.protocols[endpoint.protocol]
            model = channel.upstream_model(request.model)
            if upstream.token_count is None:
                return _estimated(codecs, request, channel, model)
            profile = self._pipeline.profile_of(channel, upstream.name, model)
            encoded = upstream.token_count.encode_request(request, profile)
            path = upstream.token_count.endpoint(model)
            try:
                body = await self._post(channel, upstream, path, encoded)
            except UpstreamRejected:
                # Compatible servers often lack the counting route; a guess serves better than a
                # failure, and the header tells which it is.
                return _estimated(codecs, request, channel, model)
            count = upstream.token_count.decode_response(body)
            return SideAnswer(
                body=codecs.encode_response(count), headers=_headers(channel, model, [])
            )

        return await _first_answer(_plan(request.model, principal, routing), ask)

    def _first_with_embeddings(self, channel: Channel) -> Protocol:
        for endpoint in channel.endpoints:
            protocol = self._pipeline.protocols[endpoint.protocol]
            if protocol.embeddings is not None:
                return protocol
        title = self._pipeline.protocols[channel.endpoints[0].protocol].title
        raise UpstreamRejected(f"The upstream speaks {title}, which has no embeddings.")

    async def _post(
        self, channel: Channel, upstream: Protocol, path: str, encoded: Encoded
    ) -> bytes:
        endpoint = channel.endpoint_for(upstream.name)
        request = build_request(channel, endpoint, upstream, path, encoded)
        deadlines = Deadlines(first=channel.timeout)
        async with self._pipeline.transport.exchange(
            request, deadlines, channel.proxy_url
        ) as reply:
            await check_status(upstream, reply)
            return await reply.read()


def _plan(model: str, principal: Principal, routing: RoutingTable) -> list[Channel]:
    return routing.candidates(
        model,
        lambda channel: principal.may_use_channel(channel.id, channel.name),
    )[:MAX_ATTEMPTS]


async def _first_answer(
    channels: list[Channel], ask: Callable[[Channel], Awaitable[SideAnswer]]
) -> SideAnswer:
    failure: GatewayError | None = None
    for channel in channels:
        try:
            return await ask(channel)
        except UpstreamError as error:
            logger.warning("channel %r failed: %s", channel.name, error.message)
            failure = error
            if not error.fallback:
                break
    assert failure is not None
    raise failure


def _estimated(
    codecs: TokenCountCodecs, request: Request, channel: Channel, model: str
) -> SideAnswer:
    headers = {**_headers(channel, model, []), "dragoman-estimated": "true"}
    return SideAnswer(body=codecs.encode_response(estimate_input(request)), headers=headers)


def _headers(channel: Channel, model: str, notes: list[Note]) -> dict[str, str]:
    headers = {
        "dragoman-channel": header_text(channel.name),
        "dragoman-model": header_text(model),
    }
    if notes:
        headers["dragoman-translation"] = summary(notes)
    return headers
