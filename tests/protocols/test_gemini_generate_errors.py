"""Errors in Google's shape, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.canonical.errors import (
    CreditExhausted,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    RateLimited,
    RequestTooLarge,
    Unauthorized,
    Unavailable,
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamModelMissing,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefusedCredential,
    UpstreamRejected,
    UpstreamTimeout,
)
from dragoman.protocols.gemini_generate import PROTOCOL

RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12.5s"}
BAD_KEY = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
}


@pytest.mark.parametrize(
    ("error", "status", "word", "should_retry"),
    [
        (InvalidRequest("m", param="contents"), 400, "INVALID_ARGUMENT", None),
        (Unauthorized("m"), 401, "UNAUTHENTICATED", "false"),
        (CreditExhausted("m"), 402, "RESOURCE_EXHAUSTED", "false"),
        (ModelNotFound("m"), 404, "NOT_FOUND", None),
        (RequestTooLarge("m"), 413, "INVALID_ARGUMENT", None),
        (RateLimited("m", retry_after=1.2), 429, "RESOURCE_EXHAUSTED", None),
        (UpstreamBroken("m"), 502, "UNAVAILABLE", None),
        (UpstreamRefusedCredential("m"), 502, "UNAVAILABLE", "false"),
        (Unavailable("m"), 503, "UNAVAILABLE", None),
        (UpstreamTimeout("m"), 504, "DEADLINE_EXCEEDED", None),
        (GatewayError("m"), 500, "INTERNAL", "false"),
        (UpstreamRejected("m", status=422), 422, "INVALID_ARGUMENT", None),
        (GatewayError("m", status=599), 599, "INTERNAL", "false"),
    ],
)
def test_writing(error: GatewayError, status: int, word: str, should_retry: str | None) -> None:
    reply = PROTOCOL.encode_error(error, "req_1")
    body = json.loads(reply.body)["error"]
    headers = dict(reply.headers)
    assert reply.status == status
    assert (body["code"], body["message"], body["status"]) == (status, "m", word)
    assert headers["x-request-id"] == "req_1"
    assert headers["content-type"] == "application/json"
    assert headers.get("x-should-retry") == should_retry


def test_details_say_why_where_and_when() -> None:
    error = RateLimited("m", param="contents", retry_after=1.2)
    reply = PROTOCOL.encode_error(error, "req_1")
    info, field, retry = json.loads(reply.body)["error"]["details"]
    assert info["reason"] == "RATE_LIMIT_EXCEEDED"
    assert field["fieldViolations"] == [{"field": "contents", "description": "m"}]
    assert retry == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"}
    assert dict(reply.headers)["retry-after"] == "2"


def google(code: int, word: str, message: str = "m", *details: Any) -> bytes:
    error = {"code": code, "message": message, "status": word, "details": list(details)}
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, google(400, "INVALID_ARGUMENT"), UpstreamRejected),
        (
            400,
            google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
            UpstreamRefusedCredential,
        ),
        (400, google(400, "INVALID_ARGUMENT", "m", BAD_KEY), UpstreamRefusedCredential),
        (
            400,
            google(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
            UpstreamRefusedCredential,
        ),
        (400, google(400, "FAILED_PRECONDITION"), UpstreamRejected),
        (
            429,
            google(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."),
            UpstreamRefusedCredential,
        ),
        (403, google(403, "PERMISSION_DENIED"), UpstreamRefusedCredential),
        (404, google(404, "NOT_FOUND"), UpstreamModelMissing),
        (429, google(429, "RESOURCE_EXHAUSTED"), UpstreamRateLimited),
        (499, google(499, "CANCELLED"), UpstreamFailed),
        (500, google(500, "INTERNAL"), UpstreamFailed),
        (503, google(503, "UNAVAILABLE"), UpstreamOverloaded),
        (504, google(504, "DEADLINE_EXCEEDED"), UpstreamTimeout),
        (503, b"[" + google(503, "UNAVAILABLE") + b"]", UpstreamOverloaded),
        (502, b"<html>Bad gateway</html>", UpstreamFailed),
        (500, b"", UpstreamFailed),
        (400, b'{"error": "plain words"}', UpstreamRejected),
        (400, b'{"error": {"message": 5, "details": [1, {"reason": {}}]}}', UpstreamRejected),
        (400, b"[" * 5000, UpstreamRejected),
    ],
)
def test_reading(status: int, body: bytes, kind: type[UpstreamError]) -> None:
    error = PROTOCOL.decode_error(status, {}, body)
    assert type(error) is kind
    assert isinstance(error, UpstreamError)
    assert error.upstream_status == status
    assert error.message


def test_the_delay_is_in_the_details() -> None:
    error = PROTOCOL.decode_error(429, {}, google(429, "RESOURCE_EXHAUSTED", "m", RETRY))
    assert error.retry_after == 12.5
    plain = PROTOCOL.decode_error(429, {"retry-after": "3"}, b"")
    assert plain.retry_after == 3
    odd = google(429, "RESOURCE_EXHAUSTED", "m", {"retryDelay": "soon"})
    assert PROTOCOL.decode_error(429, {}, odd).retry_after is None


def test_messages_are_cut_and_clean() -> None:
    error = PROTOCOL.decode_error(
        400, {}, google(400, "INVALID_ARGUMENT", "a\x00\r\nb" + "c" * 900)
    )
    assert error.message.startswith("a bccc")
    assert len(error.message) == 500
