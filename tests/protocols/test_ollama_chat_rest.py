"""Ollama's errors and embeddings, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.embeddings import EmbeddingRequest, EmbeddingResponse
from dragoman.canonical.errors import (
    CreditExhausted,
    GatewayError,
    InvalidRequest,
    RateLimited,
    Unauthorized,
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamModelMissing,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefusedCredential,
    UpstreamRejected,
)
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import ModelProfile, Target
from dragoman.protocols.ollama_chat import PROTOCOL
from dragoman.protocols.ollama_chat.embeddings import EMBEDDINGS

FIXTURES = Path(__file__).parents[1] / "fixtures" / "ollama_chat"


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (InvalidRequest("Bad."), 400, {}),
        (Unauthorized("Who?"), 401, {"x-should-retry": "false"}),
        (CreditExhausted("Broke."), 402, {"x-should-retry": "false"}),
        (RateLimited("Slow down.", retry_after=0.2), 429, {"retry-after": "1"}),
        (UpstreamFailed("Oh.", retry_after=61.2), 502, {"retry-after": "62"}),
        (UpstreamRefusedCredential("Key."), 502, {"x-should-retry": "false"}),
    ],
)
def test_errors_for_clients(error: GatewayError, status: int, headers: dict[str, str]) -> None:
    reply = PROTOCOL.encode_error(error, "req-1")
    always = {"content-type": "application/json", "x-request-id": "req-1"}
    assert reply.status == status
    assert dict(reply.headers) == always | headers
    assert json.loads(reply.body) == {"error": error.message}


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (404, b'{"error":"model \'x\' not found"}', UpstreamModelMissing, "model 'x' not found"),
        (
            400,
            b'{"error":"model \\"x\\" not found, try pulling it first"}',
            UpstreamModelMissing,
            'model "x" not found, try pulling it first',
        ),
        (
            400,
            b'{"error":"\\"llama3.1:8b\\" does not support thinking"}',
            UpstreamRejected,
            '"llama3.1:8b" does not support thinking',
        ),
        (
            401,
            b'{"error":"unauthorized","signin_url":"x"}',
            UpstreamRefusedCredential,
            "unauthorized",
        ),
        (429, b'{"error":{"message":"slow"}}', UpstreamRateLimited, "slow"),
        (503, b"<html>", UpstreamOverloaded, "The upstream answered with HTTP status 503."),
        (500, b'{"error":"a\\u0000b"}', UpstreamFailed, "a b"),
        (500, b"", UpstreamFailed, "The upstream answered with HTTP status 500."),
    ],
)
def test_errors_of_upstreams(
    status: int, body: bytes, error: type[UpstreamError], message: str
) -> None:
    found = PROTOCOL.decode_error(status, {"retry-after": "7"}, body)
    assert type(found) is error
    assert found.message == message
    assert isinstance(found, UpstreamError)
    assert found.upstream_status == status
    if status in (429, 500, 503):
        assert found.retry_after == 7


@given(st.integers(400, 599), st.binary(max_size=40) | st.just(b"[" * 9_000))
def test_an_upstream_error_may_be_anything(status: int, body: bytes) -> None:
    assert PROTOCOL.decode_error(status, {}, body).message


def test_error_messages_are_cut() -> None:
    body = json.dumps({"error": "x" * 9_000}).encode()
    assert len(PROTOCOL.decode_error(500, {}, body).message) == 500


inputs = st.text(max_size=5) | st.lists(st.text(max_size=5), min_size=1, max_size=3)
bodies = st.fixed_dictionaries(
    {"model": st.just("all-minilm"), "input": inputs},
    optional={
        "dimensions": st.integers(1, 9),
        "truncate": st.booleans(),
        "keep_alive": st.just("5m"),
        "options": st.just({"num_ctx": 3}),
    },
)


@given(bodies)
def test_embedding_requests_lose_nothing(body: dict[str, Any]) -> None:
    request = EMBEDDINGS.decode_request(json.dumps(body).encode(), Target())
    encoded = EMBEDDINGS.encode_request(request, ModelProfile())
    assert json.loads(encoded.body) == body
    assert encoded.notes == []
    assert EMBEDDINGS.decode_request(encoded.body, Target()) == request


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "x"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": [[1, 2]]}, "input.0"),
    ],
)
def test_bad_embedding_requests(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        EMBEDDINGS.decode_request(json.dumps(body).encode(), Target())
    assert (caught.value.param or "").replace("...", "0") == param


def test_embedding_requests_of_other_protocols() -> None:
    request = EmbeddingRequest(
        model="m", inputs=["a"], base64=True, task_type="QUERY", title="t", user="u"
    )
    encoded = EMBEDDINGS.encode_request(request, ModelProfile(model="all-minilm"))
    assert json.loads(encoded.body) == {"model": "all-minilm", "input": ["a"]}
    assert [note.path for note in encoded.notes] == ["task_type", "title", "user"]
    with pytest.raises(InvalidRequest):
        EMBEDDINGS.encode_request(EmbeddingRequest(model="m", inputs=[[1, 2]]), ModelProfile())


def test_embedding_answers() -> None:
    response = EMBEDDINGS.decode_response((FIXTURES / "embed.json").read_bytes())
    assert [len(vector) for vector in response.vectors] == [3, 3]
    assert response.usage == Usage(input=8)
    request = EmbeddingRequest(model="m", inputs=["a", "b"])
    assert EMBEDDINGS.decode_response(EMBEDDINGS.encode_response(response, request)) == response
    older = EMBEDDINGS.decode_response(b'{"embedding":[0.5]}')
    assert older == EmbeddingResponse(vectors=[[0.5]])


@pytest.mark.parametrize("body", [b"{}", b"x", b'{"embeddings":["x"]}'])
def test_broken_embedding_answers(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        EMBEDDINGS.decode_response(body)


def test_embedding_errors_under_status_200() -> None:
    with pytest.raises(UpstreamModelMissing):
        EMBEDDINGS.decode_response(b'{"error":"model \\"x\\" not found"}')


def test_addresses() -> None:
    assert PROTOCOL.endpoint("m", True) == "/api/chat"
    assert PROTOCOL.embeddings is EMBEDDINGS
    assert EMBEDDINGS.endpoint("m", True) == "/api/embed"
    assert PROTOCOL.credential_header == "authorization"
