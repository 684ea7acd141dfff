"""Forwarding chat and completions: the client's bytes upstream, the upstream's bytes back."""

from __future__ import annotations

import msgspec

from dragoman.canonical.events import Event
from dragoman.protocols.base import ModelProfile, Parsed
from dragoman.protocols.openai_shared.stream_decoder import ChunkStreamDecoder
from dragoman.protocols.streams import SSERelay
from dragoman.protocols.wire_json import read_client
from dragoman.wire.sse import SSEEvent, write_event

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def repeat_body(parsed: Parsed, profile: ModelProfile) -> bytes:
    """The client's own body; only the model's name and the wish for usage in a stream may change.

    What else is in it keeps its order and its bytes, because prompt caches upstream are keyed by
    them.
    """
    fields = read_client(parsed.body, _FIELDS)
    changed: dict[str, bytes] = {}
    model = _encode(profile.model or parsed.model)
    if model != bytes(fields.get("model", b"")):
        changed["model"] = model
    if parsed.stream and not parsed.include_usage and profile.quirks.get("stream_usage", True):
        options = bytes(fields.get("stream_options", b"null"))
        wanted = {} if options == b"null" else read_client(options, _FIELDS)
        wanted["include_usage"] = msgspec.Raw(b"true")
        changed["stream_options"] = _encode(wanted)
    if not changed:
        return parsed.body
    fields.update({name: msgspec.Raw(value) for name, value in changed.items()})
    return _encode(fields)


class ChunkRelay(SSERelay):
    """Forwards chunks as they are, but for two: the usage that only the gateway asked for is kept
    from the client, and a choice that ends without a finish reason is given one, without which
    opencode asks again and again."""

    decoder: ChunkStreamDecoder

    def __init__(self, decoder: ChunkStreamDecoder, parsed: Parsed) -> None:
        super().__init__(decoder)
        self._show_usage = parsed.include_usage

    def rewrite(self, event: SSEEvent, events: list[Event]) -> bytes:
        """The event as it came, nothing for hidden usage, what is owed before ``[DONE]``."""
        if self.decoder.usage_only and not self._show_usage:
            return b""
        return self._owed() + event.raw if self.decoder.ended else event.raw

    def closing(self, events: list[Event]) -> bytes:
        """What a stream without ``[DONE]`` owes."""
        return self._owed()

    def _owed(self) -> bytes:
        return b"".join([write_event(_encode(chunk)) for chunk in self.decoder.take_owed()])
