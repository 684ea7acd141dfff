"""Ollama's native chat API.

``types`` is the wire; ``request`` reads clients, ``encode`` and ``messages`` write for upstreams;
``response`` and ``stream`` do answers both ways; ``errors`` and ``embeddings`` likewise.
"""

from __future__ import annotations

from dragoman.protocols.base import Protocol
from dragoman.protocols.ollama_chat.embeddings import EMBEDDINGS
from dragoman.protocols.ollama_chat.encode import encode_request
from dragoman.protocols.ollama_chat.errors import decode_error, encode_error
from dragoman.protocols.ollama_chat.request import decode_request, parse_request, repeat_request
from dragoman.protocols.ollama_chat.response import decode_response, encode_response
from dragoman.protocols.ollama_chat.stream import Decoder, Encoder, Relay
from dragoman.protocols.ollama_chat.types import PROTOCOL_ID

PROTOCOL = Protocol(
    name=PROTOCOL_ID,
    title="Ollama chat",
    endpoint=lambda model, stream: "/api/chat",
    bytes_only=lambda profile: ("image",),
    models_path="/api/tags",
    headers={},
    stream_media_type="application/x-ndjson",
    parse_request=parse_request,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=Encoder,
    encode_error=encode_error,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=Decoder,
    decode_error=decode_error,
    repeat_request=repeat_request,
    stream_relay=Relay,
    embeddings=EMBEDDINGS,
)
