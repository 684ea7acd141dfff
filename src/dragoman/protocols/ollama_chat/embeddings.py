"""``/api/embed``, both ways."""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.embeddings import EmbeddingRequest, EmbeddingResponse
from dragoman.canonical.errors import InvalidRequest, UpstreamBroken
from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import own_extensions
from dragoman.canonical.usage import Usage, split
from dragoman.protocols.base import EmbeddingCodecs, Encoded, ModelProfile, Target
from dragoman.protocols.ollama_chat.errors import in_band_error
from dragoman.protocols.ollama_chat.types import (
    PROTOCOL_ID,
    EmbedAnswer,
    EmbedRequest,
    as_extensions,
    leftovers,
)
from dragoman.protocols.wire_json import read_client, read_upstream

_request = msgspec.json.Decoder(EmbedRequest)
_answer = msgspec.json.Decoder(EmbedAnswer)
_object = msgspec.json.Decoder(dict[str, Any])


def decode_request(body: bytes, target: Target) -> EmbeddingRequest:
    """Read a client's request. Raises InvalidRequest naming the field at fault."""
    wire = read_client(body, _request)
    if not wire.model:
        raise InvalidRequest("A model is required.", param="model")
    if wire.input is None or wire.input == []:
        raise InvalidRequest("At least one input is required.", param="input")
    extra = leftovers(read_client(body, _object), EmbedRequest.__struct_fields__)
    single = isinstance(wire.input, str)
    return EmbeddingRequest(
        model=wire.model,
        inputs=[wire.input] if isinstance(wire.input, str) else [*wire.input],
        single=single,
        dimensions=wire.dimensions,
        extensions=as_extensions(extra),
    )


def encode_request(request: EmbeddingRequest, profile: ModelProfile) -> Encoded:
    """The upstream's body. Raises InvalidRequest for inputs given as tokens: only the model that they
    belong to could turn them back into text."""
    texts = [text for text in request.inputs if isinstance(text, str)]
    if len(texts) != len(request.inputs):
        raise InvalidRequest("This model's provider takes text, not tokens.", param="input")
    notes = Notes()
    notes.foreign("", request.extensions, PROTOCOL_ID)
    for field in ("task_type", "title", "user"):
        if getattr(request, field) is not None:
            notes.dropped(field, "Ollama has no such field")
    body: dict[str, Any] = {
        "model": profile.model or request.model,
        "input": texts[0] if request.single and texts else texts,
    }
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    for name, value in own_extensions(request.extensions, PROTOCOL_ID).items():
        body.setdefault(name, value)
    return Encoded(body=msgspec.json.encode(body), notes=notes.items)


def decode_response(body: bytes) -> EmbeddingResponse:
    """Read an upstream's answer. Raises UpstreamBroken, or the error that it holds."""
    answer = read_upstream(body, _answer)
    if answer.error is not None:
        raise in_band_error(answer.error)
    vectors = answer.embeddings
    if vectors is None and answer.embedding is not None:
        vectors = [answer.embedding]
    if vectors is None:
        raise UpstreamBroken("The upstream's answer has no embeddings.")
    usage = None
    if answer.prompt_eval_count is not None:
        usage = Usage(input=split(answer.prompt_eval_count)[0])
    return EmbeddingResponse(model=answer.model or "", vectors=vectors, usage=usage)


def encode_response(response: EmbeddingResponse, request: EmbeddingRequest) -> bytes:
    """The answer for a client."""
    body: dict[str, Any] = {
        "model": response.model or request.model,
        "embeddings": response.vectors,
    }
    if response.usage is not None:
        body["prompt_eval_count"] = response.usage.total_input
    return msgspec.json.encode(body)


EMBEDDINGS = EmbeddingCodecs(
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    endpoint=lambda model, many: "/api/embed",
)
