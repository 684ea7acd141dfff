"""Errors, both ways and in streams.

Source: ``anthropic.types.shared.error_response``, ``error_type`` and ``error_details``;
platform.claude.com/docs/en/api/errors. The SDKs read ``request-id``, ``retry-after`` and
``x-should-retry``, and give ``error.details.error_code`` as the error's code.
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
    UpstreamLoading,
    UpstreamRefusedCredential,
    from_upstream_status,
)
from dragoman.canonical.parts import Json
from dragoman.protocols.anthropic_messages.blocks import JSON
from dragoman.protocols.wire_json import loading_seconds
from dragoman.wire.http import HttpReply, retry_after_seconds
from dragoman.wire.sse import write_event

MAX_MESSAGE = 500

_TYPE_OF_STATUS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_TYPE_OF_KIND = {
    "invalid_request": "invalid_request_error",
    "authentication": "authentication_error",
    "credit_exhausted": "billing_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "too_large": "request_too_large",
    "rate_limit": "rate_limit_error",
    "overloaded": "overloaded_error",
    "timeout": "timeout_error",
}
"""Every other kind is ``api_error``."""

_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_VAGUE_STATUSES = frozenset({0, 200, 400, 500})
"""Where the status says little and the type may say more (0: in a stream)."""

_RETRIED_ANYWAY = frozenset({401, 402, 408, 409, 429})
"""Statuses below 500 that clients try again unless told not to (Claude Code does so even on 401)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_NO_CREDIT = "credit balance is too low"
"""What the API answers, as a plain 400, once an account's credit is used up."""
_SPEND_LIMIT = "spend_limit_reached"


def encode_error(error: GatewayError, request_id: str) -> HttpReply:
    """The whole HTTP answer for ``error``."""
    headers = [
        ("content-type", "application/json"),
        ("x-request-id", request_id),
        ("request-id", request_id),
    ]
    if error.retry_after is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after)))))
    if not error.retryable and (error.status in _RETRIED_ANYWAY or error.status >= 500):
        headers.append(("x-should-retry", "false"))
    body = {**error_document(error), "request_id": request_id}
    return HttpReply(status=error.status, headers=headers, body=JSON.encode(body))


def encode_stream_error(error: GatewayError) -> bytes:
    """The in-stream form."""
    return write_event(JSON.encode(error_document(error)), "error")


def error_document(error: GatewayError) -> dict[str, Any]:
    """``{"type": "error", "error": {…}}``. The field at fault is named in the message, as the vendor
    does it."""
    kind = _TYPE_OF_STATUS.get(error.status) or _TYPE_OF_KIND.get(error.kind, "api_error")
    message = error.message
    if error.param and error.param not in message:
        message = f"{error.param}: {message}"
    detail: dict[str, Any] = {"type": kind, "message": message}
    if error.code:
        detail["details"] = {"error_code": error.code}
    return {"type": "error", "error": detail}


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """What an upstream's failure means; ``body`` may be anything."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    retry_after = retry_after_seconds(headers, now=0.0)
    if status == 503 and (seconds := loading_seconds(document)) is not None:
        seconds = seconds if retry_after is None else retry_after
        message = _read(document)[1]
        return UpstreamLoading(message, upstream_status=status, retry_after=seconds)
    return error_from_body(document, status, retry_after)


def error_from_body(
    document: Json, status: int = 0, retry_after: float | None = None
) -> UpstreamError:
    """The error that a decoded error body stands for; ``status`` 0 if it came without one."""
    kind, message, code = _read(document)
    if status in _VAGUE_STATUSES:
        status = _STATUS_OF_TYPE.get(kind, status if status >= 400 else 500)
    message = message or f"The upstream answered with status {status}."
    if _NO_CREDIT in message.lower() or code.endswith(_SPEND_LIMIT):
        return UpstreamRefusedCredential(message, upstream_status=status)
    return from_upstream_status(status, message, code=code or None, retry_after=retry_after)


def _read(document: Json) -> tuple[str, str, str]:
    """(type, message, code) as far as they can be found; compatible servers vary the shape."""
    if not isinstance(document, dict):
        return "", "", ""
    error = document.get("error", document)
    if isinstance(error, str):
        return "", _clean(error), ""
    if not isinstance(error, dict):
        return "", _clean(document.get("message")), ""
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else error.get("code")
    kind = error.get("type")
    return (
        kind if isinstance(kind, str) else "",
        _clean(error.get("message") or error.get("detail")),
        code if isinstance(code, str) else "",
    )


def _clean(message: Json) -> str:
    return _CONTROL.sub(" ", message).strip()[:MAX_MESSAGE] if isinstance(message, str) else ""
