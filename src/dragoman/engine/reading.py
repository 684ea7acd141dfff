"""Reading an upstream's event stream, for a client that streams and for one that does not."""

from __future__ import annotations

from collections.abc import Callable

from dragoman.canonical.collect import Collector
from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.events import Event, PartDelta
from dragoman.canonical.response import Response
from dragoman.canonical.signature import Origin
from dragoman.engine.estimate import EstimatedUsage
from dragoman.engine.reply import MAX_REPLY_BYTES, UpstreamReply
from dragoman.protocols.base import Protocol, StreamDecoder


def decoder_for(
    upstream: Protocol, origin: Origin, input_tokens: Callable[[], int], *, whole: bool = False
) -> StreamDecoder:
    """The protocol's decoder, with an estimate of the usage where the upstream tells none, for which
    ``input_tokens`` counts what was asked; ``whole``: the answer leaves in one piece."""
    make = upstream.whole_decoder if whole else None
    return EstimatedUsage((make or upstream.stream_decoder)(origin), input_tokens)


async def read_to_end(reply: UpstreamReply, decoder: StreamDecoder) -> Response:
    """The whole answer out of a stream, read no further than its end. Raises UpstreamError.

    What is limited is the answer, not the stream: some upstreams repeat all of it in every event.
    """
    reply.began()
    collector = Collector()
    size = 0

    def take(events: list[Event]) -> None:
        nonlocal size
        for event in events:
            collector.feed(event)
            if isinstance(event, PartDelta):
                size += len(event.text)
        if size > MAX_REPLY_BYTES:
            raise UpstreamBroken(f"The upstream's answer exceeds {MAX_REPLY_BYTES} bytes.")

    while not decoder.ended and (chunk := await reply.chunk()):
        take(decoder.feed(chunk))
    take(decoder.finish())
    return collector.finish()
