"""OpenAI Responses: ``POST /responses``.

Read in this order: ``types``, ``marks`` (what rides along), ``content``, ``tools``, ``items``, then
the request (``request``, ``history``, ``encode``), the answer (``echo``, ``output``, ``response``,
``usage``), the stream (``stream_decoder``, ``stream_parts``, ``stream_encoder``), ``errors`` and
``tokens``. The quirks a provider may set are in ``encode``.
"""

from __future__ import annotations

from dragoman.canonical.signature import Origin
from dragoman.protocols.base import Parsed, Protocol, StreamRelay, bytes_only
from dragoman.protocols.openai_responses.encode import encode_request, repeat_request
from dragoman.protocols.openai_responses.marks import ID
from dragoman.protocols.openai_responses.request import decode_request, parse_request
from dragoman.protocols.openai_responses.response import decode_response, encode_response
from dragoman.protocols.openai_responses.stream_decoder import ResponsesStreamDecoder
from dragoman.protocols.openai_responses.stream_encoder import ResponsesStreamEncoder
from dragoman.protocols.openai_responses.tokens import TOKEN_COUNT
from dragoman.protocols.openai_shared.errors import decode_error, encode_error
from dragoman.protocols.streams import SSERelay


def _endpoint(model: str, stream: bool) -> str:
    return "/responses"


def _relay(parsed: Parsed, origin: Origin) -> StreamRelay:
    return SSERelay(ResponsesStreamDecoder(origin))


PROTOCOL = Protocol(
    name=ID,
    title="OpenAI Responses",
    models_path="/models",
    endpoint=_endpoint,
    bytes_only=lambda profile: (*bytes_only(profile), "audio"),
    headers={},
    parse_request=parse_request,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=ResponsesStreamEncoder,
    answer_prefix="resp_",
    encode_error=encode_error,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=ResponsesStreamDecoder,
    decode_error=decode_error,
    repeat_request=repeat_request,
    stream_relay=_relay,
    keeps_answers=True,
    token_count=TOKEN_COUNT,
)
