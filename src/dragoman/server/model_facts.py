"""What the model list says of a model besides its name: what it costs and how much it takes in.

Hugging Face asks its providers for both (huggingface/hub-docs, register-as-a-provider); clients of
OpenAI's list ignore what they do not know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec

from dragoman.governance.principal import Principal
from dragoman.routing.channel import Channel
from dragoman.routing.select import RoutingTable
from dragoman.server.gateway import Gateway
from dragoman.server.models import ModelFacts, Models

_SECONDS_AT_ONCE = 0.005
"""What is looked up before others get their turn: a shipped price takes up to a millisecond."""


class _OfChannel(msgspec.Struct, frozen=True):
    """One channel's facts: nano-USD per million tokens, tokens, Unix time."""

    rates: tuple[int, int] | None
    context_length: int | None
    created: int


class FactsOfModels:
    """Looks facts up, and remembers them until the configuration, a provider's list or a price
    changes."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._known: dict[tuple[int, str], _OfChannel] = {}
        self._table: RoutingTable | None = None
        self._until = 0.0

    async def of(self, models: Models, principal: Principal) -> dict[str, ModelFacts]:
        """The facts of ``models`` as this caller meets them, by name."""
        prices = self._gateway.prices
        channels = {one.id: one for served in models.values() for one in served}
        if not prices.is_loaded and prices.needs_data(channels.values()):
            await asyncio.to_thread(prices.load)
        table = self._gateway.routing
        facts: dict[str, ModelFacts] = {}
        pause = time.monotonic() + _SECONDS_AT_ONCE
        for name, served in models.items():
            self._refresh(table)
            facts[name] = self._facts(table, name, served, principal)
            if time.monotonic() >= pause:
                await asyncio.sleep(0)
                pause = time.monotonic() + _SECONDS_AT_ONCE
        return facts

    def _refresh(self, table: RoutingTable) -> None:
        """Forget what may not be true any more."""
        if table is not self._table or time.time() >= self._until:
            self._known.clear()
            self._table = table
            self._until = self._gateway.prices.valid_until()

    def _facts(
        self, table: RoutingTable, name: str, served: Sequence[Channel], principal: Principal
    ) -> ModelFacts:
        """The dearest of the channels among whom the next request's turn is, as for costs in advance,
        and the least that any of those with the model takes in."""
        asked = served
        if len(served) > 1:
            options = table.foremost(
                name, lambda channel: principal.may_use_channel(channel.id, channel.name)
            )
            asked = [option.channel for option in options]
        rates = [one.rates for channel in asked if (one := self._of(channel, name)).rates]
        lengths = [self._of(channel, name).context_length for channel in served]
        created = (self._of(channel, name).created for channel in served)
        return ModelFacts(
            rates=max(filter(None, rates), key=sum, default=None),
            context_length=min((length for length in lengths if length), default=None),
            created=next(filter(None, created), 0),
        )

    def _of(self, channel: Channel, name: str) -> _OfChannel:
        key = (channel.id, name)
        known = self._known.get(key)
        if known is None:
            price = self._gateway.accounting.price(channel, name)
            listed = self._gateway.model_lists.listed(channel, name)
            known = self._known[key] = _OfChannel(
                rates=None if price is None else (price.rates.input, price.rates.output),
                context_length=self._gateway.prices.context_length(channel, name),
                created=(listed.created or 0) if listed is not None else 0,
            )
        return known
