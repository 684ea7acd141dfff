"""What both clients know of httpx: how a call becomes a request, a response a reply, a failure ours."""

from __future__ import annotations

import random
import time
import uuid
from typing import Any, TypedDict

import httpx

from dragoman_client._attempts import Attempts
from dragoman_client._calls import Call
from dragoman_client._reading import Reply
from dragoman_client._version import __version__
from dragoman_client.errors import BrokenAnswer, NoAnswer, TimedOut

_CONNECTING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_STREAM = "text/event-stream"


class Options(TypedDict):
    """What an httpx client is made with."""

    headers: dict[str, str]
    timeout: float


def options(api_key: str, timeout: float) -> Options:
    """Raises ValueError for a key that no header can carry."""
    if not (api_key.isascii() and api_key.isprintable()) or api_key != api_key.strip():
        # The key itself must not get into a log this way.
        raise ValueError(
            "api_key has characters that no key has: a line break or a space, perhaps."
        )
    headers = {"user-agent": f"dragoman-client-python/{__version__}"}
    if api_key:
        headers["authorization"] = f"Bearer {api_key}"
    return Options(headers=headers, timeout=timeout)


def address(base_url: str) -> str:
    """``base_url`` without a slash at its end. Raises ValueError if it is none."""
    try:
        parsed = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"base_url is no URL: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("base_url must begin with http:// or https://, and name a host.")
    return base_url.rstrip("/")


def request(
    client: httpx.Client | httpx.AsyncClient, base: str, call: Call[Any], *, stream: bool, key: str
) -> httpx.Request:
    """A request for ``client`` to send. ``key`` is its Idempotency-Key, or empty."""
    headers = {"accept": _STREAM if stream else "application/json"}
    if call.content is not None:
        headers["content-type"] = "application/json"
    if key:
        headers["idempotency-key"] = key
    return client.build_request(
        call.method, base + call.path, params=call.query, headers=headers, content=call.content
    )


def new_key(call: Call[Any], *, stream: bool, retries: int) -> str:
    """An Idempotency-Key for what may cost money and be sent twice; otherwise empty.

    Not for a stream: one whose client leaves is to stop, and with a key the gateway would finish it.
    """
    return str(uuid.uuid4()) if call.charged and retries > 0 and not stream else ""


def reply_of(response: httpx.Response) -> Reply:
    """A response that was read as a whole."""
    return Reply(response.status_code, response.headers, response.content)


def check_stream(response: httpx.Response) -> None:
    """Raise BrokenAnswer if what comes is no stream of events."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _STREAM:
        raise BrokenAnswer(
            f"A stream was asked for, and {kind or 'something without a type'} came.",
            status=response.status_code,
            request_id=request_id(response),
        )


def request_id(response: httpx.Response) -> str:
    """The gateway's id for the request, or empty."""
    text: str = response.headers.get("x-request-id", "")
    return text


def no_answer(error: httpx.RequestError, request_id: str = "") -> NoAnswer:
    """Our error for one of httpx's."""
    kind = type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(f"The gateway took too long ({kind}).", request_id=request_id)
    reason = f"{kind}, {error}" if str(error) else kind
    return NoAnswer(f"The gateway gave no answer ({reason}).", request_id=request_id)


def attempts_at(call: Call[Any], *, key: str, retries: int) -> Attempts:
    """The account of a call's attempts, of which ``key`` is the Idempotency-Key, or empty."""
    return Attempts(
        retries,
        harmless=bool(key) or not call.charged,
        chance=random.random,
        now=time.time,
    )


def failed(attempts: Attempts, error: httpx.RequestError) -> float:
    """The seconds to wait before the next attempt. Raises NoAnswer if there is none."""
    try:
        return attempts.failed(no_answer(error), sent=not isinstance(error, _CONNECTING))
    except NoAnswer as ours:
        raise ours from error
