"""A channel: one configured way to reach a provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dragoman.canonical.secret import Secret


class Endpoint(msgspec.Struct, frozen=True):
    """A protocol this channel speaks, and the base URL it speaks it at."""

    protocol: str
    base_url: str


class Channel(msgspec.Struct, kw_only=True, frozen=True):
    """Everything a request needs to know to use a channel; built once per configuration change.

    ``endpoints`` are in order of preference: a client of one of these protocols is passed through,
    any other is translated to the first. ``models`` empty means all; ``usual_models`` are then shown
    as long as the provider's own list is not known. ``aliases`` maps public model
    names to upstream ones. ``timeout`` (seconds) bounds the silence before and between bytes.
    ``drops`` and ``quirks`` are the provider's, as in ``protocols.base.ModelProfile``. Several
    ``credentials`` are used in turn. ``prices`` are the operator's: by model, USD per million input
    and output tokens. ``max_retries`` is how often a request may be repeated here when no other
    channel is left. ``max_concurrency`` None means adaptive.
    ``credential_header`` empty means the protocol's own. ``tags`` are the operator's.
    """

    id: int
    name: str
    provider: str
    endpoints: tuple[Endpoint, ...]
    credentials: tuple[Secret, ...] = ()
    credential_header: str = ""
    models: tuple[str, ...] = ()
    usual_models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = {}
    enabled: bool = True
    priority: int = 1
    weight: int = 1
    tags: tuple[str, ...] = ()
    timeout: float = 120.0
    max_retries: int = 3
    proxy_url: Secret | None = None
    headers: Mapping[str, str] = {}
    drops: frozenset[str] = frozenset()
    quirks: Mapping[str, Any] = {}
    opener: str = ""
    strict: bool = False
    prices: Mapping[str, tuple[float, float]] = {}
    max_concurrency: int | None = None
    min_concurrency: int = 1
    max_adaptive_concurrency: int = 10
    response_time_low: float = 1.0
    response_time_high: float = 5.0
    error_rate_threshold: float = 0.1
    increase_step: int = 2
    decrease_factor: float = 0.8
    stats_window_size: int = 100
    cooldown_seconds: float = 5.0

    def __repr__(self) -> str:  # header values may be credentials
        return f"Channel(id={self.id}, name={self.name!r}, provider={self.provider!r})"

    @property
    def first_credential(self) -> Secret | None:
        """The credential where only one is needed, None for a channel without."""
        return self.credentials[0] if self.credentials else None

    def names(self) -> tuple[str, ...]:
        """The public model names it lists."""
        return (*self.aliases, *(name for name in self.models if name not in self.aliases))

    def serves(self, model: str) -> bool:
        """Whether ``model`` (a public name; compared without regard to case) may go here."""
        if not self.models:
            return True
        wanted = model.casefold()
        return any(wanted == name.casefold() for name in self.names())

    def upstream_model(self, model: str) -> str:
        """The provider's own name for ``model``, in the provider's own spelling where known."""
        if (alias := self.aliases.get(model)) is not None:
            return alias
        wanted = model.casefold()
        for public, upstream in self.aliases.items():
            if public.casefold() == wanted:
                return upstream
        return next((name for name in self.models if name.casefold() == wanted), model)

    def endpoint_for(self, protocol: str) -> Endpoint:
        """The endpoint that passes ``protocol`` through, else the preferred one."""
        for endpoint in self.endpoints:
            if endpoint.protocol == protocol:
                return endpoint
        return self.endpoints[0]
