"""Anthropic's Messages API: ``POST /v1/messages`` and ``/v1/messages/count_tokens``."""

from __future__ import annotations

from dragoman.canonical.events import Event
from dragoman.canonical.signature import Origin
from dragoman.protocols.anthropic_messages.encode import encode_request
from dragoman.protocols.anthropic_messages.errors import decode_error, encode_error
from dragoman.protocols.anthropic_messages.request import (
    decode_request,
    parse_request,
    repeat_request,
)
from dragoman.protocols.anthropic_messages.response import (
    decode_response,
    encode_response,
    glance_response,
)
from dragoman.protocols.anthropic_messages.stream_decoder import MessagesDecoder
from dragoman.protocols.anthropic_messages.stream_encoder import MessagesEncoder
from dragoman.protocols.anthropic_messages.tokens import TOKEN_COUNT
from dragoman.protocols.anthropic_messages.types import OLD_VERSION, PROTOCOL_ID
from dragoman.protocols.base import Parsed, Protocol
from dragoman.protocols.streams import SSERelay
from dragoman.wire.sse import SSEEvent, write_event


class MessagesRelay(SSERelay):
    """Forwards a stream untouched, but gives events their names: the Python SDK skips those without."""

    decoder: MessagesDecoder

    def rewrite(self, event: SSEEvent, events: list[Event]) -> bytes:
        """The upstream's bytes, or the event with its type as name; nothing for ``[DONE]``."""
        if event.event or event.data is None:
            return event.raw
        return write_event(event.data, self.decoder.kind) if self.decoder.kind else b""


def endpoint(model: str, stream: bool) -> str:
    """The path below a provider's base URL."""
    return "/v1/messages"


def stream_relay(parsed: Parsed, origin: Origin) -> MessagesRelay:
    """The relay for one answer."""
    return MessagesRelay(MessagesDecoder(origin))


PROTOCOL = Protocol(
    name=PROTOCOL_ID,
    title="Anthropic Messages",
    models_path="/v1/models",
    endpoint=endpoint,
    credential_header="x-api-key",
    headers={"anthropic-version": OLD_VERSION},
    parse_request=parse_request,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=MessagesEncoder,
    answer_prefix="msg_",
    encode_error=encode_error,
    encode_request=encode_request,
    decode_response=decode_response,
    glance_response=glance_response,
    stream_decoder=MessagesDecoder,
    decode_error=decode_error,
    repeat_request=repeat_request,
    stream_relay=stream_relay,
    token_count=TOKEN_COUNT,
)
