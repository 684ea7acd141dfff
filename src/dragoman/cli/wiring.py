"""What the rooms need of each other, handed in here and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from dragoman.config.checks import is_loopback
from dragoman.engine.model_lists import ModelLists
from dragoman.engine.opening import Openings, keep_nothing
from dragoman.engine.price_book import PriceBook
from dragoman.engine.transport import Transport
from dragoman.protocols.base import ModelProfile
from dragoman.protocols.registry import protocols
from dragoman.providers.profiles import profile_for
from dragoman.routing.channel import Channel


def profile_of(channel: Channel, protocol: str, model: str) -> ModelProfile:
    """The facts a codec needs about ``model`` behind ``channel``."""
    return profile_for(
        channel.provider,
        protocol=protocol,
        model=model,
        drops=channel.drops,
        quirks=channel.quirks,
    )


def price_book() -> PriceBook:
    """Who knows what requests cost."""
    return PriceBook(now=time.time, is_loopback=_is_loopback)


async def fetched_lists(channels: Sequence[Channel]) -> ModelLists:
    """The lists of the providers that tell their prices in them, fetched now; without those that
    cannot be had."""
    transport = Transport()
    lists = ModelLists(
        protocols=protocols(), openings=Openings(transport, keep_nothing), clock=time.monotonic
    )
    # A refresh token that this would rotate could not be kept.
    lists.configure(one for one in channels if one.price_list and one.oauth is None)
    try:
        await lists.round()
    finally:
        await transport.close()
    return lists


def _is_loopback(base_url: str) -> bool:
    return is_loopback(urlsplit(base_url).hostname or "")
