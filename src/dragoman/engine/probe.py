"""Trying a channel out: one real request, and a plain word on what is wrong."""

from __future__ import annotations

import time

import msgspec

from dragoman.canonical.errors import (
    GatewayError,
    UpstreamError,
    UpstreamRefusedCredential,
)
from dragoman.canonical.parts import Text
from dragoman.canonical.request import Message, Request, Settings
from dragoman.canonical.secret import Secret
from dragoman.canonical.signature import Origin
from dragoman.engine.exchange import check_status
from dragoman.engine.opening import Openings
from dragoman.engine.outbound import build_request, credential_headers, join_url
from dragoman.engine.pipeline import ProfileOf
from dragoman.engine.reply import Deadlines
from dragoman.protocols.base import Protocol
from dragoman.providers.opening import Opened
from dragoman.routing.channel import Channel
from dragoman.wire.http import HttpRequest

PROBE_SECONDS = 20.0
_MAX_TOKENS = 16  # some models refuse less


class ProbeResult(msgspec.Struct, kw_only=True, frozen=True):
    """``status`` is the upstream's HTTP status, None if it never answered; ``detail`` is for a
    person."""

    ok: bool
    status: int | None
    milliseconds: float
    detail: str


async def probe_channel(
    channel: Channel,
    protocol: Protocol,
    openings: Openings,
    *,
    model: str | None = None,
    profile_of: ProfileOf,
    credential: Secret | None,
) -> ProbeResult:
    """List the channel's models or, given ``model``, have it generate a few tokens."""
    started = time.monotonic()
    status: int | None = None
    try:
        if model is None:
            opened = await _list_request(channel, protocol, credential, openings)
        else:
            opened = await openings.open_trial(
                channel,
                _generation(channel, protocol, model, profile_of, credential),
                "generate",
                protocol=protocol.name,
                credential=credential,
                model=model,
            )
        status, body = await _exchange(opened, channel, protocol, openings)
        detail = "answers"
        if model is not None:
            origin = Origin(protocol.name, channel.provider, model)
            answered = protocol.decode_response(body, origin).model
            detail = f"answers as {answered}" if answered else "answers"
        ok = True
    except GatewayError as error:
        if status is None and isinstance(error, UpstreamError):
            status = error.upstream_status
        ok, detail = False, _advice(error, channel, status)
    milliseconds = (time.monotonic() - started) * 1000
    return ProbeResult(ok=ok, status=status, milliseconds=milliseconds, detail=detail)


async def check_credential(
    channel: Channel, protocol: Protocol, openings: Openings, credential: Secret | None
) -> None:
    """List the channel's models with one of its credentials. Raises GatewayError."""
    opened = await _list_request(channel, protocol, credential, openings)
    await _exchange(opened, channel, protocol, openings)


async def list_page(channel: Channel, protocol: Protocol, openings: Openings, query: str) -> bytes:
    """A page of the provider's list of models. Raises GatewayError."""
    opened = await _list_request(channel, protocol, channel.first_credential, openings, query)
    _, body = await _exchange(opened, channel, protocol, openings)
    return body


async def _exchange(
    opened: Opened, channel: Channel, protocol: Protocol, openings: Openings
) -> tuple[int, bytes]:
    """(status, body) of a 2xx answer. Raises GatewayError for any other, once the opener has had its
    second try."""
    try:
        return await _send(opened.request, channel, protocol, openings)
    except UpstreamError as error:
        if opened.failed is None:
            raise
        recourse = opened.failed(error)
    if recourse.again is None:
        raise recourse.error
    second = await openings.run(channel, recourse.again)
    return await _send(second.request, channel, protocol, openings)


async def _send(
    request: HttpRequest, channel: Channel, protocol: Protocol, openings: Openings
) -> tuple[int, bytes]:
    deadlines = Deadlines(first=PROBE_SECONDS, idle=PROBE_SECONDS, total=PROBE_SECONDS)
    async with openings.transport.exchange(request, deadlines, channel.proxy_url) as reply:
        await check_status(protocol, reply)
        return reply.status, await reply.read()


async def _list_request(
    channel: Channel,
    protocol: Protocol,
    credential: Secret | None,
    openings: Openings,
    query: str = "",
) -> Opened:
    endpoint = channel.endpoint_for(protocol.name)
    url = join_url(endpoint.base_url, protocol.models_path)
    if query:
        url += ("&" if "?" in url else "?") + query
    request = HttpRequest(
        method="GET",
        url=url,
        headers={
            "accept": "application/json",
            **protocol.headers,
            **channel.headers,
            **credential_headers(channel, protocol, credential),
        },
    )
    return await openings.open_trial(
        channel, request, "models", protocol=protocol.name, credential=credential
    )


def _generation(
    channel: Channel,
    protocol: Protocol,
    model: str,
    profile_of: ProfileOf,
    credential: Secret | None,
) -> HttpRequest:
    upstream_model = channel.upstream_model(model)
    request = Request(
        model=upstream_model,
        messages=[Message(role="user", parts=[Text(text="Say hi.")])],
        settings=Settings(max_output_tokens=_MAX_TOKENS),
    )
    encoded = protocol.encode_request(request, profile_of(channel, protocol.name, upstream_model))
    endpoint = channel.endpoint_for(protocol.name)
    path = protocol.endpoint(upstream_model, False)
    return build_request(channel, endpoint, protocol, path, encoded, credential=credential)


def _advice(error: GatewayError, channel: Channel, status: int | None) -> str:
    if isinstance(error, UpstreamRefusedCredential) or status in (401, 403):
        advice = "check the channel's API key"
    elif status == 404:
        advice = "check the base URL (many end in /v1) and the model's name"
    elif status is None:
        advice = "check the base URL, the network and the proxy"
    else:
        return error.message
    base = channel.endpoints[0].base_url
    return f"{error.message} — {advice} ({base})"
