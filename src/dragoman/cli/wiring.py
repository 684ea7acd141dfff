"""What the rooms need of each other, handed in here and nowhere else."""

from __future__ import annotations

from urllib.parse import urlsplit

from dragoman.config.checks import is_loopback
from dragoman.protocols.base import ModelProfile
from dragoman.providers.prices import listed_price, own_price
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


def price_of(channel: Channel, model: str) -> float | None:
    """What a typical request for ``model`` (a public name) costs at ``channel``, in USD per million
    tokens (``providers.prices``); None if nobody says.

    The operator's own price counts before the price list's, and a server on this machine has no
    other: nobody sells what it serves.
    """
    upstream = channel.upstream_model(model)
    if channel.naming is not None:  # an ending changes how a model is asked, not what it costs
        upstream = channel.naming.split(upstream)[0]
    price = own_price(channel.prices, model, upstream)
    if price is not None or _is_local(channel):
        return price
    return listed_price(channel.provider, upstream)


def _is_local(channel: Channel) -> bool:
    return is_loopback(urlsplit(channel.endpoints[0].base_url).hostname or "")
