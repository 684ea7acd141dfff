"""A streamed answer on its way from upstream bytes to client bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol as Interface

from dragoman.canonical.errors import GatewayError
from dragoman.canonical.events import Event, Start
from dragoman.protocols.base import StreamDecoder, StreamEncoder

EventFilter = Callable[[Event], list[Event]]


class Flow(Interface):
    """What forwarding (``StreamRelay``) and translating have in common."""

    @property
    def ended(self) -> bool: ...

    def feed(self, chunk: bytes) -> tuple[bytes, list[Event]]: ...

    def finish(self) -> tuple[bytes, list[Event]]: ...

    def error(self, error: GatewayError) -> bytes | None: ...


class Translation:
    """Decodes one protocol and encodes another."""

    def __init__(
        self,
        decoder: StreamDecoder,
        encoder: StreamEncoder,
        event_filter: EventFilter | None = None,
        entitle: Callable[[Start], None] | None = None,
    ) -> None:
        """``event_filter`` changes the events between the two, ``entitle`` completes the first one."""
        self._decoder = decoder
        self._encoder = encoder
        self._filter = event_filter
        self._entitle = entitle

    @property
    def ended(self) -> bool:
        """The upstream's terminal marker has come."""
        return self._decoder.ended

    def feed(self, chunk: bytes) -> tuple[bytes, list[Event]]:
        """(client bytes, events) for some upstream bytes."""
        events = self._filtered(self._decoder.feed(chunk))
        if self._entitle is not None:
            self._begin(events, self._entitle)
        return self._encode(events), events

    def finish(self) -> tuple[bytes, list[Event]]:
        """(closing bytes, events); raises UpstreamBroken if the stream was cut short."""
        events = self._filtered(self._decoder.finish())
        if self._entitle is not None:
            self._begin(events, self._entitle)
        return self._encode(events) + self._encoder.finish(), events

    def error(self, error: GatewayError) -> bytes:
        """The client's in-stream error, in the state its stream has reached."""
        return self._encoder.error(error)

    def _begin(self, events: list[Event], entitle: Callable[[Start], None]) -> None:
        for event in events:
            if isinstance(event, Start):
                entitle(event)
                self._entitle = None
                return

    def _filtered(self, events: list[Event]) -> list[Event]:
        if self._filter is None:
            return events
        return [more for event in events for more in self._filter(event)]

    def _encode(self, events: Iterable[Event]) -> bytes:
        return b"".join([self._encoder.feed(event) for event in events])
