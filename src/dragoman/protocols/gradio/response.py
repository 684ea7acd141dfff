"""A job's events, read at one go."""

from __future__ import annotations

from dragoman.canonical.collect import collect
from dragoman.canonical.response import Response
from dragoman.canonical.signature import Origin
from dragoman.protocols.base import StreamDecoder, all_events
from dragoman.protocols.gradio.stream import GradioDecoder


def decode_response(body: bytes, origin: Origin) -> Response:
    """The answer in a whole event stream. Raises UpstreamError."""
    return collect(all_events(whole_decoder(origin), [body]))


def whole_decoder(origin: Origin) -> StreamDecoder:
    """For an answer that leaves whole."""
    return GradioDecoder(origin, whole=True)
