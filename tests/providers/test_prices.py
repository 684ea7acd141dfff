"""The shipped prices against the package that ships them, and the figure for comparing."""

from __future__ import annotations

import datetime
import warnings
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage as ListUsage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo

from dragoman.canonical.usage import Usage
from dragoman.governance.money import NANO
from dragoman.governance.price import Price, Rates, cost
from dragoman.providers import price_data
from dragoman.providers.price_data import next_change, shipped_price
from dragoman.providers.prices import own_price, typical_price

NOON = datetime.datetime(2026, 11, 20, 12, 0, tzinfo=datetime.UTC)
USAGES = (
    Usage(input=1, output=1),
    Usage(input=1_234, output=567),
    Usage(input=10, cache_read=90_001, output=7, reasoning=13),
    Usage(input=10, cache_write_5m=3_001, cache_write_1h=77, output=7),
    Usage(input=300_001, output=1_003),
    Usage(input=1, cache_read=200_000, output=11),
    Usage(input=1_500_000, cache_read=5, cache_write_5m=3, output=99, reasoning=1),
)
LOUD = (
    Usage(input=100, input_audio=333, output=9, output_audio=77),
    Usage(input=100, input_image=333, output=9, output_image=77),
)


def as_listed(usage: Usage) -> ListUsage:
    """The package's buckets, which overlap."""
    return ListUsage(
        input_tokens=usage.total_input,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write_5m + usage.cache_write_1h,
        cache_write_5m_tokens=usage.cache_write_5m,
        cache_write_1h_tokens=usage.cache_write_1h,
        input_audio_tokens=usage.input_audio,
        input_image_tokens=usage.input_image,
        input_video_tokens=0,
        cache_audio_read_tokens=0,
        cache_image_read_tokens=0,
        output_tokens=usage.total_output,
        output_reasoning_tokens=usage.reasoning,
        output_audio_tokens=usage.output_audio,
        output_image_tokens=usage.output_image,
        output_video_tokens=0,
        output_citation_tokens=0,
    )


def every_model() -> list[tuple[str, ModelInfo]]:
    known = {listed: ours for ours, listed in price_data._LISTED_AS.items() if ours != "vertex"}
    rows = [row for row in get_snapshot().providers if not row.id.startswith("huggingface_")]
    return [(known.get(row.id, row.id), model) for row in rows for model in row.models]


@pytest.mark.row("S4-22")
@pytest.mark.parametrize(
    "moment",
    [NOON, NOON.replace(hour=2), NOON.replace(year=2025), NOON.replace(year=2027)],
    ids=["noon", "night", "a year before", "a year after"],
)
def test_every_model_costs_what_the_package_itself_says(moment: datetime.datetime) -> None:
    compared = 0
    wrong: list[str] = []
    for _, model in every_model():
        listed = model.get_prices(moment)
        price = price_data._price(model, moment.timestamp(), is_free=True)
        assert price is not None
        usages: tuple[Usage, ...] = USAGES
        if listed.input_audio_mtok is not None or listed.input_image_mtok is not None:
            usages = (*USAGES, *LOUD)
        for usage in usages:
            with warnings.catch_warnings(action="ignore"):
                expected = listed.calc_price(as_listed(usage))["total_price"] * NANO
            # Their figures may be finer than a nano-USD a million tokens; ours are not.
            slack = Decimal(usage.total) / 1_000_000 + 1
            if not -slack <= cost(usage, price) - expected <= slack:
                wrong.append(f"{model.id} {usage}: {cost(usage, price)}, not {expected}")
            compared += 1
    assert not wrong, wrong[:5]
    assert compared > 10_000


@pytest.mark.parametrize(
    ("provider", "model", "rates"),
    [
        (
            "openai",
            "gpt-4o",
            Rates(input=2_500_000_000, output=10 * NANO, cache_read=1_250_000_000),
        ),
        (
            "anthropic",
            "claude-sonnet-4-5-20250929",
            Rates(
                input=3 * NANO,
                output=15 * NANO,
                cache_read=300_000_000,
                cache_write_5m=3_750_000_000,
                cache_write_1h=6 * NANO,
            ),
        ),
    ],
)
def test_whole_prices_are_exact(provider: str, model: str, rates: Rates) -> None:
    price = shipped_price(provider, model, NOON.timestamp())
    assert price is not None
    assert price.rates == rates
    assert price.source.startswith("genai-prices ")
    assert "2026-01-01" <= price.as_of <= "2026-11-20"


def test_long_prompts_have_tiers() -> None:
    price = shipped_price("anthropic", "claude-sonnet-4-5", NOON.timestamp())
    assert price is not None
    assert [tier.above for tier in price.tiers] == [200_000]
    assert price.rates_for(200_000) == price.rates
    assert price.rates_for(200_001).input == 2 * price.rates.input


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("gemini", "gemini-2.5-flash"),
        ("openrouter", "anthropic/claude-sonnet-4.5"),
        ("xai", "grok-4"),
        ("zhipu", "glm-4.6"),
        ("moonshot", "kimi-k2.5"),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("azure-openai", "gpt-4o"),
        ("huggingface", "meta-llama/Llama-3.3-70B-Instruct:together"),
    ],
)
def test_providers_are_found_by_our_names(provider: str, model: str) -> None:
    price = shipped_price(provider, model, NOON.timestamp())
    assert price is not None
    assert not price.free


def test_where_a_router_chooses_the_highest_price_counts() -> None:
    name = "meta-llama/Llama-3.3-70B-Instruct"
    rows = [row.id for row in get_snapshot().providers if row.id.startswith("huggingface_")]
    hosts = (shipped_price("huggingface", f"{name}:{id[12:]}", NOON.timestamp()) for id in rows)
    prices = [price for price in hosts if price is not None]
    assert len({price.rates.output for price in prices}) > 1
    for ending in ("", ":fastest", ":preferred", ":cheapest"):
        price = shipped_price("huggingface", name + ending, NOON.timestamp())
        assert price is not None
        assert price.rates.input == max(one.rates.input for one in prices)
        assert price.rates.output == max(one.rates.output for one in prices)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("openai", ""),
        ("openai", "x" * 10_000),
        ("openai", "whisper-1"),  # priced by the hour
        ("gemini", "gemma-3"),  # written as 0, which may mean unknown
        ("huggingface", "meta-llama/Llama-3.3-70B-Instruct:nobody"),
        ("ollama", "llama3.3"),
        ("ollama-cloud", "gpt-oss:120b"),
        ("custom", "gpt-4o"),
        ("my-openai-proxy", "gpt-4o"),  # the package alone would take it for OpenAI
    ],
)
def test_what_nobody_says_is_unknown_and_not_free(provider: str, model: str) -> None:
    assert shipped_price(provider, model, NOON.timestamp()) is None


def test_what_is_called_free_is_free() -> None:
    price = shipped_price("openrouter", "google/gemma-4-31b-it:free", NOON.timestamp())
    assert price is not None
    assert price.free


def test_a_price_by_the_hour_is_that_of_the_hour() -> None:
    # By day (UTC 6 to 10) DeepSeek asks for more.
    by_hour = {
        hour: shipped_price("deepseek", "deepseek-v4-pro", NOON.replace(hour=hour).timestamp())
        for hour in (5, 7, 11)
    }
    morning, day, evening = by_hour.values()
    assert morning is not None
    assert day is not None
    assert morning == evening
    assert day.rates.input > morning.rates.input


@pytest.mark.parametrize(
    ("now", "following"), [("05:59", "06:00"), ("06:00", "10:00"), ("16:30", "24:00")]
)
def test_the_next_change_is_at_an_hours_bound_or_at_midnight(now: str, following: str) -> None:
    def at(text: str) -> float:
        hours, minutes = map(int, text.split(":"))
        return NOON.replace(hour=0).timestamp() + hours * 3600 + minutes * 60

    assert next_change(at(now)) == at(following)


def priced(**rates: Any) -> Price:
    return Price(rates=Rates(**rates), source="operator")


def test_the_mixture() -> None:
    assert typical_price(priced(input=NANO, output=NANO)) == 1.0
    assert typical_price(priced(output=4 * NANO)) == 1.0
    assert typical_price(priced(input=4 * NANO)) == 3.0


def test_own_prices_count_by_any_name_in_any_case_and_the_star_for_the_rest() -> None:
    prices = {"gpt-4o": priced(input=1), "Fast": priced(input=2), "*": priced(input=3)}
    assert own_price(prices, "smart", "gpt-4o") is prices["gpt-4o"]
    assert own_price(prices, "FAST", "gpt-4o-mini") is prices["Fast"]
    assert own_price(prices, "else", "where") is prices["*"]
    assert own_price({}, "gpt-4o") is None
