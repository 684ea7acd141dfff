"""Google's generateContent, as the Gemini API and Vertex AI speak it.

Read in this order: ``types`` and ``reading``; ``request`` (from a client) and ``upstream_request`` with
``contents`` (to Google), both over ``parts``, ``media``, ``tools``, ``settings``, ``schema`` and
``openapi``; ``answer`` (from Google), ``response`` and ``stream``; ``errors``.
"""

from __future__ import annotations

from urllib.parse import quote

from dragoman.protocols.base import Protocol
from dragoman.protocols.gemini_generate.abroad import Abroad
from dragoman.protocols.gemini_generate.embeddings import EMBEDDINGS
from dragoman.protocols.gemini_generate.errors import decode_error, encode_error
from dragoman.protocols.gemini_generate.request import (
    decode_request,
    parse_request,
    repeat_request,
)
from dragoman.protocols.gemini_generate.response import decode_response, encode_response
from dragoman.protocols.gemini_generate.stream import Decoder, Encoder, stream_relay
from dragoman.protocols.gemini_generate.tokens import TOKEN_COUNT
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID
from dragoman.protocols.gemini_generate.upstream_request import encode_request
from dragoman.protocols.gemini_generate.vertex_predict import VERTEX_EMBEDDINGS

__all__ = ["PROTOCOL", "VERTEX_EMBEDDINGS"]


def _endpoint(model: str, stream: bool) -> str:
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/models/{quote(model)}:{verb}"


PROTOCOL = Protocol(
    name=PROTOCOL_ID,
    title="Gemini generateContent",
    endpoint=_endpoint,
    models_path="/v1beta/models",
    credential_header="x-goog-api-key",
    headers={},
    parse_request=parse_request,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=Encoder,
    encode_error=encode_error,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=Decoder,
    abroad=Abroad,
    decode_error=decode_error,
    repeat_request=repeat_request,
    stream_relay=stream_relay,
    embeddings=EMBEDDINGS,
    embedding_forms={"predict": VERTEX_EMBEDDINGS},
    token_count=TOKEN_COUNT,
)
