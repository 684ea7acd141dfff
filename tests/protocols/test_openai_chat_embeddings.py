"""Embeddings, both ways."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.embeddings import EmbeddingRequest, EmbeddingResponse
from dragoman.canonical.errors import InvalidRequest, UpstreamBroken, UpstreamRateLimited
from dragoman.canonical.notes import Action
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import ModelProfile, Target
from dragoman.protocols.openai_chat import PROTOCOL

assert PROTOCOL.embeddings is not None
CODECS = PROTOCOL.embeddings
PROFILE = ModelProfile(model="m")


def decode(**fields: Any) -> EmbeddingRequest:
    body = {"model": "m", **fields}
    return CODECS.decode_request(json.dumps(body).encode(), Target())


@pytest.mark.parametrize(
    ("given_input", "inputs", "single"),
    [
        ("a", ["a"], True),
        (["a"], ["a"], False),
        (["a", "b"], ["a", "b"], False),
        ([1, 2], [[1, 2]], True),
        ([[1, 2], [3]], [[1, 2], [3]], False),
    ],
)
def test_every_form_of_input_comes_and_goes(given_input: Any, inputs: Any, single: bool) -> None:
    request = decode(input=given_input)
    assert (request.inputs, request.single) == (inputs, single)
    assert json.loads(CODECS.encode_request(request, PROFILE).body)["input"] == given_input


@pytest.mark.parametrize(
    "bad", [{"input": []}, {"input": ["a", 1]}, {"input": [[]]}, {"input": [["a"]]}, {}]
)
def test_what_is_no_input(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        decode(**bad)


def test_a_model_is_needed() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(input="a", model="")
    assert caught.value.param == "model"
    body = b'{"input": "a"}'
    assert CODECS.decode_request(body, Target(model="real")).model == "real"


def test_settings_and_unknown_fields() -> None:
    request = decode(input="a", dimensions=8, encoding_format="base64", user="u", truncate=True)
    assert (request.dimensions, request.base64, request.user) == (8, True, "u")
    assert request.extensions == {"openai_chat": {"truncate": True}}
    written = CODECS.encode_request(request, PROFILE)
    assert CODECS.decode_request(written.body, Target()) == request
    assert written.notes == []


def test_what_others_know_is_noted() -> None:
    request = EmbeddingRequest(
        model="m", inputs=["a"], task_type="X", title="T", dimensions=4, extensions={"g": {"f": 1}}
    )
    profile = ModelProfile(model="n", drops=frozenset({"dimensions"}))
    encoded = CODECS.encode_request(request, profile)
    assert json.loads(encoded.body) == {"model": "n", "input": ["a"]}
    assert {note.path for note in encoded.notes} == {"task_type", "title", "dimensions", "f"}
    assert {note.action for note in encoded.notes} == {Action.DROPPED}


def answer(*items: dict[str, Any], **more: Any) -> EmbeddingResponse:
    return CODECS.decode_response(json.dumps({"data": items, **more}).encode())


def test_numbers_and_base64_are_read_in_order() -> None:
    packed = base64.b64encode(struct.pack("<2f", 0.5, -2)).decode()
    response = answer(
        {"index": 1, "embedding": [1, 2.5]},
        {"index": 0, "embedding": packed},
        model="m",
        usage={"prompt_tokens": 3, "total_tokens": 3},
    )
    assert response == EmbeddingResponse(
        model="m", vectors=[[0.5, -2.0], [1.0, 2.5]], usage=Usage(input=3)
    )


@given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False))))
def test_both_encodings_are_exact(vectors: list[list[float]]) -> None:
    response = EmbeddingResponse(model="m", vectors=vectors, usage=Usage(input=1))
    for packed in (True, False):
        request = EmbeddingRequest(model="m", inputs=["a"], base64=packed)
        assert CODECS.decode_response(CODECS.encode_response(response, request)) == response


def test_an_answer_that_float32_cannot_hold() -> None:
    request = EmbeddingRequest(model="m", inputs=["a"], base64=True)
    with pytest.raises(UpstreamBroken):
        CODECS.encode_response(EmbeddingResponse(vectors=[[1e300]]), request)


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b"<", b'{"data": [{"embedding": "AAA="}]}', b'{"data": [{"embedding": "?"}]}'],
)
def test_broken_answers(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        CODECS.decode_response(body)


def test_an_error_under_http_200() -> None:
    with pytest.raises(UpstreamRateLimited):
        CODECS.decode_response(b'{"error": {"message": "slow", "code": 429}}')


def test_the_endpoint() -> None:
    assert CODECS.endpoint("m", True) == "/embeddings"
