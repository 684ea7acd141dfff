"""What the server serves: the present configuration and the machinery that uses it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from dragoman.canonical.errors import (
    Forbidden,
    InvalidRequest,
    NotConfigured,
    Unauthorized,
    Unavailable,
)
from dragoman.engine.accounting import Accounting
from dragoman.engine.journey import Journey
from dragoman.engine.model_lists import ModelLists
from dragoman.engine.pipeline import Pipeline
from dragoman.engine.planning import Rules, Wish, make_plan
from dragoman.engine.price_book import PriceBook
from dragoman.engine.side_calls import SideCalls
from dragoman.governance.keys import KeyRing, find_key
from dragoman.governance.principal import ANONYMOUS, Principal
from dragoman.governance.record import RequestRecord
from dragoman.governance.users import ANONYMOUS_USER_ID
from dragoman.providers.catalog import UnknownProvider, require
from dragoman.providers.provider import Provider
from dragoman.routing.channel import Channel
from dragoman.routing.fleet import Fleet
from dragoman.routing.plan import Plan
from dragoman.routing.select import RoutingTable, Strategies
from dragoman.server.answer import RawHeaders

if TYPE_CHECKING:
    from dragoman.engine.tracing import Tracing
    from dragoman.server.metrics import MetricsPage

logger = logging.getLogger("dragoman.health")

_AWAY_RETRY_SECONDS = 5.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that requests meet; as in ``config.schema.Settings``."""

    require_auth: bool = True
    rules: Rules = Rules()
    strategies: Strategies = Strategies()
    queue_limit: int = 100
    queue_seconds: float = 10.0
    log_prompts: bool = False
    gateway_usage: bool = False
    hf_models: Mapping[str, Mapping[str, Mapping[str, Any]]] = {}


class Totals:
    """Requests since the start, by how they ended."""

    __slots__ = ("broken", "error", "left", "ok")

    def __init__(self) -> None:
        self.ok = self.error = self.broken = self.left = 0

    def count(self, outcome: str) -> None:
        """One more request ended with ``outcome`` (as in RequestRecord)."""
        setattr(self, outcome, getattr(self, outcome) + 1)


class Gateway:
    """Holds one immutable snapshot of the configuration and swaps it whole: a request keeps the one
    it began with."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        note_use: Callable[[str, float], None] = lambda key_id, now: None,
        away: Callable[[], bool] = lambda: False,
        record: Callable[[RequestRecord], None] = lambda record: None,
        prices: PriceBook | None = None,
        catalog: Mapping[str, Provider] | None = None,
        accounting: Accounting | None = None,
    ) -> None:
        """``note_use`` is told of every accepted key: (key id, Unix time); ``record`` of every
        request that is over; ``away`` tells whether the database cannot be read.
        ``prices`` knows what requests cost, ``catalog`` are the providers that a client may name,
        ``accounting`` keeps limits and money."""
        self.pipeline = pipeline
        self.accounting = accounting or Accounting(clock=time.monotonic, wall=time.time)
        self.dispatcher = pipeline.dispatcher
        self.side_calls = SideCalls(pipeline)
        self.fleet = Fleet(_tell)
        self.model_lists = ModelLists(
            protocols=pipeline.protocols,
            openings=pipeline.openings,
            clock=pipeline.dispatcher.clock,
            changed=self._lists_changed,
        )
        self.prices = prices or PriceBook(now=time.time)
        self.prices.lists = self.model_lists
        self.routing = RoutingTable(())
        self.record = record
        self.totals = Totals()
        self.policy = Policy()
        self.keyring = KeyRing((), b"")
        self.draining = False
        self.active = 0
        self.quiet = asyncio.Event()
        self._note_use = note_use
        self._away = away
        self._catalog = catalog or {}
        self.started = time.monotonic()
        self.metrics: MetricsPage | None = None
        self.tracing: Tracing | None = None

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
        self.fleet.configure(channels)
        self.model_lists.configure(channels)
        self.dispatcher.queue_limit = policy.queue_limit
        self.dispatcher.queue_seconds = policy.queue_seconds
        self.keyring = keyring
        self.policy = policy
        self._arrange(channels)

    def names_of(self, channel: Channel) -> tuple[str, ...]:
        """The model names to show for a channel: its own or, if it takes all, those its provider
        lists."""
        names = channel.names()
        if channel.models:
            return names
        listed = tuple(self.model_lists.models(channel)) or channel.usual_models
        return tuple(dict.fromkeys((*names, *listed)))

    def provider_id(self, name: str) -> str:
        """The id of the provider that a client names; none for no name. Raises InvalidRequest if there
        is no such provider, NotConfigured or Unavailable if no channel leads there."""
        if not name:
            return ""
        try:
            row = require(self._catalog, name[:100])
        except UnknownProvider as unknown:
            raise InvalidRequest(
                str(unknown), param="provider", code="provider_not_found"
            ) from None
        own = [channel for channel in self.routing.channels if channel.provider == row.id]
        if not any(_has_key(channel, row) for channel in own):
            mend = f"; set {row.env_key[0]} or add a channel" if row.env_key else ""
            raise NotConfigured(row.missing or f"No channel to {row.name} is configured{mend}.")
        if not any(channel.enabled for channel in own):
            raise Unavailable(f"Every channel to {row.name} is disabled.")
        return row.id

    def plan(self, journey: Journey, wish: Wish, principal: Principal) -> Plan:
        """Who may answer ``wish``. Raises as ``RoutingTable.order``."""
        return make_plan(
            journey,
            wish,
            principal,
            table=self.routing,
            rules=self.policy.rules,
            affinity=self.dispatcher.affinity,
            now=self.dispatcher.clock(),
        )

    def authenticate(self, headers: RawHeaders, query: bytes) -> Principal:
        """Who is asking for inference. Raises as ``recognise``, and Forbidden for an admin key."""
        try:
            principal = self.recognise(find_key(headers, query))
        except (Unauthorized, Unavailable):
            if self.policy.require_auth or self.keyring.is_disabled(ANONYMOUS_USER_ID):
                raise
            return ANONYMOUS  # a known key still brings its restrictions; other text is no key
        if principal.admin:
            raise Forbidden(
                "This is an admin key: it opens /admin only. Use an ordinary key here "
                "(dragoman keys create NAME).",
                code="admin_key",
            )
        return principal

    def recognise(self, key: str | None) -> Principal:
        """Who a key acts for, whether or not requests need one. Raises Unauthorized; Unavailable if the
        database, which may know a key that is unknown here, cannot be read."""
        now = time.time()
        try:
            principal = self.keyring.authenticate(key, now)
        except Unauthorized:
            if key and self._away() and self.keyring.could_be_new(key):
                raise Unavailable(
                    "The gateway's database cannot be read just now, and this key is not among those "
                    "known from before. Try again in a moment.",
                    code="database_unavailable",
                    retry_after=_AWAY_RETRY_SECONDS,
                ) from None
            raise
        self._note_use(principal.key_id, now)
        return principal

    def _lists_changed(self) -> None:
        self.prices.forget()
        self._arrange(self.routing.channels)

    def _arrange(self, channels: tuple[Channel, ...]) -> None:
        self.routing = RoutingTable(
            channels,
            self.fleet,
            strategies=self.policy.strategies,
            price_of=self.prices.typical,
            lists=self.model_lists.lists,
            names_of=self.names_of,
        )


def check_model(principal: Principal, model: str) -> None:
    """Raise Forbidden if the key may not use ``model``."""
    if not principal.may_use_model(model):
        raise Forbidden(
            f"Model '{model[:100]}' is not allowed for this key.",
            param="model",
            code="model_not_allowed",
        )


def _has_key(channel: Channel, row: Provider) -> bool:
    """Whether the channel has what its provider asks for; the operator's own address may ask for
    nothing."""
    own_address = channel.endpoints[0].base_url not in row.protocols.values()
    given = channel.credentials or "authorization" in channel.headers
    return bool(given or own_address or not row.key_required)


def _tell(channel: Channel, what: str) -> None:
    """A channel's health has changed: the operator should know without asking."""
    logger.warning("channel %r: %s", channel.name, what)
