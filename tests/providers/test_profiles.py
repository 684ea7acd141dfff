"""Model profiles out of model rows, provider rows and channels."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.canonical.request import Settings
from dragoman.protocols.base import ModelProfile
from dragoman.providers.catalog import load_catalog
from dragoman.providers.profiles import ModelRow, model_rows, profile_for
from dragoman.providers.provider import Provider

ROWS = load_catalog()
SAMPLING = {"temperature", "top_p", "top_k"}
DROPPABLE = {
    *Settings.__struct_fields__,
    "tool_choice",
    "parallel_tool_calls",
    "output",
    "reasoning",
    "strict",
    "name",
}


def profile(provider: str, protocol: str, model: str, **channel: Any) -> ModelProfile:
    return profile_for(ROWS[provider], protocol=protocol, model=model, **channel)


@pytest.mark.parametrize(
    ("model", "limit", "style", "samples"),
    [
        ("claude-3-haiku-20240307", 4_096, None, True),
        ("claude-3-5-sonnet-20241022", 8_192, None, True),
        ("claude-3-7-sonnet-latest", 64_000, None, True),
        ("claude-opus-4-20250514", 32_000, None, True),
        ("claude-opus-4-1", 32_000, None, True),
        ("claude-opus-4@20250514", 32_000, None, True),
        ("claude-sonnet-4-0", 64_000, None, True),
        ("claude-sonnet-4-5-20250929", 64_000, None, True),
        ("claude-haiku-4-5", 64_000, None, True),
        ("claude-opus-4-5", 64_000, None, True),
        ("claude-opus-4-6", 128_000, "effort", True),
        ("claude-sonnet-4-6", 128_000, "effort", True),
        ("claude-opus-4-7", 128_000, "effort", False),
        ("claude-opus-4.8", 128_000, "effort", False),
        ("claude-opus-5", 128_000, "effort", False),
        ("claude-opus-5-5", 128_000, "effort", False),
        ("claude-sonnet-5", 128_000, "effort", False),
        ("claude-haiku-5-5", 128_000, "effort", False),
        ("claude-fable-5-2", 128_000, "effort", False),
        ("claude-mythos-preview", 128_000, "effort", False),
        ("us.anthropic.claude-opus-4-20250514-v1:0", 32_000, None, True),
    ],
)
def test_claude(model: str, limit: int, style: str | None, samples: bool) -> None:
    found = profile("anthropic", "anthropic_messages", model)
    assert found.model == model
    assert found.provider == "anthropic"
    assert found.max_output_tokens == limit
    assert found.quirks.get("reasoning_style") == style
    assert not SAMPLING & found.drops if samples else found.drops >= SAMPLING


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        ("o1", True),
        ("o3-mini-2025-01-31", True),
        ("gpt-5", True),
        ("gpt-5.6-sol", True),
        ("gpt-6-astra", True),
        ("gpt-4o", False),
        ("gpt-4.1-mini", False),
        ("gpt-oss-120b", False),
        ("chatgpt-4o-latest", False),
    ],
)
@pytest.mark.parametrize(
    ("provider", "vendor"), [("openai", ""), ("openrouter", "openai/"), ("huggingface", "openai/")]
)
def test_openai(provider: str, vendor: str, model: str, reasons: bool) -> None:
    found = profile(provider, "openai_chat", vendor + model)
    assert ({"temperature", "top_p", "logprobs", "stop"} <= found.drops) is reasons
    assert ("temperature" in found.drops) is reasons
    assert bool(found.quirks.get("encrypted_reasoning")) is (reasons and provider == "openai")


@pytest.mark.parametrize(
    ("model", "limit", "levels"),
    [
        ("gemini-2.0-flash", 8_192, None),
        ("gemini-2.5-pro", 65_536, None),
        ("gemini-3-pro-preview", 65_536, ["low", "high"]),
        ("gemini-3-flash-preview", 65_536, ["minimal", "low", "medium", "high"]),
        ("models/gemini-3.8-flash", 65_536, ["low", "medium", "high"]),
        ("gemini-flash-latest", 65_536, ["low", "medium", "high"]),
        ("gemini-3-pro-image-preview", 32_768, ["low", "high"]),
    ],
)
def test_gemini(model: str, limit: int, levels: list[str] | None) -> None:
    found = profile("gemini", "gemini_generate", model)
    assert found.max_output_tokens == limit
    assert found.quirks.get("thinking_level") == levels
    assert bool(found.quirks.get("thought_signature_required")) is (levels is not None)


@pytest.mark.parametrize(
    ("model", "system_messages", "exclusive"),
    [
        ("claude-sonnet-4-5", False, True),
        ("claude-opus-4-6", False, True),
        ("claude-opus-4-7", False, False),
        ("claude-opus-4-8", True, False),
        ("claude-sonnet-5", True, False),
        ("claude-mythos-preview", False, False),
    ],
)
def test_what_else_changed_with_claude(model: str, system_messages: bool, exclusive: bool) -> None:
    quirks = profile("anthropic", "anthropic_messages", model).quirks
    assert quirks.get("system_messages", False) is system_messages
    assert quirks.get("exclusive_sampling", False) is exclusive


@pytest.mark.parametrize(
    ("model", "efforts"),
    [
        ("o3-mini", ["low", "medium", "high"]),
        ("gpt-5-mini", ["minimal", "low", "medium", "high"]),
        ("gpt-5.1", ["none", "low", "medium", "high"]),
        ("gpt-5.6-sol", None),
    ],
)
def test_efforts(model: str, efforts: list[str] | None) -> None:
    assert profile("openai", "openai_chat", model).quirks.get("efforts") == efforts


def test_a_row_counts_for_its_protocols_and_providers_only() -> None:
    assert "think_levels" in profile("ollama", "ollama_chat", "gpt-oss:20b").quirks
    assert "think_levels" not in profile("vllm", "openai_chat", "gpt-oss:20b").quirks
    assert "n" in profile("moonshot", "openai_chat", "kimi-k3").drops
    assert "n" not in profile("together", "openai_chat", "moonshotai/Kimi-K3").drops


def test_later_rows_replace_and_drops_add_up() -> None:
    kimi = profile("moonshot", "openai_chat", "kimi-k2.6")
    assert kimi.drops == {
        "temperature",
        "top_p",
        "n",
        "presence_penalty",
        "frequency_penalty",
        "tool_choice",
        "strict",
    }
    assert kimi.quirks["reasoning_style"] == "thinking"
    assert kimi.quirks["max_tokens_field"] == "max_completion_tokens"


def test_the_provider_stands_above_the_model_and_the_channel_above_both() -> None:
    model = "anthropic/claude-opus-4.7"
    assert profile("anthropic", "anthropic_messages", model).quirks["reasoning_style"] == "effort"
    house = Provider(id="house", name="House", quirks={"reasoning_style": "budget"})
    found = profile_for(house, protocol="anthropic_messages", model=model)
    assert found.quirks["reasoning_style"] == "budget"
    channel = profile_for(
        house,
        protocol="anthropic_messages",
        model=model,
        drops=["user"],
        quirks={"reasoning_style": "effort"},
    )
    assert channel.quirks["reasoning_style"] == "effort"
    assert channel.drops == {"user", *SAMPLING}


def test_a_qualified_quirk_is_for_its_protocol() -> None:
    model = "anthropic/claude-opus-4.7"
    chat = profile("openrouter", "openai_chat", model).quirks
    messages = profile("openrouter", "anthropic_messages", model).quirks
    assert (chat["reasoning_style"], messages["reasoning_style"]) == ("openrouter", "effort")
    assert not [name for name in (*chat, *messages) if "." in name]
    own = {"openai_chat.stop_limit": 1, "stop_limit": 9}
    assert profile("vllm", "openai_chat", "x", quirks=own).quirks["stop_limit"] == 1
    assert profile("vllm", "openai_responses", "x", quirks=own).quirks["stop_limit"] == 9


def test_a_channel_that_carries_its_providers_facts_needs_no_row() -> None:
    row = ROWS["groq"]
    by_id = profile_for(
        "groq", protocol="openai_chat", model="gpt-oss-120b", drops=row.drops, quirks=row.quirks
    )
    assert by_id == profile("groq", "openai_chat", "gpt-oss-120b")
    assert by_id.drops == row.drops


def test_an_unknown_model_has_no_facts() -> None:
    assert profile_for("custom", protocol="openai_chat", model="My/Model") == ModelProfile(
        provider="custom", model="My/Model"
    )


def test_profiles_are_remembered() -> None:
    again = [profile_for("custom", protocol="openai_chat", model="gpt-5") for _ in range(2)]
    assert again[0] is again[1]


def test_what_is_dropped_is_something_codecs_look_for() -> None:
    drops = [row.drops for row in ROWS.values()] + [row.drops for row in model_rows()]
    assert frozenset().union(*drops) <= DROPPABLE


def test_rows_name_providers_and_protocols_that_exist() -> None:
    protocols = {protocol for row in ROWS.values() for protocol in row.protocols}
    for row in model_rows():
        assert isinstance(row, ModelRow)
        assert set(row.providers) <= set(ROWS)
        assert set(row.protocols) <= protocols
        assert all(pattern == pattern.lower() for pattern in row.match), "names are lowered"
        assert row.max_output_tokens or row.drops or row.quirks
