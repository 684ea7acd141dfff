"""Vertex AI's older form of embeddings, ``:predict``.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api; it
is what google-genai still sends in Vertex mode for ``text-embedding-005`` and its like.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from dragoman.canonical.embeddings import EmbeddingRequest, EmbeddingResponse
from dragoman.canonical.errors import InvalidRequest, UpstreamBroken
from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import Json, own_extensions
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import EmbeddingCodecs, Encoded, ModelProfile, Target
from dragoman.protocols.gemini_generate import types
from dragoman.protocols.gemini_generate.embeddings import (
    PARAMETERS,
    REQUESTS,
    take_shared,
    texts,
    write_input_usage,
)
from dragoman.protocols.gemini_generate.errors import in_stream_error
from dragoman.protocols.gemini_generate.reading import Reader, rest
from dragoman.protocols.gemini_generate.request import require_model
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID
from dragoman.protocols.gemini_generate.usage import read_usage

_REQUESTS = Reader(types.PredictRequest)
_RESPONSES = Reader(types.PredictResponse)
_SPELLINGS = {"taskType": "task_type"}  # instances are written in snake_case, parameters are not


def decode_request(body: bytes, target: Target) -> EmbeddingRequest:
    """``{"instances": […], "parameters": {…}}``. Raises InvalidRequest."""
    wire = _REQUESTS.client(body)
    model = require_model(target)
    if not wire.instances:
        raise InvalidRequest("instances must not be empty.", param="instances")
    fields = [rest(instance, frozenset(("content",))) for instance in wire.instances]
    shared = take_shared(fields)
    parameters = wire.parameters or types.PredictParameters()
    own: dict[str, Json] = {REQUESTS: fields} if any(fields) else {}
    if left := rest(parameters, frozenset(("output_dimensionality",))):
        own[PARAMETERS] = left
    return EmbeddingRequest(
        model=model,
        inputs=[instance.content for instance in wire.instances],
        dimensions=parameters.output_dimensionality,
        task_type=shared.get("taskType"),
        title=shared.get("title"),
        extensions={PROTOCOL_ID: own} if own else None,
    )


def encode_request(request: EmbeddingRequest, profile: ModelProfile) -> Encoded:
    """The same, for Vertex AI. Raises InvalidRequest for token ids."""
    notes = Notes()
    notes.foreign("", request.extensions, PROTOCOL_ID)
    if request.user is not None:
        notes.dropped("user", "Vertex AI has no such field")
    own = own_extensions(request.extensions, PROTOCOL_ID)
    left = own.get(REQUESTS, [])
    instances: list[dict[str, Json]] = []
    for index, text in enumerate(texts(request)):
        fields = {"taskType": request.task_type, "title": request.title}
        fields.update(left[index] if index < len(left) else {})
        said = {
            _SPELLINGS.get(name, name): value for name, value in fields.items() if value is not None
        }
        instances.append({"content": text, **said})
    body: dict[str, Json] = {"instances": instances}
    parameters: dict[str, Json] = dict(own.get(PARAMETERS, {}))
    if request.dimensions is not None:
        parameters["outputDimensionality"] = request.dimensions
    if parameters:
        body["parameters"] = parameters
    return Encoded(body=msgspec.json.encode(body), notes=notes.items)


def decode_response(body: bytes) -> EmbeddingResponse:
    """``{"predictions": [{"embeddings": {"values": …}}]}``. Raises UpstreamBroken, or the error that
    came in its place."""
    wire = _RESPONSES.upstream(body)
    if wire.error is not None:
        raise in_stream_error(wire.error)
    if wire.predictions is None:
        raise UpstreamBroken("The upstream's answer has no predictions.")
    found = [prediction.embeddings for prediction in wire.predictions]
    counts = [one.statistics.token_count for one in found if one.statistics is not None]
    usage = read_usage(wire.usage_metadata) if wire.usage_metadata is not None else None
    if usage is None and counts:
        usage = Usage(input=max(int(sum(count or 0 for count in counts)), 0))
    return EmbeddingResponse(vectors=[embedding.values for embedding in found], usage=usage)


def encode_response(response: EmbeddingResponse, request: EmbeddingRequest) -> bytes:
    """The same, for a client. Statistics are per text, so only a lone text can have them."""
    predictions: list[dict[str, Any]] = [
        {"embeddings": {"values": vector}} for vector in response.vectors
    ]
    body: dict[str, Json] = {"predictions": predictions}
    if response.usage is not None:
        if len(predictions) == 1:
            statistics = {"token_count": response.usage.total_input, "truncated": False}
            predictions[0]["embeddings"]["statistics"] = statistics
        body["usageMetadata"] = write_input_usage(response.usage)
    return msgspec.json.encode(body)


def endpoint(model: str, many: bool) -> str:
    """Where to send it, below a base URL that names the project and the location."""
    return f"/publishers/google/models/{quote(model)}:predict"


VERTEX_EMBEDDINGS = EmbeddingCodecs(
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    endpoint=endpoint,
)
