"""Prices for ordering channels: the operator's, the price list's, and none at all."""

from __future__ import annotations

import subprocess
import sys

import pytest
from genai_prices import Usage, calc_price
from msgspec.structs import replace

from dragoman.cli.wiring import price_of
from dragoman.config.channels import resolve
from dragoman.config.schema import ChannelEntry
from dragoman.providers import prices
from dragoman.providers.catalog import load_catalog
from dragoman.providers.prices import listed_price, own_price, typical_price
from dragoman.routing.channel import Channel
from dragoman.routing.select import RoutingTable, Strategies

CATALOG = load_catalog()
LISTED = [  # our provider id, its own model name, the price list's id for the provider
    ("openai", "gpt-4o", "openai"),
    ("openai", "gpt-4o-mini-2024-07-18", "openai"),
    ("anthropic", "claude-sonnet-4-5-20250929", "anthropic"),
    ("gemini", "gemini-2.5-flash", "google"),
    ("openrouter", "anthropic/claude-sonnet-4.5", "openrouter"),
    ("xai", "grok-4", "x-ai"),
    ("zhipu", "glm-4.6", "zai"),
    ("moonshot", "kimi-k2.5", "moonshotai"),
    ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "together"),
]


def channel(type: str, *models: str, **fields: object) -> Channel:
    entry = ChannelEntry(id=1, name=type, type=type, models=models, **fields)  # type: ignore[arg-type]
    return resolve(entry, CATALOG)


@pytest.mark.parametrize(("provider", "model", "listed_as"), LISTED)
def test_the_price_lists_figure_for_three_parts_input_and_one_part_output(
    provider: str, model: str, listed_as: str
) -> None:
    usage = Usage(input_tokens=3_000, output_tokens=1_000)
    total = calc_price(usage, model, provider_id=listed_as).total_price
    assert total > 0
    assert listed_price(provider, model) == pytest.approx(float(total) / 4_000 * 1_000_000)
    assert price_of(channel(provider), model) == listed_price(provider, model)


def test_a_long_prompts_surcharge_is_not_in_it() -> None:
    usage = Usage(input_tokens=750_000, output_tokens=250_000)
    dear = calc_price(usage, "claude-sonnet-4-5", provider_id="anthropic").total_price
    typical = listed_price("anthropic", "claude-sonnet-4-5")
    assert typical is not None
    assert typical < float(dear)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("openai", ""),
        ("openai", "x" * 10_000),
        ("openai", "whisper-1"),  # priced by the hour
        ("openrouter", "mistralai/mistral-nemo:free"),
        ("ollama", "llama3.3"),
        ("ollama-cloud", "gpt-oss:120b"),
        ("vllm", "gpt-4o"),
        ("custom", "gpt-4o"),
        ("my-openai-proxy", "gpt-4o"),  # the package alone would take it for OpenAI
    ],
)
def test_what_nobody_says_is_unknown_and_not_free(provider: str, model: str) -> None:
    assert listed_price(provider, model) is None


def test_the_operators_price_wins_by_public_or_upstream_name_in_any_case() -> None:
    prices = {"gpt-4o": {"input": 1.0, "output": 5.0}, "Fast": {"input": 0.1, "output": 0.5}}
    mine = channel("openai", prices=prices, aliases={"fast": "gpt-4o-mini", "smart": "gpt-4o"})
    assert price_of(mine, "gpt-4o") == 2.0
    assert price_of(mine, "smart") == 2.0
    assert price_of(mine, "FAST") == pytest.approx(0.2)
    assert price_of(mine, "gpt-4o-mini") == listed_price("openai", "gpt-4o-mini")
    assert own_price({}, "gpt-4o") is None


def test_the_alias_is_priced_as_what_it_stands_for() -> None:
    aliased = channel("anthropic", aliases={"smart": "claude-sonnet-4-5"})
    assert price_of(aliased, "smart") == listed_price("anthropic", "claude-sonnet-4-5")


@pytest.mark.parametrize(
    ("type", "fields"),
    [
        ("ollama", {}),
        ("openai", {"base_url": "http://127.0.0.1:8000/v1"}),
        ("openai", {"base_url": "http://localhost:8000/v1"}),
        ("openai", {"base_url": "http://[::1]:8000/v1"}),
    ],
)
def test_a_server_on_this_machine_is_free_only_if_the_operator_says_so(
    type: str, fields: dict[str, object]
) -> None:
    assert price_of(channel(type, **fields), "gpt-4o") is None
    free = {"gpt-4o": {"input": 0.0, "output": 0.0}}
    assert price_of(channel(type, prices=free, **fields), "gpt-4o") == 0.0


def test_the_cheapest_channel_goes_first_and_the_unknown_price_last() -> None:
    channels = (
        channel("ollama", "m"),
        channel("openai", "m", aliases={"m": "gpt-4o"}),
        channel("gemini", "m", aliases={"m": "gemini-2.5-flash"}),
    )
    channels = tuple(replace(one, id=id) for id, one in enumerate(channels, start=1))
    table = RoutingTable(channels, strategies=Strategies(default="lowest_price"), price_of=price_of)
    for _ in range(4):  # whosever turn it is
        names = [option.channel.name for option in table.order("m", 0.0).options]
        assert names == ["gemini", "openai", "ollama"]


def test_figures_are_remembered_and_the_memory_is_bounded() -> None:
    remembered = prices._listed_price
    remembered.cache_clear()
    for _ in range(3):
        listed_price("openai", "gpt-4o")
    assert remembered.cache_info().misses == 1
    for number in range(5_000):
        remembered("nobody", f"model-{number}", 0)
    assert remembered.cache_info().currsize <= 4096


def test_the_mixture() -> None:
    assert typical_price(1.0, 1.0) == 1.0
    assert typical_price(0.0, 4.0) == 1.0
    assert typical_price(4.0, 0.0) == 3.0


def test_starting_does_not_load_the_price_list() -> None:
    program = (
        "import sys\n"
        "from dragoman.cli.wiring import price_of\n"
        "from dragoman.server.run import run_server\n"
        "print('genai_prices' in sys.modules, 'pydantic' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False False"
