"""The fields of a configuration file, their defaults and their checks.

The schema is that of the well-known ``config.json`` (settings, channels, tokens) with fields of our
own added at the end of each part; a file without those means what it always meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from dragoman.canonical.oauth import OAuth
from dragoman.canonical.request import Settings as RequestSettings
from dragoman.canonical.secret import Secret
from dragoman.config import checks, limits
from dragoman.config.checks import Check
from dragoman.config.fields import read_fields as read_fields  # noqa: PLC0414 - part of the schema
from dragoman.config.hub_models import hub_models
from dragoman.config.prices import rates_of, written_price, written_rates
from dragoman.governance.price import Rates
from dragoman.governance.users import DEFAULT_USER, NO_BUDGET, NO_LIMITS, Budget, Limits

MAX_ID = 2**53


class Settings(msgspec.Struct, kw_only=True, frozen=True):
    """The gateway's own settings. ``default_timeout`` is for channels that set none.

    ``strategy`` orders the channels of one priority; ``strategies`` maps patterns of model names
    (``gpt-*``; the first that fits counts) to others. A request that finds every channel full waits
    ``queue_seconds`` at most, beside ``queue_limit`` others per channel. ``probe_seconds`` is the
    interval of the background check of failing channels, ``model_list_seconds`` that of fetching the
    lists of channels that state no models, 0 for never. The request log keeps
    ``request_log_limit`` requests (0 for none) of ``request_log_days`` days, with their prompts only
    if ``log_prompts``. Answers to requests with an Idempotency-Key are kept for ``idempotency_hours``; 0
    ignores that header. Addresses that clients name are fetched if they are public or among
    ``allow_private_urls`` (hosts, addresses and networks, each with a port or without), and through a
    channel's proxy, which hides what a name stands for, only if ``fetch_through_proxies``. ``limits``
    are for all users together.

    ``metrics`` says who may read ``/metrics``: whoever has an admin key or the metrics token, everyone
    (``open``), or nobody (``off``).

    With ``gateway_usage`` every answer tells what it cost, as those to clients that name the provider
    ``huggingface`` do. ``unpriced`` says what becomes of a request whose price nobody knows: ``allow``
    serves it and counts it, ``block`` refuses it, ``estimate`` bills it by ``unpriced_price`` (``input``
    and ``output``, USD per million tokens), ``auto`` serves it unless an account, a budget or a trial in
    dollars would have to pay.

    ``hf_models`` says which model answers for one of the Hugging Face Hub, by its name and the task
    (``config.hub_models``).
    """

    host: str = "0.0.0.0"  # noqa: S104 - the default other machines and containers expect
    port: int = 3000
    require_auth: bool = True
    enable_fallback: bool = True
    enable_cors: bool = True
    high_availability_mode: bool = False
    auto_start: bool = False
    log_level: str = "info"
    default_timeout: float = 120.0
    cors_origins: tuple[str, ...] = ("*",)
    strategy: str = "round_robin"
    strategies: Mapping[str, str] = {}
    session_affinity: bool = True
    queue_limit: int = 100
    queue_seconds: float = 10.0
    probe_seconds: float = 0.0
    model_list_seconds: float = 3600.0
    request_log_limit: int = 100_000
    request_log_days: float = 30.0
    log_prompts: bool = False
    idempotency_hours: float = 24.0
    allow_private_urls: tuple[str, ...] = ()
    fetch_through_proxies: bool = False
    metrics: Literal["admin", "open", "off"] = "admin"
    limits: Limits = NO_LIMITS
    gateway_usage: bool = False
    unpriced: str = "auto"
    unpriced_price: Mapping[str, float | str] = {}
    hf_models: Mapping[str, Mapping[str, Mapping[str, Any]]] = {}

    @property
    def unpriced_rates(self) -> Rates | None:
        """``unpriced_price``, to be billed by; None if there is none."""
        return rates_of(self.unpriced_price) if self.unpriced_price else None


class ChannelEntry(msgspec.Struct, kw_only=True, frozen=True):
    """A channel as an operator writes it; ``config.channels`` makes a routable one of it.

    ``type`` is a provider's id. ``protocol`` and ``protocols`` say what the channel speaks when the
    provider's row does not. Header values are secrets because they often are. ``api_keys`` are
    further credentials beside ``api_key``, used in turn. ``prices`` are the operator's own, by model
    (``*`` for every other), as ``config.prices`` reads them. With ``oauth`` the credentials are refresh
    tokens.
    """

    id: int
    name: str
    type: str
    base_url: str = ""
    api_key: Secret | None = None
    api_keys: tuple[Secret, ...] = ()
    models: tuple[str, ...] = ()
    enabled: bool = True
    priority: int = 1
    timeout: float | None = None
    max_retries: int = 3
    proxy_enabled: bool = False
    proxy_url: Secret | None = None
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
    protocol: str = ""
    protocols: Mapping[str, str] = {}
    aliases: Mapping[str, str] = {}
    headers: Mapping[str, Secret] = {}
    weight: int = 1
    tags: tuple[str, ...] = ()
    strict: bool = False
    drops: tuple[str, ...] = ()
    quirks: Mapping[str, Any] = {}
    prices: Mapping[str, Mapping[str, Any]] = {}
    oauth: OAuth | None = None


class Token(msgspec.Struct, kw_only=True, frozen=True):
    """A virtual key written into a configuration. ``allowed_channels`` holds names, or ids as text;
    ``expires_at`` is in seconds since 1970; an ``admin`` token opens the administration only. It belongs
    to the ``user`` of that name."""

    id: int
    name: str
    key: Secret
    enabled: bool = True
    allowed_channels: tuple[str, ...] = ()
    allowed_models: tuple[str, ...] = ()
    strict: bool = False
    expires_at: float | None = None
    admin: bool = False
    user: str = DEFAULT_USER
    limits: Limits = NO_LIMITS
    budget: Budget = NO_BUDGET
    metadata: Mapping[str, Any] = {}


STRATEGIES = ("round_robin", "least_busy", "lowest_latency", "lowest_price")

_SECONDS = checks.positive(86_400)
_STRATEGY = checks.one_of(*STRATEGIES)
_COUNT = checks.whole(1, 1_000_000)

SETTINGS: Mapping[str, Check] = {
    "host": checks.host,
    "port": checks.whole(1, 65_535),
    "require_auth": checks.boolean,
    "enable_fallback": checks.boolean,
    "enable_cors": checks.boolean,
    "high_availability_mode": checks.boolean,
    "auto_start": checks.boolean,
    "log_level": checks.one_of("debug", "info", "warning", "error"),
    "default_timeout": _SECONDS,
    "cors_origins": checks.listed(checks.origin),
    "strategy": _STRATEGY,
    "strategies": checks.mapping(_STRATEGY),
    "session_affinity": checks.boolean,
    "queue_limit": checks.whole(0, 1_000_000),
    "queue_seconds": checks.number(0, 3_600),
    "probe_seconds": checks.number(0, 86_400),
    "model_list_seconds": checks.number(0, 31_536_000),
    "request_log_limit": checks.whole(0, 100_000_000),
    "request_log_days": checks.positive(36_500),
    "log_prompts": checks.boolean,
    "idempotency_hours": checks.number(0, 8_760),
    "allow_private_urls": checks.listed(checks.private_url),
    "fetch_through_proxies": checks.boolean,
    "metrics": checks.one_of("admin", "open", "off"),
    "limits": limits.limits,
    "gateway_usage": checks.boolean,
    "unpriced": checks.one_of("auto", "allow", "block", "estimate"),
    "unpriced_price": written_rates,
    "hf_models": hub_models,
}

_OAUTH: Mapping[str, Check] = {
    "token_url": checks.token_url,
    "client_id": checks.blank_or(checks.text, then=""),
    "client_secret": checks.blank_or(checks.secret),
    "scope": checks.blank_or(checks.text, then=""),
}


def _oauth(value: Any) -> OAuth:
    return OAuth(**read_fields(value, _OAUTH, required=("token_url",)))


_DROPPABLE = (
    *RequestSettings.__struct_fields__,
    "tool_choice",
    "parallel_tool_calls",
    "output",
    "reasoning",
)

CHANNEL: Mapping[str, Check] = {
    "id": checks.whole(1, MAX_ID),
    "name": checks.label,
    "type": checks.text,
    "base_url": checks.blank_or(checks.base_url, then=""),
    "api_key": checks.blank_or(checks.credential),
    "api_keys": checks.listed(checks.credential),
    "models": checks.names,
    "enabled": checks.boolean,
    "priority": checks.whole(0, 1_000_000),
    "timeout": checks.nullable(_SECONDS),
    "max_retries": checks.whole(0, 100),
    "proxy_enabled": checks.boolean,
    "proxy_url": checks.blank_or(checks.proxy_url),
    "max_concurrency": checks.blank_or(_COUNT, blank=(None, 0)),  # both mean adaptive
    "min_concurrency": _COUNT,
    "max_adaptive_concurrency": _COUNT,
    "response_time_low": _SECONDS,
    "response_time_high": _SECONDS,
    "error_rate_threshold": checks.number(0, 1),
    "increase_step": _COUNT,
    "decrease_factor": checks.between(0, 1),
    "stats_window_size": _COUNT,
    "cooldown_seconds": checks.number(0, 86_400),
    "protocol": checks.blank_or(checks.text, then=""),
    "protocols": checks.mapping(checks.blank_or(checks.base_url, then="")),
    "aliases": checks.mapping(checks.text),
    "headers": checks.mapping(checks.secret, checks.header_name),
    "weight": checks.whole(1, 1_000),
    "tags": checks.names,
    "strict": checks.boolean,
    "drops": checks.listed(checks.known_name(_DROPPABLE, "the request field")),
    "quirks": checks.mapping(checks.json_value),
    "prices": checks.mapping(written_price),
    "oauth": checks.nullable(_oauth),
}


def _channel_reference(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return checks.text(value)


TOKEN: Mapping[str, Check] = {
    "id": checks.whole(1, MAX_ID),
    "name": checks.label,
    "key": checks.secret,
    "enabled": checks.boolean,
    "allowed_channels": checks.listed(_channel_reference),
    "allowed_models": checks.names,
    "strict": checks.boolean,
    "expires_at": checks.nullable(checks.moment),
    "admin": checks.boolean,
    "user": checks.label,
    "limits": limits.limits,
    "budget": limits.budget,
    "metadata": limits.metadata,
}

NEEDS_RESTART = frozenset({"host", "port", "enable_cors", "cors_origins"})
"""Settings that a running gateway read once, when it started."""
