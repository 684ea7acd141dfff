"""The small endpoints: embeddings, token counts, model lists and legacy completions.

Vectors and counts are functions of the text alone, so that answers through different protocols can
be compared with each other.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

from google.genai import types
from openai.types import completion_create_params, embedding_create_params

from tests.support.standin import anthropic, gemini
from tests.support.standin.frames import Frame, dumps, sse
from tests.support.standin.script import (
    SCENARIOS,
    Answer,
    Counts,
    Turn,
    VendorError,
    perform,
    pieces,
    vector,
)
from tests.support.typed import Mismatch, check

EMBEDDING_TOKENS = 6
COUNTED_TOKENS = 14
MODELS = [*SCENARIOS, "embed"]


def _checked(body: Any, form: Any) -> dict[str, Any]:
    try:
        check(body, form, "$")
    except Mismatch as mismatch:
        raise VendorError(400, f"Invalid request: {mismatch}.", param=mismatch.path[2:]) from None
    assert isinstance(body, dict)
    return body


def openai_embeddings(body: Any) -> bytes:
    """``/v1/embeddings``: floats, or little-endian float32 in base64."""
    body = _checked(body, embedding_create_params.EmbeddingCreateParams)
    given = body["input"]
    inputs = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else given
    if not inputs:
        raise VendorError(400, "'$.input' is invalid.", param="input")
    data = []
    for index, one in enumerate(inputs):
        numbers = vector(one if isinstance(one, str) else json.dumps(one), body.get("dimensions"))
        value: Any = numbers
        if body.get("encoding_format") == "base64":
            value = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        data.append({"object": "embedding", "index": index, "embedding": value})
    usage = {"prompt_tokens": EMBEDDING_TOKENS, "total_tokens": EMBEDDING_TOKENS}
    return dumps({"object": "list", "data": data, "model": body["model"], "usage": usage})


def ollama_embed(body: Any) -> bytes:
    """``/api/embed``."""
    known = {"model", "input", "truncate", "dimensions", "options", "keep_alive"}
    if set(body) - known or "model" not in body:
        raise VendorError(400, f"unknown or missing fields: {sorted(body)}")
    given = body.get("input", [])
    inputs = [given] if isinstance(given, str) else given
    if not all(isinstance(one, str) for one in inputs):
        raise VendorError(400, "invalid input type")
    return dumps(
        {
            "model": body["model"],
            "embeddings": [vector(one, body.get("dimensions")) for one in inputs],
            "total_duration": 14_143_917,
            "prompt_eval_count": EMBEDDING_TOKENS,
        }
    )


def gemini_embed(body: Any, model: str, *, batch: bool) -> bytes:
    """``:embedContent`` and ``:batchEmbedContents``."""
    if not batch:
        return dumps({"embedding": {"values": _gemini_vector(body)}})
    requests = body.get("requests") if isinstance(body, dict) else None
    if not requests or set(body) - {"requests"}:
        raise gemini.invalid("* BatchEmbedContentsRequest.requests: must not be empty.")
    for request in requests:
        if request.get("model") != f"models/{model}":
            raise gemini.invalid("* requests.model: must match the model in the URL.")
    return dumps({"embeddings": [{"values": _gemini_vector(one)} for one in requests]})


def _gemini_vector(request: Any) -> list[float]:
    known = {"model", "content", "taskType", "title", "outputDimensionality"}
    if not isinstance(request, dict) or set(request) - known or "content" not in request:
        raise gemini.invalid(f"Invalid JSON payload received: {request!r}")
    content = types.Content.model_validate_json(dumps(request["content"]))
    text = "".join(part.text or "" for part in content.parts or ())
    return vector(text, request.get("outputDimensionality"))


def gemini_count(body: Any, headers: Mapping[str, str], model: str) -> bytes:
    """``:countTokens``, with ``contents`` alone or a whole ``generateContentRequest``."""
    inner = body.get("generateContentRequest", body) if isinstance(body, dict) else body
    if inner is not body and inner.pop("model", None) != f"models/{model}":
        raise gemini.invalid("* generate_content_request.model: must be given.")
    gemini.read(inner, headers, model="text")
    return dumps({"totalTokens": COUNTED_TOKENS})


def anthropic_count(body: Any, headers: Mapping[str, str]) -> bytes:
    """``/v1/messages/count_tokens``."""
    anthropic.read(body, headers, counting=True)
    return dumps({"input_tokens": COUNTED_TOKENS})


def openai_count(body: Any) -> bytes:
    """``/v1/responses/input_tokens``."""
    if not isinstance(body, dict) or "input" not in body:
        raise VendorError(400, "Missing required parameter: 'input'.", param="input")
    return dumps({"object": "response.input_tokens", "input_tokens": COUNTED_TOKENS})


def completions(body: Any) -> tuple[Answer, Turn, str]:
    """Judge ``/v1/completions`` and say what it answers."""
    streaming = isinstance(body, dict) and body.get("stream") is True
    form = (
        completion_create_params.CompletionCreateParamsStreaming
        if streaming
        else completion_create_params.CompletionCreateParamsNonStreaming
    )
    body = _checked(body, form)
    prompt = body["prompt"] if isinstance(body["prompt"], str) else ""
    usage = bool((body.get("stream_options") or {}).get("include_usage"))
    turn = Turn(body["model"], "openai", stream=streaming, prompt=prompt, include_usage=usage)
    return perform(turn), turn, prompt


def _completion(turn: Turn, text: str, finish: str | None, counts: Counts | None) -> dict[str, Any]:
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}
    body = {
        "id": "cmpl-standin",
        "object": "text_completion",
        "created": 1_790_000_000,
        "model": f"{turn.model}-2026",
        "choices": [choice],
    }
    if counts is not None:
        body["usage"] = {
            "prompt_tokens": counts.prompt,
            "completion_tokens": counts.output,
            "total_tokens": counts.prompt + counts.output,
        }
    return body


def completion_whole(answer: Answer, turn: Turn) -> bytes:
    """A whole text completion."""
    finish = "length" if answer.finish == "length" else "stop"
    return dumps(_completion(turn, answer.text, finish, answer.counts))


def completion_stream(answer: Answer, turn: Turn) -> list[Frame]:
    """A text completion in chunks."""
    frames = [
        Frame("body", sse(_completion(turn, piece, None, None))) for piece in pieces(answer.text)
    ]
    finish = "length" if answer.finish == "length" else "stop"
    frames.append(Frame("finish", sse(_completion(turn, "", finish, None))))
    if turn.include_usage and answer.counts:
        last = _completion(turn, "", None, answer.counts)
        frames.append(Frame("usage", sse({**last, "choices": []})))
    return [*frames, Frame("done", b"data: [DONE]\n\n")]


def model_list(vendor: str) -> bytes:
    """The list of models, in the vendor's form."""
    if vendor == "anthropic":
        data = [_anthropic_model(name) for name in MODELS]
        ends = {"has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
        return dumps({"data": data, **ends})
    if vendor == "gemini":
        return dumps({"models": [_gemini_model(name) for name in MODELS]})
    if vendor == "ollama":
        return dumps({"models": [{"name": f"{name}:latest", "model": name} for name in MODELS]})
    data = [
        {"id": name, "object": "model", "created": 1_790_000_000, "owned_by": "standin"}
        for name in MODELS
    ]
    return dumps({"object": "list", "data": data})


def _anthropic_model(name: str) -> dict[str, Any]:
    shown = {"id": name, "display_name": name.title(), "type": "model", "lifecycle": "active"}
    return {**shown, "created_at": "2026-01-01T00:00:00Z"}


def _gemini_model(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name.title(),
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }
