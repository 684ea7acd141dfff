"""Every recorded request of a real client, sent again as it was: it is answered, and the answer is
valid by the client's own SDK."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Any

import openai.types
import pytest
from anthropic.types import Message, MessageTokensCount, ModelInfo, RawMessageStreamEvent
from google.genai import types
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.input_token_count_response import InputTokenCountResponse
from pydantic import BaseModel, Field, TypeAdapter

from tests.live.captures import CAPTURES, Capture
from tests.live.cells import rows_of
from tests.support.gateway import BASES, Gateway, token_for
from tests.support.standin.script import GREETING

# What the gateway does not offer, and says so: stored files, Google's interactions, and tasks of the
# Hugging Face API below a model's own URL.
NOT_OFFERED = {
    "/v1/files": "files are not stored",
    "/v1/interactions": "Google's agent API",
    "/v1": "a Hugging Face task at a bare base URL",
    "/models/foo/bar": "a Hugging Face task",
    "/models/foo/bar/pipeline/feature-extraction": "a Hugging Face task",
}
GENERATING = ("chat/completions", "responses", "messages", "enerateContent")
ANSWERABLE = [one for one in CAPTURES if one.target not in NOT_OFFERED]
REFUSED = [one for one in CAPTURES if one.target in NOT_OFFERED]


def dialect(capture: Capture) -> str:
    """The protocol whose shape the answer must have."""
    path = capture.target.partition("?")[0]
    if "/messages" in path or any(n.lower() == "anthropic-version" for n, _ in capture.headers):
        return "anthropic_messages"
    if ":" in path or any(n.lower() == "x-goog-api-key" for n, _ in capture.headers):
        return "gemini_generate"
    return "openai_responses" if "/responses" in path else "openai_chat"


def upstreams_for(capture: Capture) -> list[str]:
    """Generation goes to every upstream; the rest to one that has it."""
    path = capture.target.partition("?")[0]
    if path.endswith(GENERATING) and capture.method == "POST":
        return list(BASES)
    if "mbed" in path or path.endswith(":predict"):
        return ["openai_chat", "gemini_generate", "ollama_chat"]
    return ["anthropic_messages", "gemini_generate", "openai_responses"]


def cases() -> list[Any]:
    """(capture, upstream), marked with the rows that it proves."""
    found = []
    for capture in ANSWERABLE:
        for upstream in upstreams_for(capture):
            rows = []
            if capture.target.partition("?")[0].endswith(GENERATING):
                mode = "streamed" if capture.streamed else "plain"
                rows = rows_of(dialect(capture), upstream, mode)
            if capture.client == "claude-code":
                rows.append("S2-92")
            marks = [pytest.mark.row(*rows)] if rows else []
            found.append(
                pytest.param(capture, upstream, id=f"{capture.name}-{upstream}", marks=marks)
            )
    return found


@pytest.mark.parametrize(("capture", "upstream_name"), cases())
def test_the_request_is_answered(capture: Capture, upstream_name: str, gateway: Gateway) -> None:
    status, content_type, body = send(gateway, capture, token_for(upstream_name))
    assert status == 200, body.decode(errors="replace")[:500]
    if capture.method == "HEAD":
        return
    if capture.streamed:
        check_stream(dialect(capture), content_type, body)
    else:
        assert content_type.startswith("application/json")
        check_whole(capture, json.loads(body))


@pytest.mark.parametrize("capture", REFUSED, ids=[one.name for one in REFUSED])
def test_what_is_not_offered_is_said_plainly(capture: Capture, gateway: Gateway) -> None:
    status, content_type, body = send(gateway, capture, token_for("openai_chat"))
    assert 400 <= status < 500
    assert content_type.startswith("application/json")
    assert json.loads(body)


def send(gateway: Gateway, capture: Capture, token: str) -> tuple[int, str, bytes]:
    """(status, content type, whole body) of the capture sent to the gateway."""
    body = None if capture.body is None else json.dumps(capture.body).encode()
    request = urllib.request.Request(
        gateway.url + capture.target, body, capture.headers_with(token), method=capture.method
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.headers.get("content-type", ""), reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("content-type", ""), error.read()


# -- whole answers ------------------------------------------------------------------------------


class _OpenAIModels(BaseModel):
    object: str
    data: list[openai.types.Model]


class _AnthropicModels(BaseModel):
    data: list[ModelInfo]
    has_more: bool
    first_id: str | None
    last_id: str | None


class _GeminiVectors(BaseModel):
    embeddings: list[types.ContentEmbedding]


class _VertexVectors(BaseModel):
    predictions: list[dict[str, Any]]


class _GeminiModel(BaseModel):
    """As on the wire; the SDK renames some fields before its own model sees them."""

    name: str
    version: str
    display_name: str = Field(alias="displayName")
    methods: list[str] = Field(alias="supportedGenerationMethods")


class _GeminiModels(BaseModel):
    models: list[_GeminiModel]


# (dialect, end of the path) → the answer's form; the first that fits is taken.
WHOLE: list[tuple[str, str, Any]] = [
    ("openai_chat", "chat/completions", ChatCompletion),
    ("openai_chat", "embeddings", openai.types.CreateEmbeddingResponse),
    ("openai_chat", "/models", _OpenAIModels),
    ("openai_chat", "", openai.types.Model),
    ("openai_responses", "input_tokens", InputTokenCountResponse),
    ("openai_responses", "", Response),
    ("anthropic_messages", "count_tokens", MessageTokensCount),
    ("anthropic_messages", "/models", _AnthropicModels),
    ("anthropic_messages", "", Message),
    ("gemini_generate", ":countTokens", types.CountTokensResponse),
    ("gemini_generate", ":batchEmbedContents", _GeminiVectors),
    ("gemini_generate", ":predict", _VertexVectors),
    ("gemini_generate", ":generateContent", types.GenerateContentResponse),
    ("gemini_generate", "/models", _GeminiModels),
    ("gemini_generate", "", _GeminiModel),
]


def check_whole(capture: Capture, body: Any) -> None:
    """Validate an answer that is not streamed."""
    path = capture.target.partition("?")[0]
    form = next(
        form
        for name, ending, form in WHOLE
        if name == dialect(capture) and (path.endswith(ending) or not ending)
    )
    if form is openai.types.CreateEmbeddingResponse:
        for one in body["data"]:  # the SDK decodes base64 before it validates
            one["embedding"] = [] if isinstance(one["embedding"], str) else one["embedding"]
    if form is types.GenerateContentResponse:
        gemini_answer(json.dumps(body))
    else:
        form.model_validate_json(json.dumps(body))


def gemini_answer(data: str) -> types.GenerateContentResponse:
    """As the SDK reads it: fields it does not know are removed, everything else must be right."""
    return types.GenerateContentResponse._from_response(response=json.loads(data), kwargs={})


# -- streams ------------------------------------------------------------------------------------

_ANTHROPIC: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_RESPONSES: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def check_stream(name: str, content_type: str, body: bytes) -> None:
    """Validate every event of a stream, and that it says all it has to say."""
    assert content_type.startswith("text/event-stream")
    events = events_of(name, body)
    if name == "openai_chat":
        assert events.pop() == ("", "[DONE]")
        chunks = [ChatCompletionChunk.model_validate_json(data) for _, data in events]
        choices = [choice for chunk in chunks for choice in chunk.choices]
        assert "".join(choice.delta.content or "" for choice in choices) == GREETING
        assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    elif name == "openai_responses":
        told = [_RESPONSES.validate_json(data) for _, data in events]
        assert (told[0].type, told[-1].type) == ("response.created", "response.completed")
        assert [one.type for one in told] == [event for event, _ in events]
        assert told[-1].response.output_text == GREETING
        assert "response.output_item.done" in [one.type for one in told]
    elif name == "anthropic_messages":
        blocks = [
            _ANTHROPIC.validate_json(data)
            for event, data in events
            if event != "ping"  # no part of the SDK's union
        ]
        assert (blocks[0].type, blocks[-1].type) == ("message_start", "message_stop")
        deltas = [one.delta for one in blocks if one.type == "content_block_delta"]
        assert "".join(one.text for one in deltas if one.type == "text_delta") == GREETING
    else:
        answers = [gemini_answer(data) for _, data in events]
        parts = [
            part
            for answer in answers
            for candidate in answer.candidates or ()
            for part in (candidate.content.parts if candidate.content else None) or ()
        ]
        assert "".join(part.text or "" for part in parts if not part.thought) == GREETING
        assert answers[-1].candidates
        assert answers[-1].candidates[0].finish_reason == "STOP"


def events_of(name: str, body: bytes) -> list[tuple[str, str]]:
    """(event, data) of a stream. Gemini's Python SDK takes neither comments nor a missing space."""
    events = []
    for block in re.split(r"\r?\n\r?\n", body.decode()):
        lines = block.splitlines()
        if not lines or all(line.startswith(":") for line in lines):
            assert not (lines and name == "gemini_generate"), "no comments for Gemini's clients"
            continue
        fields = [line.partition(": ") for line in lines if not line.startswith(":")]
        assert all(separator for _, separator, _ in fields)
        event = "".join(value for field, _, value in fields if field == "event")
        events.append((event, "".join(value for field, _, value in fields if field == "data")))
    return events
