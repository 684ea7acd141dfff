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
from dragoman.protocols.gemini_generate.embeddings import texts, write_input_usage
from dragoman.protocols.gemini_generate.errors import in_stream_error
from dragoman.protocols.gemini_generate.reading import Reader, rest
from dragoman.protocols.gemini_generate.request import require_model
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID
from dragoman.protocols.gemini_generate.usage import read_usage

_REQUESTS = Reader(types.PredictRequest)
_RESPONSES = Reader(types.PredictResponse)
_SHARED = {"task_type": "task_type", "title": "title"}


def decode_request(body: bytes, target: Target) -> EmbeddingRequest:
    """``{"instances": […], "parameters": {…}}``. Raises InvalidRequest."""
    wire = _REQUESTS.client(body)
    model = require_model(target)
    if not wire.instances:
        raise InvalidRequest("instances must not be empty.", param="instances")
    shared: dict[str, Any] = {}
    for name in _SHARED:
        values = {getattr(instance, name) for instance in wire.instances}
        if len(values) == 1:
            shared[name] = values.pop()
    used = frozenset(("content", *shared))
    instances = [rest(instance, used) for instance in wire.instances]
    parameters = wire.parameters or types.PredictParameters()
    own: dict[str, Json] = {}
    if any(instances):
        own["instances"] = instances
    if left := rest(parameters, frozenset(("output_dimensionality",))):
        own["parameters"] = left
    return EmbeddingRequest(
        model=model,
        inputs=[instance.content for instance in wire.instances],
        dimensions=parameters.output_dimensionality,
        task_type=shared.get("task_type"),
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
    left = own.get("instances", [])
    instances = []
    for index, text in enumerate(texts(request)):
        instance: dict[str, Json] = {"content": text}
        if request.task_type is not None:
            instance["task_type"] = request.task_type
        if request.title is not None:
            instance["title"] = request.title
        instances.append({**instance, **(left[index] if index < len(left) else {})})
    body: dict[str, Json] = {"instances": instances}
    parameters: dict[str, Json] = dict(own.get("parameters", {}))
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
