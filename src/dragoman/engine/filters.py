"""What is done to an answer's events on their way from the upstream to the client."""

from __future__ import annotations

from dragoman.canonical.collect import collect, replay
from dragoman.canonical.events import Event
from dragoman.canonical.response import Response
from dragoman.canonical.signature import Origin
from dragoman.engine.flow import EventFilter
from dragoman.protocols.base import Protocol
from dragoman.protocols.think_tags import ThinkTags


def filter_for(
    upstream: Protocol, origin: Origin, client: Protocol, think_tag: str | None
) -> EventFilter | None:
    """The filter for one answer of ``origin``; None if nothing is to be done."""
    filters: list[EventFilter] = []
    if think_tag:
        filters.append(ThinkTags(think_tag))
    if upstream is not client and upstream.abroad is not None:
        filters.append(upstream.abroad(origin))
    if len(filters) < 2:
        return filters[0] if filters else None
    first, second = filters

    def both(event: Event) -> list[Event]:
        return [more for one in first(event) for more in second(one)]

    return both


def filtered(response: Response, event_filter: EventFilter | None) -> Response:
    """A whole answer, filtered as if it had been streamed."""
    if event_filter is None:
        return response
    return collect(more for event in replay(response) for more in event_filter(event))
