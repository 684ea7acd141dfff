"""OpenAI's error object ``{"error": {message, type, param, code}}``, both ways.

Sources: platform.openai.com/docs/guides/error-codes; ``openai._client._make_status_error``; the
shapes of compatible servers as their own docs give them (``{"error": "text"}``, ``{"message"}``,
``{"detail"}``, Google's ``[{"error": …}]``, MiniMax ``base_resp``).
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
    UpstreamModelMissing,
    UpstreamRefusedCredential,
    UpstreamRejected,
    from_upstream_status,
)
from dragoman.protocols.wire_json import loading_seconds
from dragoman.wire.http import HttpReply, retry_after_seconds

MAX_MESSAGE = 500

_TYPE_OF_KIND = {
    "invalid_request": "invalid_request_error",
    "not_found": "invalid_request_error",
    "too_large": "invalid_request_error",
    "authentication": "authentication_error",
    "permission": "permission_error",
    "credit_exhausted": "insufficient_quota",
    "rate_limit": "requests",
}
"""Every other kind is ``server_error``."""

_CREDENTIAL_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "account_deactivated",
        "invalid_api_key",
        "API_KEY_INVALID",
    }
)
_MODEL_CODES = frozenset(
    {"model_not_found", "model_not_exist", "model_not_supported", "deployment_not_found"}
)
_NO_MODEL = re.compile(r"model not supported by provider\b", re.IGNORECASE)
"""What the Hugging Face router says, as a plain 400, of a model that the host named with it lacks."""

_STATUS_OF_CODE = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "server_error": 500,
    "api_error": 500,
    "internal_error": 500,
    "overloaded_error": 503,
    "service_unavailable": 503,
    "timeout": 504,
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "context_length_exceeded": 400,
    "content_filter": 400,
}
"""For errors that arrive under HTTP 200: in streams, and from servers that mean it so."""

_STATUS_OF_MINIMAX = {
    1001: 504,  # timed out
    1002: 429,  # requests per minute
    1004: 401,  # not authorised
    1008: 402,  # balance
    1026: 400,  # input refused
    1027: 400,  # output refused
    1039: 429,  # tokens per minute
    1041: 429,  # connections
    1042: 400,  # unreadable characters
    2013: 400,  # parameters
    2049: 401,  # invalid key
    2056: 429,  # plan's usage limit
}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_encode = msgspec.json.Encoder().encode


def error_object(error: GatewayError) -> dict[str, Any]:
    """The value of ``error`` in a body or in a stream."""
    return {
        "message": error.message,
        "type": _TYPE_OF_KIND.get(error.kind, "server_error"),
        "param": error.param,
        "code": error.code,
    }


def encode_error(error: GatewayError, request_id: str) -> HttpReply:
    """The whole HTTP answer for ``error``.

    ``x-should-retry`` is OpenAI's own switch: its SDKs, and Claude Code, retry some statuses by
    themselves unless it says ``false``.
    """
    headers = [("content-type", "application/json"), ("x-request-id", request_id)]
    if error.retry_after is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after)))))
    retried = error.status in (401, 402, 408, 409, 429) or error.status >= 500
    if retried and not error.retryable:
        headers.append(("x-should-retry", "false"))
    return HttpReply(
        status=error.status, headers=headers, body=_encode({"error": error_object(error)})
    )


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """Read an upstream's error answer; ``body`` may be anything."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        value = None
    message, code, param = _read(value)
    retry_after = retry_after_seconds(headers, now=0.0)
    if retry_after is not None and not math.isfinite(retry_after):
        retry_after = None
    if status == 503 and (seconds := loading_seconds(value)) is not None:
        seconds = seconds if retry_after is None else retry_after
        return UpstreamLoading(message, upstream_status=status, retry_after=seconds)
    return _choose(status, message, code, param, retry_after)


def error_in(value: Any) -> UpstreamError | None:
    """The error that ``value``, decoded from an answer of HTTP 200 or from a stream, stands for.

    ``value`` is the whole body or event. None if it holds no error.
    """
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    base = value.get("base_resp")
    number = base.get("status_code") if isinstance(base, dict) else None
    if isinstance(number, int) and number:
        status = _STATUS_OF_MINIMAX.get(number, 500)
    elif value.get("error"):
        status = _status_said(value["error"])
    else:
        return None
    return _choose(status, *_read(value), None)


def _choose(
    status: int, message: str, code: str | None, param: str | None, retry_after: float | None
) -> UpstreamError:
    """The error for a status, unless ``code`` says more."""
    message = message or f"The upstream answered with HTTP status {status}."
    if code in _CREDENTIAL_CODES or status in (401, 402, 403):
        return UpstreamRefusedCredential(message, upstream_status=status)
    if code in _MODEL_CODES or (status == 400 and _NO_MODEL.match(message)):
        return UpstreamModelMissing(message, upstream_status=status, param=param)
    error = from_upstream_status(status, message, code=code, retry_after=retry_after)
    if isinstance(error, UpstreamRejected):
        error.param = param
    return error


def _status_said(error: Any) -> int:
    """The HTTP status that an error object names by number or by code; 500 if it does not."""
    if not isinstance(error, dict):
        return 500
    for field in ("code", "status", "type"):
        said = error.get(field)
        if isinstance(said, str):
            said = int(said) if said.isdecimal() and len(said) == 3 else _STATUS_OF_CODE.get(said)
        if isinstance(said, int) and 400 <= said < 600:
            return said
    return 500


def _read(value: Any) -> tuple[str, str | None, str | None]:
    """(message, code, param) of any shape seen in the wild; the message is empty if none is there."""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return "", None, None
    error = value.get("error") or value.get("base_resp") or value
    if not isinstance(error, dict):
        return _clean(error), None, None
    said = next(
        (error[k] for k in ("message", "detail", "status_msg", "msg", "error") if error.get(k)), ""
    )
    param = error.get("param")
    return _clean(said), _code(error), param if isinstance(param, str) else None


def _code(error: dict[str, Any]) -> str | None:
    """The machine-readable code: Google hides the telling one in ``details``; OpenAI's quota error
    has it in ``type`` as well, and some servers only there."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and isinstance(detail.get("reason"), str):
            return str(detail["reason"])
    code = error.get("code")
    if isinstance(code, str) and code:
        return code
    kind = error.get("type")
    return kind if isinstance(kind, str) and kind in _CREDENTIAL_CODES | _MODEL_CODES else None


def _clean(message: Any) -> str:
    """One line of at most MAX_MESSAGE characters; FastAPI's list of details is joined."""
    if isinstance(message, list):
        texts = [item.get("msg", "") if isinstance(item, dict) else item for item in message]
        message = "; ".join(text for text in texts if isinstance(text, str) and text)
    if not isinstance(message, str):
        return ""
    return _CONTROL.sub(" ", message).strip()[:MAX_MESSAGE]
