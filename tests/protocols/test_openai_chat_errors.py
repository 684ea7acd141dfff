"""OpenAI's errors, both ways. Completions and Responses have the same."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.errors import (
    CreditExhausted,
    Forbidden,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
    UpstreamError,
    UpstreamFailed,
    UpstreamLoading,
    UpstreamModelMissing,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefusedCredential,
    UpstreamRejected,
    UpstreamTimeout,
)
from dragoman.protocols.anthropic_messages import PROTOCOL as ANTHROPIC
from dragoman.protocols.openai_chat import PROTOCOL
from tests.protocols.strategies import json_values


@pytest.mark.parametrize(
    ("error", "status", "kind", "code", "retry"),
    [
        (InvalidRequest("m", param="a.b"), 400, "invalid_request_error", None, None),
        (Unauthorized("m"), 401, "authentication_error", "invalid_api_key", "false"),
        (CreditExhausted("m"), 402, "insufficient_quota", "insufficient_quota", "false"),
        (Forbidden("m"), 403, "permission_error", None, None),
        (ModelNotFound("m"), 404, "invalid_request_error", "model_not_found", None),
        (RateLimited("m", retry_after=1.2), 429, "requests", "rate_limit_exceeded", None),
        (UpstreamRefusedCredential("m"), 502, "server_error", "upstream_credential", "false"),
        (UpstreamFailed("m"), 502, "server_error", None, None),
        (Unavailable("m"), 503, "server_error", None, None),
        (UpstreamTimeout("m"), 504, "server_error", "upstream_timeout", None),
    ],
)
def test_errors_for_clients(
    error: GatewayError, status: int, kind: str, code: str | None, retry: str | None
) -> None:
    reply = PROTOCOL.encode_error(error, "req-1")
    headers = dict(reply.headers)
    assert reply.status == status
    assert json.loads(reply.body) == {
        "error": {"message": "m", "type": kind, "param": error.param, "code": code}
    }
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"] == "req-1"
    assert headers.get("retry-after") == ("2" if error.retry_after else None)
    assert headers.get("x-should-retry") == retry


def test_the_sdk_finds_message_and_code() -> None:
    reply = PROTOCOL.encode_error(ModelNotFound("No such model.", param="model"), "req-1")
    client = openai.OpenAI(api_key="k")
    response: Any = type("R", (), {"status_code": 404, "headers": {}, "request": None})()
    error = client._make_status_error("x", body=json.loads(reply.body), response=response)
    assert isinstance(error, openai.NotFoundError)
    assert (error.code, error.param) == ("model_not_found", "model")


def decoded(status: int, body: Any, **headers: str) -> UpstreamError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = PROTOCOL.decode_error(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, data
    )
    assert isinstance(error, UpstreamError)
    return error


def openai_error(code: str | None, message: str = "text", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "t", "param": None, "code": code, **more}}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, openai_error(None), UpstreamRejected),
        (401, openai_error("invalid_api_key"), UpstreamRefusedCredential),
        (402, openai_error(None), UpstreamRefusedCredential),
        (429, openai_error("insufficient_quota"), UpstreamRefusedCredential),
        (429, openai_error(None, type="insufficient_quota"), UpstreamRefusedCredential),
        (429, openai_error("rate_limit_exceeded"), UpstreamRateLimited),
        (404, openai_error("model_not_found"), UpstreamModelMissing),
        (400, openai_error("model_not_found"), UpstreamModelMissing),
        (422, {"detail": [{"loc": ["body"], "msg": "extra field"}]}, UpstreamRejected),
        (500, openai_error(None), UpstreamFailed),
        (503, b"", UpstreamOverloaded),
        (529, b"<html>", UpstreamOverloaded),
        (504, b"", UpstreamTimeout),
        (
            400,
            [{"error": {"code": 400, "message": "x", "details": [{"reason": "API_KEY_INVALID"}]}}],
            UpstreamRefusedCredential,
        ),
    ],
)
def test_errors_of_upstreams(status: int, body: Any, error: type[UpstreamError]) -> None:
    assert type(decoded(status, body)) is error


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (openai_error(None, "from OpenAI"), "from OpenAI"),
        ({"error": "bare"}, "bare"),
        ({"message": "top", "code": "InvalidParameter"}, "top"),
        ({"detail": "FastAPI"}, "FastAPI"),
        ({"detail": [{"msg": "a"}, {"msg": "b"}]}, "a; b"),
        ([{"error": {"message": "Google"}}], "Google"),
        ({"base_resp": {"status_code": 1, "status_msg": "MiniMax"}}, "MiniMax"),
        (b"<html>secret page</html>", "The upstream answered with HTTP status 400."),
        (openai_error(None, "a\n\tb\x00"), "a b"),
        (openai_error(None, "x" * 900), "x" * 500),
    ],
)
def test_messages_of_every_shape(body: Any, message: str) -> None:
    assert decoded(400, body).message == message


def test_what_a_rejection_says_is_passed_on() -> None:
    error = decoded(400, openai_error("context_length_exceeded", param="messages"))
    assert type(error) is UpstreamRejected
    assert (error.code, error.param, error.status) == ("context_length_exceeded", "messages", 400)
    assert not error.retryable


def test_retry_after_is_read() -> None:
    assert decoded(429, {}, retry_after="7").retry_after == 7
    assert decoded(429, {}, retry_after_ms="1500").retry_after == 1.5
    assert decoded(429, {}, retry_after="inf").retry_after is None


def test_a_refused_key_is_not_quoted() -> None:
    body = openai_error("invalid_api_key", "Incorrect API key provided: sk-proj-abcdefghijklmnop.")
    assert decoded(401, body).message == "Incorrect API key provided: ***."


@given(status=st.integers(100, 599), body=json_values)
def test_any_body_is_read(status: int, body: Any) -> None:
    for shape in (body, {"error": body}, {"error": {"message": body, "code": body}}, [body]):
        assert decoded(status, shape).message


@pytest.mark.row("S3-33")
@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({"error": "Model x is currently loading", "estimated_time": 20.0}, {}, 20.0),
        ({"error": "loading", "estimated_time": 20.0}, {"retry-after": "5"}, 5.0),
        ({"error": "loading", "estimated_time": -1}, {}, None),
        ({"error": "loading", "estimated_time": True}, {}, None),
        ({"error": "loading", "estimated_time": "soon"}, {}, None),
        ({"error": "loading", "estimated_time": 1e300}, {}, None),
        ({"error": "down"}, {}, None),
    ],
)
def test_a_model_that_is_loading(body: Any, headers: dict[str, str], seconds: float | None) -> None:
    for protocol in (PROTOCOL, ANTHROPIC):
        error = protocol.decode_error(503, headers, json.dumps(body).encode())
        assert isinstance(error, UpstreamLoading) is (seconds is not None)
        assert (error.retry_after, error.message) == (seconds, body["error"])


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Not supported by any provider.", "code": "model_not_supported"}},
        {"error": "Model not supported by provider together"},
    ],
)
def test_the_hugging_face_router_lacks_a_model(body: Any) -> None:
    error = PROTOCOL.decode_error(400, {}, json.dumps(body).encode())
    assert isinstance(error, UpstreamModelMissing)
    assert error.status == 404
