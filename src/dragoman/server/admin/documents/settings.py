"""The gateway's settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from dragoman.server.admin.documents.common import Described, Given, Shown, change_of
from dragoman.server.admin.documents.money import LimitsGiven, empty
from dragoman.server.admin.documents.prices import Usd

Strategy = Literal["round_robin", "least_busy", "lowest_latency", "lowest_price"]


class HubModel(Given):
    """What answers for a model of the Hub at a task."""

    model: str = Field(description="The name of a model of this gateway.")
    parameters: dict[str, Any] = Field({}, description="Default parameters of the task.")


class SettingValues(Given):
    """Every setting."""

    host: str = Field(
        "0.0.0.0",  # noqa: S104 - the default, as config.schema says
        description="The address to listen on. A change waits for a restart.",
    )
    port: int = Field(
        3000, ge=1, le=65_535, description="The port to listen on. A change waits for a restart."
    )
    require_auth: bool = Field(
        True, description="Whether requests need a key. This API always needs one."
    )
    enable_fallback: bool = Field(
        True, description="Whether another channel is asked when one fails."
    )
    enable_cors: bool = Field(
        True,
        description="Whether web pages elsewhere may use the gateway."
        " A change waits for a restart.",
    )
    high_availability_mode: bool = Field(
        False,
        description="Whether every request goes to the first available channel, whatever model it "
        "names.",
    )
    auto_start: bool = Field(False, description="Whether the desktop program starts with Windows.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much is logged."
    )
    default_timeout: float = Field(
        120.0, gt=0, le=86_400, description="Seconds, for channels that set no `timeout`."
    )
    cors_origins: list[str] = Field(
        ["*"],
        description="The web origins that may use the gateway; `*` means all. "
        "A change waits for a restart.",
    )
    strategy: Strategy = Field(
        "round_robin", description="How the channels of one priority are ordered."
    )
    strategies: dict[str, Strategy] = Field(
        {},
        description="Other strategies by a pattern of model names; the first that fits counts.",
        examples=[{"gpt-*": "lowest_latency"}],
    )
    session_affinity: bool = Field(
        True, description="Whether a conversation stays with its channel, for the provider's cache."
    )
    queue_limit: int = Field(
        100, ge=0, le=1_000_000, description="So many requests may wait for a place, per channel."
    )
    queue_seconds: float = Field(
        10.0, ge=0, le=3_600, description="So long a request waits for a place; then it gets 503."
    )
    probe_seconds: float = Field(
        0.0, ge=0, le=86_400, description="Seconds between checks of failing channels; 0 for none."
    )
    model_list_seconds: float = Field(
        3_600.0,
        ge=0,
        le=31_536_000,
        description="Seconds between fetching the lists of channels that state no models; 0 for never.",
    )
    request_log_limit: int = Field(
        100_000, ge=0, le=100_000_000, description="So many requests are remembered; 0 for none."
    )
    request_log_days: float = Field(
        30.0, gt=0, le=36_500, description="So many days they are remembered."
    )
    log_prompts: bool = Field(
        False, description="Whether prompts and answers are remembered with them."
    )
    idempotency_hours: float = Field(
        24.0,
        ge=0,
        le=8_760,
        description="Hours for which the answers to requests with an `Idempotency-Key` are kept, to be "
        "sent again; 0 ignores that header.",
    )
    allow_private_urls: list[str] = Field(
        [],
        description="Hosts, addresses and networks that clients may have files fetched from though they "
        "are not public, each with a port or without.",
        examples=[["nas.example", "10.1.0.0/16", "192.168.1.5:8080"]],
    )
    fetch_through_proxies: bool = Field(
        False,
        description="Whether addresses that clients name are fetched through a channel's proxy, which "
        "hides what a name stands for.",
    )
    limits: LimitsGiven = empty("Limits of all users together.")
    metrics: Literal["admin", "open", "off"] = Field(
        "admin",
        description="Who may read `/metrics`: whoever has an admin key or the token of "
        "`DRAGOMAN_METRICS_TOKEN` (`admin`), everyone (`open`), or nobody (`off`).",
    )
    gateway_usage: bool = Field(
        False,
        description="Whether every answer tells what it cost, as a member `gateway_usage`; answers to "
        "clients that name the provider `huggingface` always do.",
    )
    unpriced: Literal["auto", "allow", "block", "estimate"] = Field(
        "auto",
        description="What becomes of a request whose price nobody knows: it is served and counted "
        "(`allow`), refused (`block`), billed by `unpriced_price` (`estimate`), or served unless an "
        "account, a budget or a trial in dollars would have to pay (`auto`).",
    )
    unpriced_price: dict[Literal["input", "output"], Usd] = Field(
        {},
        description="`input` and `output`, in USD per million tokens, for `estimate`.",
        examples=[{"input": 5, "output": 25}],
    )
    hf_models: dict[str, dict[str, HubModel]] = Field(
        {},
        description="Which model answers for one of the Hugging Face Hub, by the Hub's name and the "
        "task; `parameters` are for clients that give none.",
        examples=[{"org/model": {"text-generation": {"model": "gpt-4o-mini"}}}],
    )


SettingsChange = change_of(
    SettingValues,
    "SettingsChange",
    "A change of settings: those left out stay, null resets one to its default.",
)


class SettingsShown(Shown):
    """The settings in force."""

    values: Annotated[dict[str, Any], Described(SettingValues)] = Field(
        description="Every setting."
    )
    sources: dict[str, str] = Field(
        description="Where each comes from: `default`, `file`, `database`, `environment` or `flag`. "
        "The last two win over what this API writes."
    )
    needs_restart: list[str] = Field(
        [], description="Settings that were changed and wait for a restart."
    )
