"""``POST /v1/messages/count_tokens`` (``anthropic.types.message_tokens_count``)."""

from __future__ import annotations

import msgspec

from dragoman.protocols.anthropic_messages.blocks import JSON
from dragoman.protocols.anthropic_messages.encode import encode_count
from dragoman.protocols.anthropic_messages.request import decode_count
from dragoman.protocols.anthropic_messages.types import TokenCount
from dragoman.protocols.base import TokenCountCodecs
from dragoman.protocols.wire_json import read_upstream

_COUNT = msgspec.json.Decoder(TokenCount)


def decode_answer(body: bytes) -> int:
    """The count an upstream answers; raises UpstreamBroken."""
    return max(0, read_upstream(body, _COUNT, "token count").input_tokens)


def encode_answer(count: int) -> bytes:
    """The client's answer."""
    return JSON.encode({"input_tokens": count})


def endpoint(model: str) -> str:
    """The path below a provider's base URL."""
    return "/v1/messages/count_tokens"


TOKEN_COUNT = TokenCountCodecs(
    decode_request=decode_count,
    encode_request=encode_count,
    decode_response=decode_answer,
    encode_response=encode_answer,
    endpoint=endpoint,
)
