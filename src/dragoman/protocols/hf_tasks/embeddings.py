"""Embeddings: ``{inputs}`` in, vectors out; for clients.

The documented form answers ``{output: [{embedding}]}``, ``run`` adds the task and the model, and the
native form is bare arrays: one vector for one text, several for a list (huggingface.js
``packages/tasks/src/tasks/feature-extraction/spec``).
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from dragoman.canonical.embeddings import EmbeddingRequest, EmbeddingResponse
from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Json
from dragoman.protocols.base import EmbeddingCodecs, Target
from dragoman.protocols.hf_tasks.types import PROTOCOL_ID, Name
from dragoman.protocols.hf_tasks.upstream_side import refuse
from dragoman.protocols.wire_json import read_client

_Texts = Annotated[list[str], msgspec.Meta(max_length=10_000)]
_ROOT_ONLY = ("normalize", "prompt_name", "truncate", "truncation_direction")


class _Text(msgspec.Struct):
    text: str


class _Parameters(msgspec.Struct):
    model: Name | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None


class _Body(msgspec.Struct, kw_only=True):
    inputs: str | _Texts | _Text
    model: Name | None = None
    parameters: _Parameters | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    normalize: Json = None
    prompt_name: Json = None
    truncate: Json = None
    truncation_direction: Json = None


_body = msgspec.json.Decoder(_Body)
_encode = msgspec.json.Encoder().encode


def decode_request(body: bytes, target: Target) -> EmbeddingRequest:
    """Read a client's request; the model is empty if it named none. Raises InvalidRequest naming the
    field at fault."""
    wire = read_client(body, _body)
    inputs = wire.inputs.text if isinstance(wire.inputs, _Text) else wire.inputs
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not texts or not all(text.strip() for text in texts):
        raise InvalidRequest(
            "'inputs' must be a text, or a list of texts, none empty.", param="inputs"
        )
    given = wire.parameters or _Parameters()
    extra = {name: value for name in _ROOT_ONLY if (value := getattr(wire, name)) is not None}
    return EmbeddingRequest(
        model=target.model or wire.model or given.model or "",
        inputs=[*texts],
        single=isinstance(inputs, str),
        dimensions=wire.dimensions or given.dimensions,
        extensions={PROTOCOL_ID: extra} if extra else None,
    )


def encode_seed(response: EmbeddingResponse, request: EmbeddingRequest) -> bytes:
    """The answer of the task's own route."""
    return _encode(_seed(response))


def encode_run(response: EmbeddingResponse, request: EmbeddingRequest) -> bytes:
    """The answer of the route for any task."""
    return _encode({**_seed(response), "task": "embedding", "model": request.model})


def encode_native(response: EmbeddingResponse, request: EmbeddingRequest) -> bytes:
    """The answer for Hugging Face's own clients."""
    return _encode(response.vectors[0] if request.single else response.vectors)


def _seed(response: EmbeddingResponse) -> dict[str, Any]:
    return {"output": [{"embedding": vector} for vector in response.vectors]}


def _codecs(encode: Any) -> EmbeddingCodecs:
    return EmbeddingCodecs(
        decode_request=decode_request,
        encode_request=refuse,
        decode_response=refuse,
        encode_response=encode,
        endpoint=refuse,
    )


EMBEDDING_FORMS = {
    "seed": _codecs(encode_seed),
    "run": _codecs(encode_run),
    "native": _codecs(encode_native),
}
