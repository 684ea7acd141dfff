"""The task API's errors: ``{"error", "error_type", "message"}`` with an HTTP status.

``error`` says what is wrong, for people; it is also what Hugging Face's own clients show. ``error_type``
follows from the status. ``message`` has the details: the field at fault, the gateway's own code, the
request's id. Source: the API's documentation, whose example's ``InvalidRequest`` is no type of its list;
the list counts.
"""

from __future__ import annotations

import math

import msgspec

from dragoman.canonical.errors import GatewayError
from dragoman.wire.http import Headers, HttpReply

ERROR_TYPES = {
    400: "BadRequest",
    401: "Unauthorized",
    402: "PaymentRequired",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    409: "Conflict",
    413: "PayloadTooLarge",
    415: "UnsupportedMediaType",
    422: "UnprocessableEntity",
    426: "UpgradeRequired",
    429: "TooManyRequests",
    431: "RequestHeaderFieldsTooLarge",
    500: "InternalServerError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}
"""By HTTP status. Any other that an upstream may have chosen counts as 400 or 500."""

_RETRIED_BY_CLIENTS = frozenset({401, 402, 408, 409, 429})
_encode = msgspec.json.Encoder().encode


def encode_error(error: GatewayError, request_id: str) -> HttpReply:
    """The whole HTTP answer for ``error``."""
    headers: Headers = [("content-type", "application/json"), ("x-request-id", request_id)]
    if error.retry_after is not None:
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after)))))
    if not error.retryable and (error.status in _RETRIED_BY_CLIENTS or error.status >= 500):
        headers.append(("x-should-retry", "false"))
    body = {
        "error": error.message,
        "error_type": error_type(error.status),
        "message": _details(error, request_id),
    }
    return HttpReply(status=error.status, headers=headers, body=_encode(body))


def error_type(status: int) -> str:
    """What a status is called."""
    return ERROR_TYPES.get(status) or ERROR_TYPES[500 if status >= 500 else 400]


def _details(error: GatewayError, request_id: str) -> str:
    details = [("field", error.param), ("code", error.code), ("request", request_id)]
    return ", ".join(f"{name}: {value}" for name, value in details if value)
