"""What the server serves: the present configuration and the machinery that uses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from dragoman.canonical.errors import Forbidden, Unauthorized
from dragoman.engine.pipeline import Pipeline
from dragoman.engine.side_calls import SideCalls
from dragoman.governance.keys import KeyRing, find_key
from dragoman.governance.principal import ANONYMOUS, Principal
from dragoman.routing.channel import Channel
from dragoman.routing.select import RoutingTable
from dragoman.server.answer import RawHeaders


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that requests meet."""

    require_auth: bool = True
    enable_fallback: bool = True


class Gateway:
    """Holds one immutable snapshot of the configuration and swaps it whole: a request keeps the one
    it began with."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        note_use: Callable[[str, float], None] = lambda key_id, now: None,
    ) -> None:
        """``note_use`` is told of every accepted key: (key id, Unix time)."""
        self.pipeline = pipeline
        self.side_calls = SideCalls(pipeline)
        self.routing = RoutingTable(())
        self.policy = Policy()
        self.keyring = KeyRing((), b"")
        self.draining = False
        self.active = 0
        self.quiet = asyncio.Event()
        self._note_use = note_use
        self.started = time.monotonic()

    def enter(self) -> None:
        """A request begins."""
        self.active += 1

    def leave(self) -> None:
        """A request has ended."""
        self.active -= 1
        if self.draining and self.active == 0:
            self.quiet.set()

    def drain(self) -> None:
        """Refuse new requests from now on; ``quiet`` is set once the last has ended."""
        self.draining = True
        if self.active == 0:
            self.quiet.set()

    def configure(self, channels: tuple[Channel, ...], keyring: KeyRing, policy: Policy) -> None:
        """Replace the configuration; requests under way are not touched."""
        self.routing = RoutingTable(channels)
        self.keyring = keyring
        self.policy = policy

    def authenticate(self, headers: RawHeaders, query: bytes) -> Principal:
        """Who is asking. Raises Unauthorized."""
        key = find_key(headers, query)
        now = time.time()
        try:
            principal = self.keyring.authenticate(key, now)
        except Unauthorized:
            if self.policy.require_auth:
                raise
            return ANONYMOUS  # a known key still brings its restrictions; other text is no key
        self._note_use(principal.key_id, now)
        return principal


def check_model(principal: Principal, model: str) -> None:
    """Raise Forbidden if the key may not use ``model``."""
    if not principal.may_use_model(model):
        raise Forbidden(
            f"Model '{model[:100]}' is not allowed for this key.",
            param="model",
            code="model_not_allowed",
        )
