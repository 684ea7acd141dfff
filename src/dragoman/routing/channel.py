"""A channel: one configured way to reach a provider."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

import msgspec

from dragoman.canonical.naming import Naming
from dragoman.canonical.oauth import OAuth
from dragoman.canonical.secret import Secret
from dragoman.governance.price import Price


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
    ``credentials`` are used in turn. ``prices`` are the operator's: by model, public or upstream, or
    ``*`` for every other. ``max_retries`` is how often a request may be repeated here when no other
    channel is left. ``max_concurrency`` None means adaptive.
    ``credential_header`` empty means the protocol's own. ``tags`` are the operator's.
    ``model_patterns``, ``lists_models``, ``price_list``, ``client_headers``, ``loading_seconds`` and
    ``naming`` are the provider's (``providers.provider``).
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
    oauth: OAuth | None = None
    model_patterns: tuple[str, ...] = ()
    lists_models: bool = True
    price_list: str = ""
    client_headers: tuple[str, ...] = ()
    loading_seconds: float = 10.0
    naming: Naming | None = None
    strict: bool = False
    prices: Mapping[str, Price] = {}
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
        if self.naming is not None and self.naming.asks_for_another(model):
            return model in self.names()
        return not self.models or self.lists(model)

    def lists(self, model: str) -> bool:
        """Whether the operator has written ``model`` down, and it is not merely let through."""
        wanted = {model.casefold()}
        if self.naming is not None:
            wanted.add(self.naming.split(model)[0].casefold())
        return any(name.casefold() in wanted for name in self.names())

    def suits(self, model: str) -> bool | None:
        """Whether ``model`` (a public name) looks like one of its provider's; None if nothing is known
        of how those look."""
        if not self.model_patterns:
            return None
        name = self.upstream_model(model).casefold()
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.model_patterns)

    def upstream_model(self, model: str) -> str:
        """The provider's own name for ``model``, in the provider's own spelling where known."""
        if (alias := self.aliases.get(model)) is not None:
            return alias
        name = model
        if self.aliases or model not in self.models:
            wanted = model.casefold()
            for public, upstream in self.aliases.items():
                if public.casefold() == wanted:
                    return upstream
            name = next((name for name in self.models if name.casefold() == wanted), model)
        return name if self.naming is None else self.naming.upstream(name)

    def endpoint_for(self, protocol: str, model: str = "") -> Endpoint:
        """The endpoint for ``model`` (an upstream name) where its name decides; else the one that
        passes ``protocol`` through, else the preferred one."""
        wanted = self.naming.protocol(model) if self.naming is not None and model else ""
        for endpoint in self.endpoints:
            if endpoint.protocol == (wanted or protocol):
                return endpoint
        if wanted:
            return self.endpoint_for(protocol)
        return self.endpoints[0]
