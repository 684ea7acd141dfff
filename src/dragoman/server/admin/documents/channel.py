"""Channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from dragoman.server.admin.documents.common import Given, Masked, Names, Shown, change_of
from dragoman.server.admin.documents.prices import Rates, Tier

_ID = 2**53
_COUNT = 1_000_000
_SECONDS = 86_400


class Price(Rates, total=False):
    """What a model costs, in USD per million tokens. What is left out costs as much as plain input or
    output."""

    tiers: Annotated[
        list[Tier],
        Field(
            description="Other prices for long prompts, by ascending `above`.",
            json_schema_extra={"default": []},
        ),
    ]


class OAuth(Given):
    """How a refresh token becomes an access token (RFC 6749, section 6)."""

    token_url: str = Field(
        description="The token endpoint: https, but for a server on this machine.",
        examples=["https://auth.example.com/oauth/token"],
    )
    client_id: str | None = Field("", description="The operator's own client id.")
    client_secret: str | None = Field(None, description="Its secret, if it has one. Write-only.")
    scope: str | None = Field("", description="The scope to ask for; else that of the sign-in.")


class OAuthShown(OAuth):
    """How a refresh token becomes an access token; `***` stands for the secret."""

    model_config = ConfigDict(extra="ignore", strict=False)

    client_secret: Masked | None = Field(None, description="`***` if one is set.")


class ChannelNew(Given):
    """A channel to make: one configured way to a provider."""

    name: str = Field(
        description="What to call it; no other channel has the name, and it is not digits only.",
        max_length=200,
        examples=["OpenAI"],
    )
    type: str = Field(
        description="The provider's id, as GET /admin/api/providers lists them, or `custom`.",
        max_length=200,
        examples=["openai"],
    )
    base_url: str | None = Field(
        "",
        description="Another address than the provider's own, as far as its paths begin.",
        examples=["https://llm.example.com/v1"],
    )
    api_key: str | None = Field(
        None, description="The provider's credential. Write-only: `***` stands for it in answers."
    )
    api_keys: list[str] = Field(
        [], description="Further credentials, used in turn with `api_key`. Write-only."
    )
    models: Names = Field(
        [],
        description="The models it serves; none listed means all. A list, or text with commas.",
        examples=[["gpt-5", "gpt-5-mini"]],
    )
    enabled: bool = Field(True, description="Whether it is used.")
    priority: int = Field(
        1, ge=0, le=_COUNT, description="Lower goes first; equals share the requests."
    )
    timeout: float | None = Field(
        None,
        gt=0,
        le=_SECONDS,
        description="Seconds of silence, before and between bytes, after which it has failed. "
        "null: the setting `default_timeout`.",
    )
    max_retries: int = Field(
        3,
        ge=0,
        le=100,
        description="How often a request may be repeated here when no other channel is left.",
    )
    proxy_enabled: bool = Field(
        False,
        description="Whether to go through `proxy_url`. Left out, it is true if that is given.",
    )
    proxy_url: str | None = Field(
        None,
        description="An HTTP or SOCKS5 proxy. Write-only, because it may hold a password.",
        examples=["socks5://user:password@proxy.example.com:1080"],
    )
    max_concurrency: int | None = Field(
        None,
        ge=0,
        le=_COUNT,
        description="So many requests at a time. null or 0: adaptive, as the next fields say.",
    )
    min_concurrency: int = Field(
        1, ge=1, le=_COUNT, description="Where adaptive concurrency begins, and its lower bound."
    )
    max_adaptive_concurrency: int = Field(
        10, ge=1, le=_COUNT, description="The upper bound of adaptive concurrency."
    )
    response_time_low: float = Field(
        1.0, gt=0, le=_SECONDS, description="Seconds; faster than this, more is tried."
    )
    response_time_high: float = Field(
        5.0, gt=0, le=_SECONDS, description="Seconds; slower than this, less is tried."
    )
    error_rate_threshold: float = Field(
        0.1, ge=0, le=1, description="Share of failures above which concurrency is halved."
    )
    increase_step: int = Field(
        2, ge=1, le=_COUNT, description="By how many places concurrency is raised."
    )
    decrease_factor: float = Field(
        0.8, gt=0, lt=1, description="By what concurrency is multiplied to lower it."
    )
    stats_window_size: int = Field(
        100, ge=1, le=_COUNT, description="How many of the latest requests are looked at."
    )
    cooldown_seconds: float = Field(
        5.0, ge=0, le=_SECONDS, description="Seconds between two changes of the concurrency."
    )
    protocol: str | None = Field(
        "",
        max_length=200,
        description="What the channel speaks, if not the provider's own: `openai_chat`, "
        "`openai_responses`, `anthropic_messages`, `gemini_generate`, `ollama_chat` …",
    )
    protocols: Mapping[str, str | None] = Field(
        {},
        description="Further protocols and their base URLs; a blank URL means `base_url`.",
    )
    aliases: dict[str, str] = Field(
        {},
        description="Public model names, and the provider's names that they stand for.",
        examples=[{"fast": "gpt-5-mini"}],
    )
    headers: dict[str, str] = Field(
        {}, description="Headers to send with every request. Their values are write-only."
    )
    weight: int = Field(1, ge=1, le=1_000, description="Its share among channels of one priority.")
    tags: Names = Field([], description="The operator's own words for it.")
    strict: bool = Field(
        False, description="Whether to refuse a request that would lose a field in translation."
    )
    drops: list[str] = Field(
        [], description="Request fields that this upstream refuses, to be left out."
    )
    quirks: dict[str, Any] = Field(
        {}, description="Ways in which this upstream differs from the protocol it speaks."
    )
    prices: dict[str, Price] = Field(
        {},
        description="The operator's own prices, by model; `*` is every other model.",
        examples=[{"gpt-5": {"input": 1.25, "output": 10, "cache_read": 0.125}}],
    )
    oauth: OAuth | None = Field(
        None, description="The credentials are refresh tokens, to be exchanged as this says."
    )


ChannelChange = change_of(
    ChannelNew,
    "ChannelChange",
    "A change of a channel: fields that are left out stay, null resets one to its default. A secret "
    "sent back as `***` stays as well.",
)


class Bench(Shown):
    """A credential is left alone for a while."""

    model: str = Field("", description="For this model only; empty means for all.")
    seconds: float = Field(description="How much longer.")
    reason: str = Field(description="Why.")


class CredentialState(Shown):
    """How one of the channel's credentials is."""

    number: int = Field(description="Counted from 1; 0 for a channel without credentials.")
    circuit: str = Field(
        description="`closed` (well), `open` (left alone) or `half_open` (on trial)."
    )
    opens_again: float = Field(description="Seconds until an open circuit is tried again.")
    benches: list[Bench] = Field([], description="Cooldowns that hold.")


class ChannelState(Shown):
    """What a channel does at this moment, and how it has done since the start."""

    in_flight: int = Field(description="Requests under way.")
    waiting: int = Field(description="Requests that wait for a free place.")
    current_limit: int = Field(description="So many may be under way at once.")
    mode: str = Field(description="`fixed` or `adaptive`.")
    avg_response_time: float = Field(description="Seconds, over the window.")
    error_rate: float = Field(description="Share of failures, over the window.")
    sample_count: int = Field(description="How many requests the window holds.")
    total_requests: int = Field(description="Attempts since the start.")
    total_errors: int = Field(description="Those of them that failed.")
    time_to_first_content: float | None = Field(
        None, description="Smoothed seconds; null if not measured within the last minute."
    )
    healthy: bool = Field(description="Whether at least one credential is well.")
    last_error: str = Field("", description="The latest failure, in words.")
    credentials: list[CredentialState] = Field([], description="Its credentials, one by one.")


class _Identified(Shown):
    id: int = Field(description="Its number; the name may change, this does not.")


class Channel(ChannelNew, _Identified):
    """A channel in force."""

    model_config = ConfigDict(extra="ignore", strict=False)

    api_key: Masked | None = Field(None, description="`***` if one is set.")
    api_keys: list[Masked] = Field([], description="`***` for each further credential.")
    proxy_url: Masked | None = Field(None, description="`***` if one is set.")
    headers: dict[str, Masked] = Field({}, description="Names as they are, values as `***`.")
    oauth: OAuthShown | None = Field(None, description="How refresh tokens are exchanged, if so.")
    models: list[str] = Field([], description="The models it serves; none listed means all.")
    tags: list[str] = Field([], description="The operator's own words for it.")
    protocols: Mapping[str, str] = Field(
        {}, description="Every protocol it speaks, with the base URL; the first is preferred."
    )
    has_api_key: bool = Field(False, description="Whether it has a credential.")
    source: str = Field(
        description="Where it comes from: `database`, `file`, `environment` or `demo`."
    )
    editable: bool = Field(description="Whether this API can change it.")
    state: ChannelState | None = Field(None, description="What it does at this moment.")


class Channels(Shown):
    """Every channel in force."""

    channels: list[Channel] = Field(description="The channels.")


class Trial(Given):
    """How to try a channel."""

    model: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Have this model generate a few tokens; else only the models are listed.",
    )
    credential: int | None = Field(
        None, ge=1, le=_COUNT, description="Only the credential of this number; else all of them."
    )


class TrialResult(Shown):
    """What came of it with one credential."""

    credential: int = Field(description="Counted from 1; 0 for a channel without credentials.")
    ok: bool = Field(description="Whether it is well.")
    status: int | None = Field(description="The provider's HTTP status, null if it did not answer.")
    milliseconds: float = Field(description="How long it took.")
    detail: str = Field(description="What is wrong and what to do about it, if anything is.")


class TrialResults(Shown):
    """What came of trying a channel."""

    ok: bool = Field(description="Whether every credential tried is well.")
    results: list[TrialResult] = Field(description="One for each credential.")
