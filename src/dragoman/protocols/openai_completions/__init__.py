"""OpenAI's legacy completions, ``POST /completions``: a prompt in, its continuation out.

Read in this order: ``types``, ``request``, ``encode`` (with the quirks), ``response``, ``stream``.
"""

from __future__ import annotations

from dragoman.protocols.base import Protocol
from dragoman.protocols.openai_completions.encode import encode_request, repeat_request
from dragoman.protocols.openai_completions.request import decode_request, parse_request
from dragoman.protocols.openai_completions.response import decode_response, encode_response
from dragoman.protocols.openai_completions.stream import (
    CompletionsDecoder,
    CompletionsEncoder,
    stream_relay,
)
from dragoman.protocols.openai_completions.types import PROTOCOL_ID
from dragoman.protocols.openai_shared.errors import decode_error, encode_error


def endpoint(model: str, stream: bool) -> str:
    """The path below a provider's base URL."""
    return "/completions"


PROTOCOL = Protocol(
    name=PROTOCOL_ID,
    title="OpenAI Completions (legacy)",
    models_path="/models",
    endpoint=endpoint,
    headers={},
    parse_request=parse_request,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=CompletionsEncoder,
    answer_prefix="cmpl-",
    encode_error=encode_error,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=CompletionsDecoder,
    decode_error=decode_error,
    repeat_request=repeat_request,
    stream_relay=stream_relay,
)
