"""Counting tokens: ``:countTokens``. Source: https://ai.google.dev/api/tokens."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from dragoman.canonical.errors import InvalidRequest, UpstreamBroken
from dragoman.canonical.request import Request
from dragoman.protocols.base import Encoded, ModelProfile, Target, TokenCountCodecs
from dragoman.protocols.gemini_generate import types
from dragoman.protocols.gemini_generate.errors import in_stream_error
from dragoman.protocols.gemini_generate.reading import Reader
from dragoman.protocols.gemini_generate.request import decode_wire, require_model
from dragoman.protocols.gemini_generate.types import several
from dragoman.protocols.gemini_generate.upstream_request import build_request

_REQUESTS = Reader(types.CountTokensRequest)
_RESPONSES = Reader(types.CountTokensResponse)
_FLAT = ("contents", "systemInstruction", "tools", "generationConfig")


def decode_request(body: bytes, target: Target) -> Request:
    """``{"contents": …}`` or ``{"generateContentRequest": …}``. Raises InvalidRequest."""
    wire = _REQUESTS.client(body)
    model = require_model(target)
    request: types.GenerateContentRequest = wire
    path = "contents"
    if wire.generate_content_request is not None:
        request, path = wire.generate_content_request, "generateContentRequest.contents"
    if not several(request.contents):
        raise InvalidRequest(f"{path} must not be empty.", param=path)
    return decode_wire(request, model)


def encode_request(request: Request, profile: ModelProfile) -> Encoded:
    """Bare contents where there is nothing else; the Gemini API wants all the rest in
    ``generateContentRequest``, Vertex AI beside them. Raises InvalidRequest."""
    fields, notes = build_request(request, profile)
    if profile.quirks.get("flat_count_tokens", False) or fields.keys() == {"contents"}:
        body = {name: fields[name] for name in _FLAT if name in fields}
    else:
        body = {"generateContentRequest": {"model": f"models/{profile.model}", **fields}}
    return Encoded(body=msgspec.json.encode(body), notes=notes.items)


def decode_response(body: bytes) -> int:
    """The count. Raises UpstreamBroken, or the error that came in its place."""
    wire = _RESPONSES.upstream(body)
    if wire.error is not None:
        raise in_stream_error(wire.error)
    if wire.total_tokens is None:
        raise UpstreamBroken("The upstream's answer has no token count.")
    return max(wire.total_tokens, 0)


def encode_response(count: int) -> bytes:
    """The answer for a client."""
    return msgspec.json.encode({"totalTokens": count})


def endpoint(model: str) -> str:
    """Where to send it."""
    return f"/v1beta/models/{quote(model)}:countTokens"


TOKEN_COUNT = TokenCountCodecs(
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    endpoint=endpoint,
)
