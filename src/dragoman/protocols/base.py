"""The contract of a wire protocol, in both directions.

A protocol is a folder with ``types.py`` (what the wire looks like), ``request.py``, ``response.py``,
``stream.py``, ``errors.py`` and, where it has them, ``embeddings.py`` and ``tokens.py``. Its
``__init__.py`` gathers them into one ``Protocol`` value named ``PROTOCOL``. Everything is sans-IO:
bytes and values in, bytes and values out; the only exceptions raised are ``canonical.errors``.

*Client side* (a client speaks it to us): ``parse_request`` → ``decode_request`` …
``encode_response`` / ``stream_encoder`` / ``encode_error``.
*Upstream side* (we speak it to a provider): ``encode_request`` → ``decode_response`` /
``stream_decoder`` / ``decode_error``.
*Same on both sides*: ``repeat_request`` and ``StreamRelay`` forward bytes and only look.

A protocol that is spoken to upstreams only says so (``client_side``); what it has of the client's side
then raises InvalidRequest. One that is spoken by clients only says so, too (``upstream_side``), and what
it has of the upstream's side raises UpstreamRejected.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from typing import Protocol as Interface

import msgspec

from dragoman.canonical.embeddings import EmbeddingRequest, EmbeddingResponse
from dragoman.canonical.errors import GatewayError
from dragoman.canonical.events import Event
from dragoman.canonical.images import ImageRequest, ImageResponse
from dragoman.canonical.notes import Note
from dragoman.canonical.request import Request
from dragoman.canonical.response import Response
from dragoman.canonical.signature import Origin
from dragoman.wire.http import HttpReply

BYTES_ONLY = "bytes_only"
"""A quirk of any protocol: the kinds of media (``image``, ``audio``, ``video``, ``document``) that the
provider takes as bytes only; the engine fetches those that a client gives by address."""


class Target(msgspec.Struct, kw_only=True, frozen=True):
    """What the URL and the headers say about a request, for protocols that put it there.

    ``model``, ``stream`` and ``framing`` come from Gemini's path and query; ``version`` is
    ``anthropic-version``; ``betas`` is ``anthropic-beta`` split at commas. ``task`` and ``form`` are of
    Hugging Face's task API (``hf_tasks.types``).
    """

    model: str | None = None
    stream: bool | None = None
    framing: Literal["sse", "json_array", "ndjson"] = "sse"
    version: str | None = None
    betas: tuple[str, ...] = ()
    task: str = ""
    form: str = ""


class Parsed(msgspec.Struct, kw_only=True):
    """A client's request, read just far enough to route it and to know that it is well-formed.

    ``wire`` is the protocol's own typed form (``types.py``); ``decode_request`` turns it into the
    canonical one, which same-protocol forwarding never needs. ``session`` is the client's own name for
    the conversation, if it gave one, and ``previous`` the stored answer that the request continues:
    both say where it had better go. ``answers`` is how many the client wants, each of
    ``max_output_tokens`` at most. ``operation`` is what the request is called in logs and metrics, if
    not ``generate``.
    """

    body: bytes
    wire: Any
    model: str
    stream: bool = False
    include_usage: bool = False
    max_output_tokens: int | None = None
    answers: int = 1
    target: Target = Target()
    session: str = ""
    previous: str = ""
    operation: str = ""


class ModelProfile(msgspec.Struct, kw_only=True, frozen=True):
    """Facts about the model and provider a request is encoded for; data, never guessed from names
    inside a codec.

    ``drops`` names canonical settings (``temperature``, ``logit_bias`` …) the provider refuses;
    ``quirks`` are provider switches a codec understands (listed in each codec's docstring).
    ``max_output_tokens`` is the model's ceiling and the value used where the protocol demands one and
    the client gave none.
    """

    provider: str = ""
    model: str = ""
    max_output_tokens: int | None = None
    drops: frozenset[str] = frozenset()
    quirks: Mapping[str, Any] = {}


def bytes_only(profile: ModelProfile) -> Collection[str]:
    """What the provider itself says of it; most protocols take addresses."""
    kinds: Collection[str] = profile.quirks.get(BYTES_ONLY, ())
    return kinds if isinstance(kinds, list | tuple) else (str(kinds),)


class Encoded(msgspec.Struct, kw_only=True):
    """An upstream request body, what became of each field, and headers the body calls for."""

    body: bytes
    notes: list[Note] = msgspec.field(default_factory=list)
    headers: dict[str, str] = msgspec.field(default_factory=dict)


class StreamDecoder(Interface):
    """Upstream bytes → events."""

    @property
    def ended(self) -> bool:
        """The protocol's terminal marker has come: nothing more needs to be read."""
        ...

    def feed(self, chunk: bytes) -> list[Event]:
        """Events completed by ``chunk``. Raises a GatewayError for an in-stream error or nonsense."""
        ...

    def finish(self) -> list[Event]:
        """Events that the end of the stream completes. Raises UpstreamBroken if the protocol's
        terminal marker never came."""
        ...


class StreamEncoder(Interface):
    """Events → client bytes."""

    def feed(self, event: Event) -> bytes:
        """Bytes for one event; may be empty."""
        ...

    def finish(self) -> bytes:
        """Closing bytes. A finish reason is always written, even if no event brought one."""
        ...

    def error(self, error: GatewayError) -> bytes:
        """The protocol's in-stream error, after which nothing follows."""
        ...

    def ping(self) -> bytes:
        """A keep-alive that no client of this protocol trips over; empty if there is none."""
        ...


class StreamRelay(Interface):
    """Forwards a same-protocol stream's bytes and reads events off them."""

    @property
    def ended(self) -> bool:
        """As StreamDecoder.ended."""
        ...

    def feed(self, chunk: bytes) -> tuple[bytes, list[Event]]:
        """Bytes for the client (usually those that came) and the events they hold. An in-stream
        error is raised as a GatewayError, by the call after the one that returned what preceded
        it."""
        ...

    def finish(self) -> tuple[bytes, list[Event]]:
        """As StreamDecoder.finish."""
        ...

    def error(self, error: GatewayError) -> bytes | None:
        """The in-stream error that continues what was forwarded so far; None if it is what a fresh
        StreamEncoder writes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingCodecs:
    """Embeddings in one protocol. ``endpoint(model, many)`` → path below the base URL."""

    decode_request: Callable[[bytes, Target], EmbeddingRequest]
    encode_request: Callable[[EmbeddingRequest, ModelProfile], Encoded]
    decode_response: Callable[[bytes], EmbeddingResponse]
    encode_response: Callable[[EmbeddingResponse, EmbeddingRequest], bytes]
    endpoint: Callable[[str, bool], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCodecs:
    """Making images in one protocol that upstreams speak. ``endpoint(model)`` → path below the base
    URL."""

    encode_request: Callable[[ImageRequest, ModelProfile], Encoded]
    decode_response: Callable[[bytes], ImageResponse]
    endpoint: Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageForm:
    """How a client asks for images and has them. ``encode_response`` → (body, its content type)."""

    decode_request: Callable[[bytes, Target], ImageRequest]
    encode_response: Callable[[ImageResponse, ImageRequest], tuple[bytes, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCountCodecs:
    """Counting input tokens in one protocol; the request is a generation request.

    ``encode_request`` gives the upstream body, ``decode_response`` the count it answers,
    ``encode_response(count, Parsed)`` the client's answer.
    """

    decode_request: Callable[[bytes, Target], Request]
    encode_request: Callable[[Request, ModelProfile], Encoded]
    decode_response: Callable[[bytes], int]
    encode_response: Callable[[int], bytes]
    endpoint: Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One wire protocol.

    ``endpoint(model, stream)`` is the path and query below a provider's base URL.
    ``credential_header`` is where the provider expects its key (``authorization`` carries
    ``Bearer``). ``headers`` go with every upstream request.
    """

    name: str
    title: str
    client_side: bool = True
    """Clients speak it to us, too."""
    upstream_side: bool = True
    """We speak it to providers, too."""
    bytes_only: Callable[[ModelProfile], Collection[str]] = bytes_only
    """The kinds of media that upstreams take as bytes only, where the client speaks another protocol."""
    endpoint: Callable[[str, bool], str]
    models_path: str = ""
    """Where a provider lists its models, below the base URL; empty if nowhere."""
    credential_header: str = "authorization"
    headers: Mapping[str, str]

    parse_request: Callable[[bytes, Target], Parsed]
    decode_request: Callable[[Parsed], Request]
    encode_response: Callable[[Response, Request], bytes]
    stream_encoder: Callable[[Request], StreamEncoder]
    answer_prefix: str = ""
    """What ids of answers begin with."""
    encode_error: Callable[[GatewayError, str], HttpReply]
    """(error, request id) → the whole HTTP answer."""

    encode_request: Callable[[Request, ModelProfile], Encoded]
    decode_response: Callable[[bytes, Origin], Response]
    glance_response: Callable[[bytes, Origin], Response] | None = None
    """As ``decode_response``, for an answer that is forwarded: who answered, the usage and the finish
    reasons are enough, errors are raised all the same. None means decode it whole."""
    stream_decoder: Callable[[Origin], StreamDecoder]
    whole_decoder: Callable[[Origin], StreamDecoder] | None = None
    """For a stream whose answer leaves whole, where waiting for its end gives a better one."""
    abroad: Callable[[Origin], Callable[[Event], list[Event]]] | None = None
    """Makes a filter for the events of one answer that leaves for a client of another protocol."""
    decode_error: Callable[[int, Mapping[str, str], bytes], GatewayError]

    repeat_request: Callable[[Parsed, ModelProfile], Encoded]
    """The client's own bytes for an upstream of this protocol: only the model's name, and what the
    gateway needs (usage in streams), is changed."""
    stream_relay: Callable[[Parsed, Origin], StreamRelay]

    stream_media_type: str = "text/event-stream"
    keeps_answers: bool = False
    """The provider stores answers, and a request may continue one by its id (``Parsed.previous``)."""
    embeddings: EmbeddingCodecs | None = None
    embedding_forms: Mapping[str, EmbeddingCodecs] = field(default_factory=dict)
    """Further forms of the embeddings request, by the verb in their path."""
    images: ImageCodecs | None = None
    token_count: TokenCountCodecs | None = None


def all_events(decoder: StreamDecoder, chunks: Iterable[bytes]) -> list[Event]:
    """Decode a whole recorded stream."""
    events: list[Event] = []
    for chunk in chunks:
        events += decoder.feed(chunk)
    return events + decoder.finish()
