"""What the rooms need of each other, handed in here and nowhere else."""

from __future__ import annotations

from dragoman.protocols.base import ModelProfile
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
