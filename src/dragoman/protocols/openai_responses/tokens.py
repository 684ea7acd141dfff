"""Counting input tokens: ``POST /responses/input_tokens``.

Source: ``openai.types.responses.input_token_count_params`` and ``input_token_count_response``.
"""

from __future__ import annotations

import msgspec

from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.request import Request
from dragoman.protocols.base import Encoded, ModelProfile, Target, TokenCountCodecs
from dragoman.protocols.openai_responses.encode import encode_request
from dragoman.protocols.openai_responses.request import decode_request, parse_request
from dragoman.protocols.openai_shared.errors import error_in
from dragoman.protocols.wire_json import read_upstream

_OBJECT = "response.input_tokens"
_FIELDS = frozenset(
    {
        "conversation",
        "input",
        "instructions",
        "model",
        "parallel_tool_calls",
        "personality",
        "previous_response_id",
        "reasoning",
        "text",
        "tool_choice",
        "tools",
        "truncation",
    }
)
"""What the endpoint takes; everything else it refuses, and nothing else weighs on the count."""

_encode = msgspec.json.Encoder().encode
_read_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Count(msgspec.Struct):
    input_tokens: int | None = None
    error: object = None


_read = msgspec.json.Decoder(_Count)


def decode_count_request(body: bytes, target: Target) -> Request:
    """The request whose tokens are to be counted. Raises InvalidRequest."""
    return decode_request(parse_request(body, target))


def encode_count_request(request: Request, profile: ModelProfile) -> Encoded:
    """The upstream's body: a generation request without what only generating needs."""
    encoded = encode_request(request, profile)
    body = _read_raw.decode(encoded.body)
    kept = {name: value for name, value in body.items() if name in _FIELDS}
    return Encoded(body=_encode(kept), notes=encoded.notes)


def decode_count_response(body: bytes) -> int:
    """The count. Raises UpstreamBroken, or the error that the body holds."""
    answer = read_upstream(body, _read)
    if (error := error_in({"error": answer.error})) is not None:
        raise error
    if answer.input_tokens is None or answer.input_tokens < 0:
        raise UpstreamBroken("The upstream's answer holds no token count.")
    return answer.input_tokens


def encode_count_response(count: int) -> bytes:
    """The client's answer."""
    return _encode({"object": _OBJECT, "input_tokens": count})


def _endpoint(model: str) -> str:
    return "/responses/input_tokens"


TOKEN_COUNT = TokenCountCodecs(
    decode_request=decode_count_request,
    encode_request=encode_count_request,
    decode_response=decode_count_response,
    encode_response=encode_count_response,
    endpoint=_endpoint,
)
