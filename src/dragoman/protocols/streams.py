"""What the streams of all server-sent-event protocols share."""

from __future__ import annotations

from dragoman.canonical.errors import GatewayError, UpstreamBroken
from dragoman.canonical.events import Event
from dragoman.wire.errors import FramingError
from dragoman.wire.sse import SSEEvent, SSEReader


class SSEStreamDecoder:
    """Base of the decoders: framing here, meaning in ``on_event`` and ``on_finish``."""

    def __init__(self) -> None:
        self._reader = SSEReader()
        self._ended = False

    @property
    def ended(self) -> bool:
        """The terminal marker has come."""
        return self._ended

    def on_event(self, event: SSEEvent) -> list[Event]:
        """Read one server-sent event (``event.data`` None is a comment)."""
        raise NotImplementedError

    def on_finish(self) -> list[Event]:
        """Close what the end of the stream closes; raises UpstreamBroken if it was cut short."""
        raise NotImplementedError

    def feed(self, chunk: bytes) -> list[Event]:
        """Events completed by ``chunk``."""
        events: list[Event] = []
        for event in _frames(self._reader, chunk):
            events += self.on_event(event)
        return events

    def finish(self) -> list[Event]:
        """Events completed by the end of the stream."""
        events: list[Event] = []
        for event in self._reader.finish():
            events += self.on_event(event)
        return events + self.on_finish()


class SSERelay:
    """Forwards server-sent events untouched and lets a decoder look at each.

    Protocols that must hide or add something override ``rewrite`` and ``closing``.
    """

    def __init__(self, decoder: SSEStreamDecoder) -> None:
        self.decoder = decoder
        self._reader = SSEReader()
        self._deferred: GatewayError | None = None

    @property
    def ended(self) -> bool:
        """The terminal marker has come."""
        return self.decoder.ended

    def rewrite(self, event: SSEEvent, events: list[Event]) -> bytes:
        """The client's bytes for one upstream event, given what it meant."""
        return event.raw

    def closing(self, events: list[Event]) -> bytes:
        """Bytes to add at the end, given the events that the end completed."""
        return b""

    def error(self, error: GatewayError) -> bytes | None:
        """As StreamRelay.error: here the encoder's form follows any event."""
        return None

    def feed(self, chunk: bytes) -> tuple[bytes, list[Event]]:
        """(bytes for the client, events); an in-stream error is raised by the next call."""
        self._raise_deferred()
        return self._forward(_frames(self._reader, chunk))

    def finish(self) -> tuple[bytes, list[Event]]:
        """(closing bytes, events); raises UpstreamBroken if the stream was cut short."""
        self._raise_deferred()
        data, events = self._forward(self._reader.finish())
        self._raise_deferred()
        closing = self.decoder.on_finish()
        return data + self.closing(closing), events + closing

    def _forward(self, frames: list[SSEEvent]) -> tuple[bytes, list[Event]]:
        out: list[bytes] = []
        events: list[Event] = []
        for frame in frames:
            try:
                seen = self.decoder.on_event(frame)
            except GatewayError as error:
                self._deferred = error
                break
            events += seen
            out.append(self.rewrite(frame, seen))
        return b"".join(out), events

    def _raise_deferred(self) -> None:
        if self._deferred is not None:
            error, self._deferred = self._deferred, None
            raise error


def _frames(reader: SSEReader, chunk: bytes) -> list[SSEEvent]:
    try:
        return reader.feed(chunk)
    except FramingError as error:
        raise UpstreamBroken(f"The upstream's stream is not readable: {error}.") from None
