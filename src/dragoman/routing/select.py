"""Which channels may answer a request, in which order."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable

from dragoman.canonical.errors import Forbidden, ModelNotFound, Unavailable
from dragoman.routing.channel import Channel

_MAX_REMEMBERED = 4096  # clients choose model names: the memory of them must not grow with them

Allowed = Callable[[Channel], bool]


class RoutingTable:
    """The channels of one configuration, arranged per model; replaced whole when it changes."""

    def __init__(self, channels: tuple[Channel, ...]) -> None:
        self.channels = channels
        self._tiers: dict[str, tuple[tuple[Channel, ...], ...]] = {}
        self._turn = itertools.count()

    def candidates(self, model: str, allowed: Allowed | None = None) -> list[Channel]:
        """Channels for ``model``: lowest priority number first, round robin within a priority.

        ``allowed`` is the caller's restriction, None for none. Raises ModelNotFound if no channel
        has the model, Unavailable if those that have it are switched off, Forbidden if the caller may
        use none of them.
        """
        tiers = self._tiers.get(model)
        if tiers is None:
            tiers = self._arrange(model)
        turn = next(self._turn)
        ordered: list[Channel] = []
        for tier in tiers:
            members = tier if allowed is None else tuple(filter(allowed, tier))
            if members:
                start = turn % len(members)
                ordered += members[start:]
                ordered += members[:start]
        if not ordered:
            raise Forbidden(
                f"This key may not use any channel that has the model '{model}'.",
                code="channel_not_allowed",
            )
        return ordered

    def models(self) -> dict[str, tuple[Channel, ...]]:
        """Every model name the enabled channels list, with the channels that have it."""
        names: dict[str, tuple[Channel, ...]] = {}
        for channel in self.channels:
            if channel.enabled:
                for name in channel.names():
                    names[name] = (*names.get(name, ()), channel)
        return names

    def _arrange(self, model: str) -> tuple[tuple[Channel, ...], ...]:
        serving = [channel for channel in self.channels if channel.serves(model)]
        enabled = sorted((c for c in serving if c.enabled), key=lambda c: c.priority)
        if not enabled:
            if serving:
                raise Unavailable(f"Every channel that has the model '{model}' is disabled.")
            raise self._unknown(model)
        tiers = tuple(
            tuple(group) for _, group in itertools.groupby(enabled, key=lambda c: c.priority)
        )
        if len(self._tiers) >= _MAX_REMEMBERED:
            self._tiers.clear()
        self._tiers[model] = tiers
        return tiers

    def _unknown(self, model: str) -> ModelNotFound:
        shown = model if len(model) <= 100 else model[:100] + "…"
        if not self.channels:
            return ModelNotFound(
                f"The model '{shown}' does not exist: no channel is configured yet.", param="model"
            )
        known = sorted(self.models())
        near = difflib.get_close_matches(model[:100], known, n=3, cutoff=0.4) or known[:3]
        hint = f" Nearest: {', '.join(near)}." if near else ""
        return ModelNotFound(f"The model '{shown}' does not exist.{hint}", param="model")
