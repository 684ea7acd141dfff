"""Prices."""

from __future__ import annotations

from typing import Annotated, Any, Required

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # what pydantic wants before Python 3.12

from dragoman.server.admin.documents.common import Shown

Usd = Annotated[float, Field(ge=0, le=1_000_000)] | str
"""A number, or one as text where every digit is to be kept."""

_EXACT = ConfigDict(extra="forbid", strict=True)


def _stated(description: str, *, default: Any = None, like: str = "") -> Any:
    """A field that may be left out, and what that means."""
    if like:
        return Field(description=f"{description} Default: as `{like}`.")
    return Field(description=description, json_schema_extra={"default": default})


class Rates(TypedDict, total=False):
    """Prices in USD per million tokens of each kind."""

    __pydantic_config__ = _EXACT  # type: ignore[misc]  # so pydantic configures what is no model

    input: Annotated[Usd, _stated("For tokens that the model reads.", default=0)]
    output: Annotated[Usd, _stated("For tokens that the model writes.", default=0)]
    cache_read: Annotated[Usd, _stated("For input out of the provider's cache.", like="input")]
    cache_write_5m: Annotated[Usd, _stated("For input kept there for 5 minutes.", like="input")]
    cache_write_1h: Annotated[Usd, _stated("For input kept there for an hour.", like="input")]
    input_audio: Annotated[Usd, _stated("For sound that the model hears.", like="input")]
    input_image: Annotated[Usd, _stated("For pictures that the model sees.", like="input")]
    reasoning: Annotated[Usd, _stated("For thoughts, which are output otherwise.", like="output")]
    output_audio: Annotated[Usd, _stated("For sound that the model makes.", like="output")]
    output_image: Annotated[Usd, _stated("For pictures that the model makes.", like="output")]
    request: Annotated[Usd, _stated("For every request, in USD.", default=0)]


class Tier(Rates, total=False):
    """Other prices for long prompts; what is left out stays as it was."""

    above: Required[
        Annotated[
            int,
            Field(ge=1, le=2**53, description="For requests that read more tokens than this."),
        ]
    ]


class PricesPage(BaseModel):
    """Which prices."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=1_000, description="At most so many.")
    offset: int = Field(0, ge=0, le=10_000_000, description="So many are passed over.")
    channel: str | None = Field(None, max_length=200, description="The channel's name or number.")
    model: str | None = Field(
        None, min_length=1, max_length=400, description="The model's name, or a part of it."
    )
    unpriced: bool | None = Field(
        None, description="Only those without a price, or only those with one."
    )


class ModelPrice(Shown):
    """What a model costs at a channel."""

    model: str = Field(description="The model's public name.")
    channel: str = Field(description="The channel's name.")
    channel_id: int = Field(description="The channel's number.")
    upstream_model: str = Field(description="The provider's name for the model.")
    priced: bool = Field(description="Whether anybody says what it costs.")
    source: str = Field(
        "",
        description="Who says so: `operator`, `provider`, `genai-prices` and its version, or `local`.",
    )
    as_of: str = Field("", description="The day it was read or published, if known.")
    rates: dict[str, Any] = Field(
        {},
        description="USD per million tokens of each kind, and per `request`, exact as text. What is "
        "not named costs as much as plain input or output.",
    )
    tiers: list[dict[str, Any]] = Field(
        [], description="Other rates for requests that read more tokens than `above`."
    )


class Prices(Shown):
    """Some of the prices in force."""

    prices: list[ModelPrice] = Field(description="By channel and model.")
    total: int = Field(description="How many there are in all, with this filter.")
    unpriced: int = Field(description="How many of these have no price.")
