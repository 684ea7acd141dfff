"""From a channel and an encoded body to the HTTP request that goes upstream."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dragoman.canonical.secret import Secret
from dragoman.engine.journey import header_text
from dragoman.protocols.base import Encoded, Protocol
from dragoman.routing.channel import Channel, Endpoint
from dragoman.wire.http import HttpRequest

ClientHeaders = Sequence[tuple[bytes, bytes]]
"""A client's header fields, names in lower case."""

_VERSION = re.compile(r"v\d+[a-z0-9]*|api")


def join_url(base_url: str, path: str) -> str:
    """Join a base URL and a protocol's path.

    People give bases with and without the version (``https://api.anthropic.com/v1``); where both
    name one, the base's stands.
    """
    base = base_url.rstrip("/")
    last = base.rsplit("/", 1)[-1]
    first, _, rest = path.lstrip("/").partition("/")
    if _VERSION.fullmatch(last) and _VERSION.fullmatch(first):
        return f"{base}/{rest}"
    return f"{base}{path}"


def credential_headers(
    channel: Channel, protocol: Protocol, credential: Secret | None
) -> dict[str, str]:
    """The header that carries one of the channel's credentials; empty for None."""
    if credential is None:
        return {}
    header = channel.credential_header or protocol.credential_header
    secret = credential.reveal()
    return {header: f"Bearer {secret}" if header == "authorization" else secret}


def build_request(
    channel: Channel,
    endpoint: Endpoint,
    protocol: Protocol,
    path: str,
    encoded: Encoded,
    *,
    credential: Secret | None,
    stream: bool = False,
    client_headers: ClientHeaders = (),
) -> HttpRequest:
    """The POST for ``encoded``. Later sources of headers win: protocol, client, channel, body,
    credential."""
    return HttpRequest(
        method="POST",
        url=join_url(endpoint.base_url, path),
        headers={
            "content-type": "application/json",
            "accept": "text/event-stream" if stream else "application/json",
            **protocol.headers,
            **_passed_on(channel, client_headers),
            **channel.headers,
            **encoded.headers,
            **credential_headers(channel, protocol, credential),
        },
        body=encoded.body,
    )


def _passed_on(channel: Channel, client_headers: ClientHeaders) -> dict[str, str]:
    """The few headers that the channel's provider wants to see of its users."""
    if not channel.client_headers:
        return {}
    said = {name.decode("latin-1"): value.decode("latin-1") for name, value in client_headers}
    return {name: header_text(said[name]) for name in channel.client_headers if name in said}
