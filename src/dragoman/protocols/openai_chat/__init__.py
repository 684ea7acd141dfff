"""OpenAI Chat Completions, ``POST /chat/completions``, and what compatible servers made of it.

Read in this order: ``types``; the parts of a message (``context``, ``parts``, ``reasoning``,
``tools``); a client's request (``messages``, ``request``); the upstream's (``encode_messages``,
``encode``); whole answers (``answer_types``, ``response``); streams (``choice_reader``,
``stream_decoder``, ``part_writers``, ``stream_encoder``); ``embeddings``. What
all OpenAI protocols do alike (errors, usage, finish reasons, the frame of streams, forwarding) is in
``openai_shared``.

The quirks that a provider or model may set are the fields of ``context.Quirks``, each explained
there. ``profile.drops`` may name, besides settings, ``tool_choice``, ``parallel_tool_calls``,
``output`` and ``reasoning``, also ``strict`` (of tools and schemas) and ``name`` (of messages).
"""

from __future__ import annotations

from collections.abc import Collection

from dragoman.protocols import base
from dragoman.protocols.base import ModelProfile, Protocol
from dragoman.protocols.openai_chat.embeddings import EMBEDDINGS
from dragoman.protocols.openai_chat.encode import encode_request, repeat_request
from dragoman.protocols.openai_chat.images import IMAGES
from dragoman.protocols.openai_chat.request import decode_request, parse_request
from dragoman.protocols.openai_chat.response import (
    decode_response,
    encode_response,
    glance_response,
)
from dragoman.protocols.openai_chat.stream_decoder import ChatStreamDecoder, stream_relay
from dragoman.protocols.openai_chat.stream_encoder import ChatStreamEncoder
from dragoman.protocols.openai_chat.types import PROTOCOL_ID
from dragoman.protocols.openai_shared.errors import decode_error, encode_error


def endpoint(model: str, stream: bool) -> str:
    """The path below a provider's base URL."""
    return "/chat/completions"


def bytes_only(profile: ModelProfile) -> Collection[str]:
    """Images go by their address; documents do where the provider says so."""
    documents = () if profile.quirks.get("file_url") else ("document",)
    return (*base.bytes_only(profile), "audio", *documents)


PROTOCOL = Protocol(
    name=PROTOCOL_ID,
    title="OpenAI Chat Completions",
    models_path="/models",
    endpoint=endpoint,
    bytes_only=bytes_only,
    headers={},
    parse_request=parse_request,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=ChatStreamEncoder,
    answer_prefix="chatcmpl-",
    encode_error=encode_error,
    encode_request=encode_request,
    decode_response=decode_response,
    glance_response=glance_response,
    stream_decoder=ChatStreamDecoder,
    decode_error=decode_error,
    repeat_request=repeat_request,
    stream_relay=stream_relay,
    embeddings=EMBEDDINGS,
    images=IMAGES,
)
