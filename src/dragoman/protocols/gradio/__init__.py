"""Gradio apps: servers whose endpoints, arguments and manners of answering are their authors' choice.

Spoken to upstreams only, and not in one request: the codec here writes a ``Question``, and the
provider's opener (``providers.gradio_space``) looks up what the app takes, uploads files and queues the
job; the stream of its events is what comes back here.

Read in this order: ``types``, ``request``; ``site`` (what a server says of itself), ``endpoint``,
``roles``, ``flags``, ``history``, ``arguments`` (from question to call); ``diff``, ``thoughts``,
``answer``, ``growth``, ``stream``, ``response`` (from events to answer); ``errors``.
"""

from __future__ import annotations

from dragoman.protocols.base import Protocol
from dragoman.protocols.gradio.client_side import refuse
from dragoman.protocols.gradio.errors import decode_error
from dragoman.protocols.gradio.request import encode_request
from dragoman.protocols.gradio.response import decode_response, whole_decoder
from dragoman.protocols.gradio.stream import GradioDecoder
from dragoman.protocols.gradio.types import PROTOCOL_ID


def endpoint(model: str, stream: bool) -> str:
    """Where a question would go if there were one place for it; the opener knows better."""
    return "/"


PROTOCOL = Protocol(
    name=PROTOCOL_ID,
    title="Gradio",
    client_side=False,
    bytes_only=lambda profile: ("image", "audio", "video", "document"),
    endpoint=endpoint,
    headers={},
    parse_request=refuse,
    decode_request=refuse,
    encode_response=refuse,
    stream_encoder=refuse,
    encode_error=refuse,
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=GradioDecoder,
    whole_decoder=whole_decoder,
    decode_error=decode_error,
    repeat_request=refuse,
    stream_relay=refuse,
)
