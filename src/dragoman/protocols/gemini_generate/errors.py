"""Errors, both ways, plain and in a stream.

Source: https://cloud.google.com/apis/design/errors (google.rpc.Status and its details), and
``google/genai/errors.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from dragoman.canonical.errors import (
    CreditExhausted,
    GatewayError,
    UpstreamError,
    UpstreamFailed,
    UpstreamRefusedCredential,
    from_upstream_status,
)
from dragoman.wire.http import HttpReply, retry_after_seconds

_STATUS_OF = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    426: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    431: "INVALID_ARGUMENT",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_CODE_OF = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "DATA_LOSS": 500,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_CLIENTS_RETRY = (401, 402, 408, 409, 429)
_TELLING = ("FAILED_PRECONDITION", "OUT_OF_RANGE", "ABORTED", "ALREADY_EXISTS")
_TYPES = "type.googleapis.com/google.rpc."
# Google says these with 400 or 429, yet they are about the channel's key or account.
_CREDENTIAL = re.compile(
    r"api[ _]key (?:not valid|not found|expired)|api_key_invalid|credits are depleted"
    r"|user location is not supported",
    re.IGNORECASE,
)
_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_MAX_MESSAGE = 500
_ANY = msgspec.json.Decoder()


def error_value(error: GatewayError) -> dict[str, Any]:
    """``{"error": …}`` as Google writes it."""
    status = "RESOURCE_EXHAUSTED" if error.status == 429 else _STATUS_OF.get(error.status)
    if status is None:
        status = "INVALID_ARGUMENT" if error.status < 500 else "INTERNAL"
    value: dict[str, Any] = {"code": error.status, "message": error.message, "status": status}
    if details := _details(error):
        value["details"] = details
    return {"error": value}


def encode_error(error: GatewayError, request_id: str) -> HttpReply:
    """The whole HTTP answer for ``error``."""
    headers = [("content-type", "application/json"), ("x-request-id", request_id)]
    if error.retry_after is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after)))))
    if not error.retryable and (error.status in _CLIENTS_RETRY or error.status >= 500):
        headers.append(("x-should-retry", "false"))
    return HttpReply(
        status=error.status, headers=headers, body=msgspec.json.encode(error_value(error))
    )


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error behind an upstream's answer that is not 2xx; the body may be anything."""
    try:
        value = _ANY.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        value = None
    error = _error_object(value)
    return _upstream_error(status, error, retry_after_seconds(headers, now=0.0))


def in_stream_error(value: Any) -> UpstreamError:
    """The error that came in place of an answer, under HTTP 200; ``value`` is what ``error`` holds."""
    error = value if isinstance(value, dict) else {"message": value}
    code = error.get("code")
    if not isinstance(code, int) or not 400 <= code < 600:
        code = _CODE_OF.get(str(error.get("status")), 500)
    return _upstream_error(code, error, None)


def _details(error: GatewayError) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if error.code is not None:
        reason = re.sub(r"\W", "_", error.code.upper())
        details.append({"@type": f"{_TYPES}ErrorInfo", "reason": reason, "domain": "dragoman"})
    if error.param is not None:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_TYPES}BadRequest", "fieldViolations": [violation]})
    if error.retry_after is not None and not isinstance(error, CreditExhausted):
        delay = max(1, math.ceil(error.retry_after))
        details.append({"@type": f"{_TYPES}RetryInfo", "retryDelay": f"{delay}s"})
    return details


def _error_object(value: Any) -> dict[str, Any]:
    """``{"error": {…}}``, alone or as the one element of an array, as streams without SSE end."""
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _upstream_error(status: int, error: dict[str, Any], retry_after: float | None) -> UpstreamError:
    message = _message(error.get("message"), status)
    word = str(error.get("status"))
    code = word.lower() if word in _TELLING else None
    details = error.get("details")
    infos = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    reasons = " ".join(str(info.get("reason")) for info in infos)
    if status < 500 and _CREDENTIAL.search(f"{message} {reasons}"):
        return UpstreamRefusedCredential(message, upstream_status=status)
    if status == 499:
        return UpstreamFailed(message, upstream_status=status)
    for info in infos:
        delay = _DELAY.fullmatch(str(info.get("retryDelay")))
        if delay is not None:
            retry_after = float(delay[1])
    return from_upstream_status(status, message, code=code, retry_after=retry_after)


def _message(message: Any, status: int) -> str:
    text = _CONTROL.sub(" ", message).strip() if isinstance(message, str) else ""
    return text[:_MAX_MESSAGE] if text else f"The upstream answered with HTTP {status}."
