"""Reading a request's body under limits."""

from __future__ import annotations

import asyncio

from dragoman.canonical.errors import (
    HeadersTooLarge,
    InvalidRequest,
    RequestTooLarge,
    UnsupportedEncoding,
)
from dragoman.server.answer import RawHeaders, Receive

MAX_BODY_BYTES = 32 * 1024 * 1024
"""As Anthropic's limit for its own endpoint; a 10 MB image in base64 fits twice."""
MAX_HEADER_BYTES = 64 * 1024
BODY_SECONDS = 30.0


class ClientLeft(Exception):
    """The client closed the connection before its request was complete."""


def check_headers(headers: RawHeaders) -> None:
    """Raise HeadersTooLarge past MAX_HEADER_BYTES."""
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise HeadersTooLarge(f"The request's headers are larger than {MAX_HEADER_BYTES} bytes.")


def header(headers: RawHeaders, name: bytes) -> str | None:
    """The first value of a header, or None."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return None


async def read_body(headers: RawHeaders, receive: Receive, limit: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. Raises RequestTooLarge, UnsupportedEncoding, InvalidRequest (too slow) or
    ClientLeft."""
    encoding = header(headers, b"content-encoding")
    if encoding and encoding.strip().lower() != "identity":
        raise UnsupportedEncoding("Send the body without a content-encoding.")
    length = header(headers, b"content-length")
    declared = int(length) if length is not None and length.isdecimal() else -1
    if declared > limit:
        raise RequestTooLarge(f"The body is larger than {limit} bytes.")
    first = await receive()
    if first["type"] == "http.disconnect":
        raise ClientLeft
    body: bytes = first.get("body", b"")
    # The server says "more" until it has seen the end; the announced length spares that round.
    if len(body) != declared and first.get("more_body"):
        return await _read_rest(body, receive, limit)
    if len(body) > limit:
        raise RequestTooLarge(f"The body is larger than {limit} bytes.")
    return body


async def _read_rest(first: bytes, receive: Receive, limit: int) -> bytes:
    pieces = [first]
    size = len(first)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft
                piece = message.get("body", b"")
                size += len(piece)
                if size > limit:
                    raise RequestTooLarge(f"The body is larger than {limit} bytes.")
                pieces.append(piece)
                if not message.get("more_body"):
                    return b"".join(pieces)
    except TimeoutError:
        raise InvalidRequest(
            f"The body did not arrive within {BODY_SECONDS:g} s.", status=408
        ) from None
