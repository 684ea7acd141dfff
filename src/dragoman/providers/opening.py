"""What a provider wants done before its answer can be had: a token fetched, a job queued, a file
uploaded, an address looked up.

An opener is a generator. It is given the request as the protocol and the channel make it, yields what
it needs in between, and returns the request whose reply is the answer::

    def open_vertex(draft: Draft, memory: Memory) -> Opening:
        yield Lock(f"token {digest}")
        token = memory.get(key, draft.now)
        if token is None:
            reply = yield HttpRequest(method="POST", url=token_uri, …)
            …
            memory.put(key, token, until=draft.now + expires_in - 300)
        draft.request.headers["authorization"] = f"Bearer {token}"
        return Opened(request=draft.request)

The engine carries the steps out (``engine.opening``); tests drive the generator without a socket. An
opener raises errors of ``canonical.errors`` (UpstreamRefusedCredential benches the credential,
UpstreamOverloaded lets another channel take over, …). A provider's row names it (``opener``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from dragoman.canonical.errors import GatewayError, UpstreamError
from dragoman.canonical.notes import Note
from dragoman.canonical.oauth import OAuth
from dragoman.canonical.secret import Secret
from dragoman.wire.http import HttpReply, HttpRequest

Purpose = Literal["generate", "embed", "image", "count", "models"]


class Draft(msgspec.Struct, kw_only=True):
    """A request before it is opened.

    ``request`` is what would be sent without an opener, the channel's credential in its header;
    ``model`` is the upstream's name, ``listed`` whether the operator wrote it into the channel (else
    the client has chosen it); ``stream`` whether the client wants one; ``credential`` the channel's;
    ``caller_credential`` one that the client brought for the upstream itself; ``now`` Unix time.
    """

    request: HttpRequest
    purpose: Purpose
    protocol: str
    provider: str
    base_url: str
    model: str
    listed: bool = False
    stream: bool
    credential: Secret | None
    caller_credential: Secret | None = None
    quirks: Mapping[str, Any] = {}
    oauth: OAuth | None = None
    now: float


class Recourse(NamedTuple):
    """What an answer's failure means to the opener that knows more of it: the error as it should be
    told, and another opening that is worth one try. If that fails, too, ``error`` is told."""

    error: GatewayError
    again: Opening | None = None


class Opened(msgspec.Struct, kw_only=True):
    """What to send. ``abort`` is sent if the answer is given up before its end; ``notes`` tell what
    became of fields that only the opener could judge. ``failed`` is asked about an error that comes
    as, or in, the answer; its other opening is used only while nothing has left for the client."""

    request: HttpRequest
    abort: HttpRequest | None = None
    notes: list[Note] = msgspec.field(default_factory=list)
    failed: Callable[[UpstreamError], Recourse] | None = None


class Lock(NamedTuple):
    """Wait until no other opening holds ``name``, and hold it to the end of this one: many requests
    want a token at once, and one fetches it."""

    name: str


class Persist(NamedTuple):
    """Keep a credential that replaces ``old`` for good: a refresh token that was rotated. The reply
    comes when it is on disk."""

    old: Secret
    new: Secret


Step = HttpRequest | Lock | Persist
Opening = Generator[Step, HttpReply, Opened]
"""For an HttpRequest the whole reply is sent in (at most 4 MiB of body; header names in lower case);
for the others an empty one."""


class Memory:
    """What openers remember between requests; bounded, and forgotten when its time is over."""

    def __init__(self, most: int = 10_000) -> None:
        self._kept: OrderedDict[str, tuple[Any, float]] = OrderedDict()
        self._most = most

    def get(self, key: str, now: float) -> Any:
        """What was put under ``key``, None if nothing or no longer. ``now`` is Unix time."""
        found = self._kept.get(key)
        if found is None:
            return None
        if now >= found[1]:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: str, value: Any, *, until: float) -> None:
        """Remember ``value`` until then (Unix time)."""
        self._kept[key] = (value, until)
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def forget(self, key: str) -> None:
        """Remember ``key`` no more."""
        self._kept.pop(key, None)


Opener = Callable[[Draft, Memory], Opening]
