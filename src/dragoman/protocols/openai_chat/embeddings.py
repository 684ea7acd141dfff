"""``POST /embeddings``, both ways.

Source: ``openai.types.embedding_create_params``, ``create_embedding_response``. The Python SDK asks
for base64 unless told otherwise: little-endian float32, a third of the size of decimal numbers.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Any

import msgspec

from dragoman.canonical.embeddings import EmbeddingRequest, EmbeddingResponse
from dragoman.canonical.errors import InvalidRequest, UpstreamBroken
from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import own_extensions
from dragoman.protocols.base import EmbeddingCodecs, Encoded, ModelProfile, Target
from dragoman.protocols.openai_chat.context import merge_missing
from dragoman.protocols.openai_chat.parts import leftovers
from dragoman.protocols.openai_chat.types import PROTOCOL_ID
from dragoman.protocols.openai_shared.errors import error_in
from dragoman.protocols.openai_shared.usage import WireUsage, decode_usage
from dragoman.protocols.wire_json import read_client, read_upstream


class WireRequest(msgspec.Struct):
    """``input`` is a text, texts, a text's tokens or several texts' tokens."""

    input: str | list[str | int | list[int]]
    model: str | None = None
    dimensions: int | None = None
    encoding_format: str | None = None
    user: str | None = None


class Item(msgspec.Struct):
    embedding: str | list[float]
    index: int | None = None


class Answer(msgspec.Struct):
    data: list[Item] | None = None
    model: str | None = None
    usage: WireUsage | None = None
    error: Any = None
    base_resp: Any = None


_REQUEST = msgspec.json.Decoder(WireRequest)
_ANSWER = msgspec.json.Decoder(Answer)
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


def decode_request(body: bytes, target: Target) -> EmbeddingRequest:
    """Read a client's request. Raises InvalidRequest naming the field at fault."""
    wire = read_client(body, _REQUEST)
    model = target.model or wire.model
    if not model:
        raise InvalidRequest("You must provide a model.", param="model")
    inputs, single = _inputs(wire.input)
    rest = read_client(body, _OBJECT)
    for field in WireRequest.__struct_fields__:
        rest.pop(field, None)
    return EmbeddingRequest(
        model=model,
        inputs=inputs,
        single=single,
        dimensions=wire.dimensions,
        base64=wire.encoding_format == "base64",
        user=wire.user,
        extensions=leftovers(rest),
    )


def _inputs(given: str | list[str | int | list[int]]) -> tuple[list[str | list[int]], bool]:
    """(inputs, whether there is one bare input). Raises InvalidRequest for none and for a mixture."""
    if isinstance(given, str):
        return [given], True
    texts = [item for item in given if isinstance(item, str)]
    tokens = [item for item in given if isinstance(item, int)]
    lists = [item for item in given if isinstance(item, list) and item]
    if given and len(tokens) == len(given):
        return [tokens], True
    if given and len(texts) == len(given):
        return [*texts], False
    if given and len(lists) == len(given):
        return [*lists], False
    raise InvalidRequest(
        "'input' must be a text, a list of texts, a list of tokens or a list of token lists, and "
        "not empty.",
        param="input",
    )


def encode_request(request: EmbeddingRequest, profile: ModelProfile) -> Encoded:
    """The body for the upstream, with notes on what OpenAI's form cannot say."""
    notes = Notes()
    body: dict[str, Any] = {
        "model": profile.model or request.model,
        "input": request.inputs[0] if request.single else request.inputs,
    }
    for field in ("dimensions", "user"):
        value = getattr(request, field)
        if value is not None and field in profile.drops:
            notes.dropped(field, "refused by this provider")
        elif value is not None:
            body[field] = value
    if request.base64:
        body["encoding_format"] = "base64"
    for field in ("task_type", "title"):
        if getattr(request, field) is not None:
            notes.dropped(field, "OpenAI's embeddings have no such field")
    notes.foreign("", request.extensions, PROTOCOL_ID)
    merge_missing(body, own_extensions(request.extensions, PROTOCOL_ID))
    return Encoded(body=_encode(body), notes=notes.items)


def decode_response(body: bytes) -> EmbeddingResponse:
    """Read an upstream's answer, in base64 or in numbers. Raises the error it holds, or
    UpstreamBroken."""
    wire = read_upstream(body, _ANSWER)
    if (error := error_in({"error": wire.error, "base_resp": wire.base_resp})) is not None:
        raise error
    if wire.data is None:
        raise UpstreamBroken("The upstream's answer holds no embeddings.")
    items = enumerate(wire.data)
    in_order = sorted(items, key=lambda item: item[0] if item[1].index is None else item[1].index)
    return EmbeddingResponse(
        model=wire.model or "",
        vectors=[_vector(item.embedding) for _, item in in_order],
        usage=decode_usage(wire.usage) if wire.usage is not None else None,
    )


def _vector(embedding: str | list[float]) -> list[float]:
    if isinstance(embedding, list):
        return embedding
    try:
        packed = base64.b64decode(embedding, validate=True)
        return list(struct.unpack(f"<{len(packed) // 4}f", packed))
    except (binascii.Error, struct.error, ValueError):
        raise UpstreamBroken("An embedding is not valid base64 of float32 numbers.") from None


def encode_response(response: EmbeddingResponse, request: EmbeddingRequest) -> bytes:
    """Write the answer in the encoding that the client asked for."""
    write = _packed if request.base64 else list
    usage = response.usage.total_input if response.usage is not None else 0
    return _encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": i, "embedding": write(vector)}
                for i, vector in enumerate(response.vectors)
            ],
            "model": response.model or request.model,
            "usage": {"prompt_tokens": usage, "total_tokens": usage},
        }
    )


def _packed(vector: list[float]) -> str:
    try:
        packed = struct.pack(f"<{len(vector)}f", *vector)
    except OverflowError:
        raise UpstreamBroken("An embedding holds numbers that float32 cannot.") from None
    return base64.b64encode(packed).decode()


EMBEDDINGS = EmbeddingCodecs(
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    endpoint=lambda model, many: "/embeddings",
)
