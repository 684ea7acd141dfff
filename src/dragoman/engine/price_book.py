"""What a request costs at a channel: the one place that knows whose price counts.

In this order: the operator's own, the provider's own list of models, the data of ``genai-prices``. A
server on this machine costs nothing, unless one of the first two says so: nobody sells what it serves.
What none of them knows has no price, which is not the same as costing nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from dragoman.engine import local
from dragoman.engine.model_lists import ModelLists
from dragoman.governance.price import Price, Rates
from dragoman.providers import price_data
from dragoman.providers.listing import ListedModel
from dragoman.providers.prices import OTHERS, own_price, price_document, typical_price
from dragoman.routing.channel import Channel

MAX_REMEMBERED = 4096
"""Clients choose the names."""

FREE = Price(rates=Rates(), source="local")

_HOUR = 3600.0
# What OpenRouter lets follow a model's name that changes who is asked and not what is asked for
# (openrouter.ai/docs/features/provider-routing). ":free" and ":thinking" are models of their own.
_WAYS_TO_ROUTE = frozenset({"floor", "nitro", "exacto", "online"})
# The Hugging Face router's, of which it alone knows where they lead.
_POLICIES = frozenset({"fastest", "preferred"})


class PriceBook:
    """Prices, remembered until something may have changed: a channel, a list, or the hour."""

    def __init__(
        self, *, now: Callable[[], float], is_loopback: Callable[[str], bool] = lambda url: False
    ) -> None:
        """``now`` gives Unix time; ``is_loopback`` says of a base URL whether only this machine
        reaches it. ``lists`` are the providers' lists, once there are any."""
        self.lists: ModelLists | None = None
        self._now = now
        self._is_loopback = is_loopback
        self._remembered: dict[tuple[int, str, str], tuple[Channel, Price | None]] = {}
        self._until = 0.0

    def price(self, channel: Channel, upstream_model: str, public_model: str) -> Price | None:
        """The price of ``upstream_model`` (the provider's name for ``public_model``); None if nobody
        knows one. It may take 0.3 s once, where ``load`` was not called before."""
        now = self._now()
        if now >= self._until:
            self.forget()
        key = (channel.id, upstream_model, public_model)
        remembered = self._remembered.get(key)
        # A request that began under an earlier configuration still has the earlier channel.
        if remembered is not None and remembered[0] is channel:
            return remembered[1]
        price = self._find(channel, upstream_model, public_model, now)
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[key] = (channel, price)
        return price

    def typical(self, channel: Channel, public_model: str) -> float | None:
        """What a typical request costs, in USD per million tokens, for comparing channels; None if
        nobody knows."""
        price = self.price(channel, channel.upstream_model(public_model), public_model)
        return None if price is None else typical_price(price)

    def document(self, channel: Channel, public_model: str) -> dict[str, Any]:
        """A model's price for a reader; looked up afresh, so that who reads a long list does not put out
        of mind what requests ask for."""
        upstream = channel.upstream_model(public_model)
        return {
            "model": public_model,
            "channel": channel.name,
            "channel_id": channel.id,
            "upstream_model": upstream,
            **price_document(self._find(channel, upstream, public_model, self._now())),
        }

    def context_length(self, channel: Channel, public_model: str) -> int | None:
        """How many tokens a model takes in at most: what its provider's list says, else the shipped data
        if that is in memory; None if nobody knows."""
        listed = None if self.lists is None else self.lists.listed(channel, public_model)
        if listed is not None and listed.context_length is not None:
            return listed.context_length
        if not self.is_loaded or self._is_local(channel):
            return None
        return price_data.shipped_context(
            channel.provider, self._plain(channel, channel.upstream_model(public_model))
        )

    def valid_until(self) -> float:
        """The Unix time at which a price may change by itself."""
        now = self._now()
        if now >= self._until:
            self.forget()
        return self._until

    def forget(self) -> None:
        """Look everything up again: a list has changed."""
        now = self._now()
        self._remembered.clear()
        self._until = now + _HOUR
        if price_data.is_loaded():
            self._until = min(self._until, price_data.next_change(now))

    def needs_data(self, channels: Iterable[Channel]) -> bool:
        """Whether a request may come that only the data of ``genai-prices`` has a price for."""
        return any(
            channel.enabled and OTHERS not in channel.prices and not self._is_local(channel)
            for channel in channels
        )

    @property
    def is_loaded(self) -> bool:
        """Whether the data of ``genai-prices`` is in memory."""
        return price_data.is_loaded()

    def load(self) -> None:
        """Read the data of ``genai-prices`` now; for a thread, beside the first requests."""
        price_data.load()

    def _find(self, channel: Channel, upstream: str, public: str, now: float) -> Price | None:
        upstream = self._plain(channel, upstream)
        price = own_price(channel.prices, public, upstream) or self._listed(channel, upstream)
        if price is not None:
            return price
        if self._is_local(channel):
            return FREE
        price = price_data.shipped_price(channel.provider, upstream, now)
        # It was perhaps loaded just now, and knows a nearer hour.
        self._until = min(self._until, price_data.next_change(now))
        return price

    def _plain(self, channel: Channel, upstream: str) -> str:
        """Without the ending that changes how a model is asked, not what it costs."""
        return upstream if channel.naming is None else channel.naming.split(upstream)[0]

    def _listed(self, channel: Channel, upstream: str) -> Price | None:
        if self.lists is None or not channel.price_list:
            return None
        if (offer := self.lists.offer(channel, upstream)) is not None:
            return _dated(offer[0].price, offer[1])
        name, colon, ending = upstream.rpartition(":")
        offer = self.lists.offer(channel, name) if colon else None
        if offer is None:
            return None
        return _dated(_price_of_ending(offer[0], ending.casefold()), offer[1])

    def _is_local(self, channel: Channel) -> bool:
        """A provider whose list has prices sells, also by way of this machine."""
        base_url = channel.endpoints[0].base_url
        if base_url.startswith(local.SCHEME):
            return True
        return not channel.price_list and self._is_loopback(base_url)


def _price_of_ending(listed: ListedModel, ending: str) -> Price | None:
    if listed.host_prices:
        return listed.host_prices.get(ending) or (listed.price if ending in _POLICIES else None)
    return listed.price if ending in _WAYS_TO_ROUTE else None


def _dated(price: Price | None, day: str) -> Price | None:
    return None if price is None else msgspec.structs.replace(price, as_of=day)
