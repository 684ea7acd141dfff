"""Embeddings in both of Google's forms, and counting tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.canonical.embeddings import EmbeddingRequest, EmbeddingResponse
from dragoman.canonical.errors import InvalidRequest, UpstreamBroken, UpstreamRateLimited
from dragoman.canonical.parts import Text
from dragoman.canonical.request import Message, Request, Tool
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import ModelProfile, Target
from dragoman.protocols.gemini_generate import PROTOCOL, VERTEX_EMBEDDINGS

EMBEDDINGS = PROTOCOL.embeddings
COUNT = PROTOCOL.token_count
assert EMBEDDINGS is not None
assert COUNT is not None
TARGET = Target(model="gemini-embedding-001")
PROFILE = ModelProfile(provider="gemini", model="up")


def read(body: Any) -> EmbeddingRequest:
    return EMBEDDINGS.decode_request(json.dumps(body).encode(), TARGET)


def written(request: EmbeddingRequest) -> Any:
    return json.loads(EMBEDDINGS.encode_request(request, PROFILE).body)


def test_one_text() -> None:
    request = read(
        {
            "content": {"parts": [{"text": "a"}]},
            "task_type": "RETRIEVAL_DOCUMENT",
            "title": "T",
            "output_dimensionality": 64,
        }
    )
    assert request == EmbeddingRequest(
        model="gemini-embedding-001",
        inputs=["a"],
        single=True,
        task_type="RETRIEVAL_DOCUMENT",
        title="T",
        dimensions=64,
    )
    assert written(request) == {
        "model": "models/up",
        "content": {"parts": [{"text": "a"}]},
        "taskType": "RETRIEVAL_DOCUMENT",
        "title": "T",
        "outputDimensionality": 64,
    }


def test_a_batch_keeps_what_its_requests_do_not_share() -> None:
    requests = [
        {
            "model": "models/up",
            "content": {"parts": [{"text": text}]},
            "taskType": "RETRIEVAL_DOCUMENT",
            "title": title,
        }
        for text, title in (("a", "A"), ("b", "B"))
    ]
    request = read({"requests": requests})
    assert not request.single
    assert (request.inputs, request.task_type, request.title) == (
        ["a", "b"],
        "RETRIEVAL_DOCUMENT",
        None,
    )
    assert written(request) == {"requests": requests}


def test_a_batch_of_one_stays_a_batch() -> None:
    request = read({"requests": [{"content": {"parts": [{"text": "a"}]}}]})
    assert not request.single
    assert "requests" in written(request)
    response = EmbeddingResponse(vectors=[[0.5]])
    assert json.loads(EMBEDDINGS.encode_response(response, request)) == {
        "embeddings": [{"values": [0.5]}]
    }


def test_vertex_writes_the_same_in_a_config() -> None:
    config = {"taskType": "CLUSTERING", "outputDimensionality": 8, "autoTruncate": True}
    request = read({"content": {"parts": [{"text": "a"}]}, "embedContentConfig": config})
    assert (request.task_type, request.dimensions) == ("CLUSTERING", 8)
    assert written(request)["embedContentConfig"] == {"autoTruncate": True}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "content"),
        ({"requests": []}, "requests"),
        ({"requests": [{"content": {"parts": []}}]}, "requests.0.content"),
        (
            {"requests": [{"content": {"parts": [{"inlineData": {"data": "AA=="}}]}}]},
            "requests.0.content",
        ),
        ({"content": {"parts": [{"text": 5}]}}, "content.parts.0.text"),
    ],
)
def test_mistakes_are_named(body: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(body)
    assert caught.value.param == param


def test_requests_of_other_protocols() -> None:
    encoded = EMBEDDINGS.encode_request(
        EmbeddingRequest(
            model="m",
            inputs=["a", "b"],
            dimensions=3,
            user="u",
            extensions={"openai_chat": {"x": 1}},
        ),
        PROFILE,
    )
    assert [each["outputDimensionality"] for each in json.loads(encoded.body)["requests"]] == [3, 3]
    assert {note.path for note in encoded.notes} == {"user", "x"}
    for codecs in (EMBEDDINGS, VERTEX_EMBEDDINGS):
        with pytest.raises(InvalidRequest) as caught:
            codecs.encode_request(EmbeddingRequest(model="m", inputs=["a", [1, 2]]), PROFILE)
        assert caught.value.param == "input.1"


def test_endpoints() -> None:
    assert EMBEDDINGS.endpoint("m", True) == "/v1beta/models/m:batchEmbedContents"
    assert EMBEDDINGS.endpoint("a b/c", False) == "/v1beta/models/a%20b/c:embedContent"
    assert VERTEX_EMBEDDINGS.endpoint("m", True) == "/publishers/google/models/m:predict"
    assert COUNT.endpoint("m") == "/v1beta/models/m:countTokens"


@pytest.mark.parametrize(
    ("wire", "single"),
    [
        ({"embedding": {"values": [0.1, 2]}}, True),
        ({"embeddings": [{"values": [0.1]}, {"values": [2]}]}, False),
    ],
)
def test_answers_both_ways(wire: dict[str, Any], single: bool) -> None:
    wire["usageMetadata"] = {"promptTokenCount": 5, "totalTokenCount": 5}
    response = EMBEDDINGS.decode_response(json.dumps(wire).encode())
    assert response.usage == Usage(input=5)
    assert response.vectors == ([[0.1, 2]] if single else [[0.1], [2]])
    request = EmbeddingRequest(model="m", inputs=["x"] * len(response.vectors), single=single)
    assert json.loads(EMBEDDINGS.encode_response(response, request)) == wire


def test_vertex_predict_both_ways() -> None:
    body = {
        "instances": [
            {"content": "a", "task_type": "RETRIEVAL_QUERY", "title": "A"},
            {"content": "b", "task_type": "RETRIEVAL_QUERY"},
        ],
        "parameters": {"outputDimensionality": 2, "autoTruncate": False},
    }
    request = VERTEX_EMBEDDINGS.decode_request(json.dumps(body).encode(), TARGET)
    assert (request.inputs, request.task_type, request.dimensions) == (
        ["a", "b"],
        "RETRIEVAL_QUERY",
        2,
    )
    assert json.loads(VERTEX_EMBEDDINGS.encode_request(request, PROFILE).body) == body
    encoded = EMBEDDINGS.encode_request(request, PROFILE)
    assert [each.get("title") for each in json.loads(encoded.body)["requests"]] == ["A", None]
    assert [note.path for note in encoded.notes] == ["parameters.autoTruncate"]
    statistics = {"token_count": 3, "truncated": False}
    wire = {
        "predictions": [
            {"embeddings": {"values": [value], "statistics": statistics}} for value in (0.5, 1.5)
        ]
    }
    response = VERTEX_EMBEDDINGS.decode_response(json.dumps(wire).encode())
    assert response == EmbeddingResponse(vectors=[[0.5], [1.5]], usage=Usage(input=6))
    again = VERTEX_EMBEDDINGS.encode_response(response, request)
    assert VERTEX_EMBEDDINGS.decode_response(again) == response
    lone = EmbeddingResponse(vectors=[[0.5]], usage=Usage(input=3))
    assert json.loads(VERTEX_EMBEDDINGS.encode_response(lone, request))["predictions"] == [
        {"embeddings": {"values": [0.5], "statistics": statistics}}
    ]


@pytest.mark.parametrize("body", [{}, {"instances": []}, {"instances": [{"title": "a"}]}])
def test_predictions_need_instances(body: Any) -> None:
    with pytest.raises(InvalidRequest):
        VERTEX_EMBEDDINGS.decode_request(json.dumps(body).encode(), TARGET)


def test_answers_that_are_none() -> None:
    error = b'{"error": {"code": 429, "message": "slow"}}'
    for read_answer in (
        EMBEDDINGS.decode_response,
        VERTEX_EMBEDDINGS.decode_response,
        COUNT.decode_response,
    ):
        for body in (b"{}", b"", b"[]"):
            with pytest.raises(UpstreamBroken):
                read_answer(body)
        with pytest.raises(UpstreamRateLimited):
            read_answer(error)


def count(request: Request, **quirks: Any) -> Any:
    profile = ModelProfile(provider="gemini", model="up", quirks=quirks)
    return json.loads(COUNT.encode_request(request, profile).body)


def test_counting() -> None:
    contents = [{"role": "user", "parts": [{"text": "hi"}]}]
    bare = COUNT.decode_request(json.dumps({"contents": contents}).encode(), TARGET)
    assert count(bare) == {"contents": contents}
    full = {"model": "models/x", "contents": contents, "systemInstruction": "be brief"}
    wrapped = json.dumps({"generate_content_request": full}).encode()
    request = COUNT.decode_request(wrapped, TARGET)
    assert request.messages[0] == Message(role="system", parts=[Text(text="be brief")])
    system = {"parts": [{"text": "be brief"}]}
    assert count(request) == {
        "generateContentRequest": {
            "model": "models/up",
            "contents": contents,
            "systemInstruction": system,
        }
    }
    request.tools = [Tool(name="f")]
    assert count(request, flat_count_tokens=True) == {
        "contents": contents,
        "systemInstruction": system,
        "tools": [{"functionDeclarations": [{"name": "f"}]}],
    }
    assert COUNT.decode_response(b'{"totalTokens": 7, "promptTokensDetails": []}') == 7
    assert json.loads(COUNT.encode_response(7)) == {"totalTokens": 7}


@pytest.mark.parametrize(
    ("body", "param"),
    [({}, "contents"), ({"generateContentRequest": {}}, "generateContentRequest.contents")],
)
def test_counting_nothing_is_refused(body: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        COUNT.decode_request(json.dumps(body).encode(), TARGET)
    assert caught.value.param == param
