"""Embeddings: ``:embedContent`` and ``:batchEmbedContents``.

The path's verb says which of the two it is, but so does the body: ``requests`` makes a batch. Towards
an upstream it is a batch unless the client sent one bare input.
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
from dragoman.protocols.gemini_generate.errors import in_stream_error
from dragoman.protocols.gemini_generate.reading import Reader, rest
from dragoman.protocols.gemini_generate.request import require_model
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID, several
from dragoman.protocols.gemini_generate.usage import read_usage

_REQUESTS = Reader(types.BatchEmbedContentsRequest)
_RESPONSES = Reader(types.EmbedContentResponse)
REQUESTS = "requests"
"""The extension field for what each input says for itself, in the order of the inputs."""
PARAMETERS = "parameters"
"""The extension field for ``:predict``'s further parameters."""
_SHARED = ("taskType", "title", "outputDimensionality")


def decode_request(body: bytes, target: Target) -> EmbeddingRequest:
    """Either body. What the requests of a batch have in common becomes the request's own; the rest
    stays with each. Raises InvalidRequest."""
    wire = _REQUESTS.client(body)
    model = require_model(target)
    single = wire.requests is None
    requests: list[Any] = [wire] if wire.requests is None else wire.requests
    if not requests:
        raise InvalidRequest("requests must not be empty.", param="requests")
    inputs: list[str | list[int]] = [
        _text(request.content, "content" if single else f"requests.{index}.content")
        for index, request in enumerate(requests)
    ]
    fields = [_fields(request) for request in requests]
    shared = take_shared(fields)
    return EmbeddingRequest(
        model=model,
        inputs=inputs,
        single=single,
        dimensions=shared.get("outputDimensionality"),
        task_type=shared.get("taskType"),
        title=shared.get("title"),
        extensions={PROTOCOL_ID: {REQUESTS: fields}} if any(fields) else None,
    )


def encode_request(request: EmbeddingRequest, profile: ModelProfile) -> Encoded:
    """One request or a batch, as ``endpoint`` expects. Raises InvalidRequest for token ids."""
    notes = Notes()
    notes.foreign("", request.extensions, PROTOCOL_ID)
    if request.user is not None:
        notes.dropped("user", "Gemini has no such field")
    shared = {
        name: value
        for name, value in zip(
            _SHARED, (request.task_type, request.title, request.dimensions), strict=True
        )
        if value is not None
    }
    own = own_extensions(request.extensions, PROTOCOL_ID)
    for name in own.get(PARAMETERS, {}):
        notes.dropped(f"{PARAMETERS}.{name}", "only Vertex AI's :predict knows it")
    left = own.get(REQUESTS, [])
    requests = []
    for index, text in enumerate(texts(request)):
        each = {"model": f"models/{profile.model}", "content": {"parts": [{"text": text}]}}
        requests.append({**each, **shared, **(left[index] if index < len(left) else {})})
    body: Any = requests[0] if is_single(request) else {"requests": requests}
    return Encoded(body=msgspec.json.encode(body), notes=notes.items)


def take_shared(fields: list[dict[str, Json]]) -> dict[str, Any]:
    """Take out of every item of ``fields`` what all of them say alike."""
    shared = {
        name: fields[0][name]
        for name in _SHARED
        if name in fields[0] and all(other.get(name) == fields[0][name] for other in fields)
    }
    for each in fields:
        for name in shared:
            del each[name]
    return shared


def is_single(request: EmbeddingRequest) -> bool:
    """Whether it goes to ``:embedContent``."""
    return request.single and len(request.inputs) == 1


def texts(request: EmbeddingRequest) -> list[str]:
    """The inputs, all of them texts. Raises InvalidRequest."""
    found = []
    for index, value in enumerate(request.inputs):
        if not isinstance(value, str):
            raise InvalidRequest("This model embeds text, not token ids.", param=f"input.{index}")
        found.append(value)
    return found


def decode_response(body: bytes) -> EmbeddingResponse:
    """Either answer. Raises UpstreamBroken, or the error that came in its place."""
    wire = _RESPONSES.upstream(body)
    if wire.error is not None:
        raise in_stream_error(wire.error)
    found = [wire.embedding] if wire.embedding is not None else wire.embeddings
    if found is None:
        raise UpstreamBroken("The upstream's answer has no embeddings.")
    return EmbeddingResponse(
        vectors=[embedding.values for embedding in found],
        usage=read_usage(wire.usage_metadata) if wire.usage_metadata is not None else None,
    )


def encode_response(response: EmbeddingResponse, request: EmbeddingRequest) -> bytes:
    """The answer that the client's verb promises."""
    found = [{"values": vector} for vector in response.vectors]
    body: dict[str, Json] = (
        {"embedding": found[0]} if request.single and len(found) == 1 else {"embeddings": found}
    )
    if response.usage is not None:
        body["usageMetadata"] = write_input_usage(response.usage)
    return msgspec.json.encode(body)


def write_input_usage(usage: Usage) -> dict[str, Json]:
    """Counts for what has an input only."""
    return {"promptTokenCount": usage.total_input, "totalTokenCount": usage.total_input}


def endpoint(model: str, many: bool) -> str:
    """Where to send it."""
    verb = "batchEmbedContents" if many else "embedContent"
    return f"/v1beta/models/{quote(model)}:{verb}"


def _text(content: types.Content | str | None, param: str) -> str:
    if isinstance(content, str):
        return content
    parts = several(content.parts) if content is not None else []
    pieces = [part.text for part in parts if part.text is not None]
    if not pieces or len(pieces) < len(parts):
        raise InvalidRequest("Only text can be embedded.", param=param)
    return "\n".join(pieces)


def _fields(request: types.EmbedContentRequest) -> dict[str, Json]:
    """What a request says besides its content, whether it says so in a config or not."""
    used = frozenset(("model", "content", "embed_content_config", "requests"))
    config = request.embed_content_config
    inner = {} if config is None else rest(config, frozenset())
    known = {name: inner.pop(name) for name in _SHARED if name in inner}
    fields = {**known, **rest(request, used)}
    if inner:
        fields["embedContentConfig"] = inner
    return fields


EMBEDDINGS = EmbeddingCodecs(
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    endpoint=endpoint,
)
