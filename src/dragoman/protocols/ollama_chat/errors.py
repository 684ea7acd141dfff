"""Ollama's errors, both ways: ``{"error": "text"}`` with an HTTP status, or as a line of a stream.

Source: docs.ollama.com/api/errors; ``server/routes.go`` for the wordings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from dragoman.canonical.errors import (
    GatewayError,
    UpstreamError,
    UpstreamFailed,
    UpstreamModelMissing,
    UpstreamOverloaded,
    from_upstream_status,
)
from dragoman.wire.http import Headers, HttpReply, retry_after_seconds

_MAX_MESSAGE = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_RETRIED_BY_CLIENTS = frozenset({401, 402, 408, 409, 429})
_body = msgspec.json.Decoder(dict[str, Any])


def encode_error(error: GatewayError, request_id: str) -> HttpReply:
    """The whole HTTP answer for ``error``."""
    headers: Headers = [("content-type", "application/json"), ("x-request-id", request_id)]
    if error.retry_after is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after)))))
    if not error.retryable and (error.status in _RETRIED_BY_CLIENTS or error.status >= 500):
        headers.append(("x-should-retry", "false"))
    return HttpReply(status=error.status, headers=headers, body=error_body(error))


def error_body(error: GatewayError) -> bytes:
    """``{"error": message}``; also, with a newline, the in-stream form."""
    return msgspec.json.encode({"error": error.message})


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error of a failed upstream call; ``body`` may be anything."""
    message = error_text(_read(body)) or f"The upstream answered with HTTP status {status}."
    if status == 400 and _is_missing_model(message):
        return UpstreamModelMissing(message, upstream_status=status)
    return from_upstream_status(status, message, retry_after=retry_after_seconds(headers, now=0.0))


def in_band_error(error: Any) -> UpstreamError:
    """The error that arrived under HTTP status 200; its text is all there is to judge by."""
    message = error_text(error) or "The upstream reported an error without saying which."
    if _is_missing_model(message):
        return UpstreamModelMissing(message)
    if "server busy" in message.lower():
        return UpstreamOverloaded(message)
    return UpstreamFailed(message)


def error_text(error: Any) -> str:
    """The text of ``error`` (a text, or an object as OpenAI writes it), safe to show; else empty."""
    if isinstance(error, dict):
        error = error.get("message") or error.get("error")
    if not isinstance(error, str):
        return ""
    return _CONTROL.sub(" ", error).strip()[:_MAX_MESSAGE]


def _read(body: bytes) -> Any:
    try:
        return _body.decode(body).get("error")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _is_missing_model(message: str) -> bool:
    return "model" in message.lower() and "not found" in message.lower()
