"""Where each provider is reached, as a channel without a word on it comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragoman.config.channels import read_channel, resolve
from dragoman.config.environment import Environment, read
from dragoman.config.problems import Refusal
from dragoman.providers.catalog import load_catalog
from dragoman.providers.page import page
from dragoman.routing.channel import Channel

CATALOG = load_catalog()
PAGE = Path(__file__).resolve().parents[2] / "docs" / "providers.md"
OPENAI, ANTHROPIC, GEMINI, OLLAMA = (
    "openai_chat",
    "anthropic_messages",
    "gemini_generate",
    "ollama_chat",
)
ADDRESSES = [
    pytest.param(
        "openai", OPENAI, "https://api.openai.com/v1", marks=pytest.mark.row("S2-21"), id="openai"
    ),
    pytest.param(
        "anthropic",
        ANTHROPIC,
        "https://api.anthropic.com",
        marks=pytest.mark.row("S2-22"),
        id="anthropic",
    ),
    pytest.param(
        "gemini",
        GEMINI,
        "https://generativelanguage.googleapis.com",
        marks=pytest.mark.row("S2-23"),
        id="gemini",
    ),
    pytest.param(
        "ollama", OLLAMA, "http://localhost:11434", marks=pytest.mark.row("S2-24"), id="ollama"
    ),
]
COMPATIBLE = {
    "openrouter": "https://openrouter.ai/api/v1",
    "huggingface": "https://router.huggingface.co/v1",
    "portkey": "https://api.portkey.ai/v1",
    "featherless": "https://api.featherless.ai/v1",
    "fireworks": "https://api.fireworks.ai/inference/v1",
    "together": "https://api.together.xyz/v1",
    "groq": "https://api.groq.com/openai/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "cerebras": "https://api.cerebras.ai/v1",
    "novita": "https://api.novita.ai/openai/v1",
    "chutes": "https://llm.chutes.ai/v1",
    "xai": "https://api.x.ai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "cohere": "https://api.cohere.ai/compatibility/v1",
    "perplexity": "https://api.perplexity.ai",
    "sambanova": "https://api.sambanova.ai/v1",
    "nebius": "https://api.tokenfactory.nebius.com/v1",
    "near": "https://cloud-api.near.ai/v1",
    "aihubmix": "https://aihubmix.com/v1",
    "anannas": "https://api.anannas.ai/v1",
    "helicone": "https://ai-gateway.helicone.ai/v1",
    "vercel-ai-gateway": "https://ai-gateway.vercel.sh/v1",
    "alibaba-cloud": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    "nvidia": "https://integrate.api.nvidia.com/v1",
    "lmstudio": "http://localhost:1234/v1",
    "vllm": "http://localhost:8000/v1",
    "llama.cpp": "http://localhost:8080/v1",
}


def made(type: str, **fields: Any) -> Channel:
    return resolve(read_channel({"name": "one", "type": type, **fields}), CATALOG)


def refused(type: str, **fields: Any) -> list[str]:
    """The fields at fault."""
    with pytest.raises(Refusal) as caught:
        made(type, **fields)
    return [problem.path for problem in caught.value.problems]


@pytest.mark.parametrize(("type", "protocol", "url"), ADDRESSES)
def test_the_makers_of_the_protocols(type: str, protocol: str, url: str) -> None:
    first = made(type).endpoints[0]
    assert (first.protocol, first.base_url) == (protocol, url)


@pytest.mark.row("S4-1")
@pytest.mark.parametrize("type", COMPATIBLE)
def test_those_that_speak_openais_protocol(type: str) -> None:
    first = made(type).endpoints[0]
    assert (first.protocol, first.base_url) == (OPENAI, COMPATIBLE[type])


@pytest.mark.row("S2-25")
def test_custom_has_the_address_it_is_given() -> None:
    channel = made("custom", protocol=OPENAI, base_url="http://10.0.0.7:8000/v1/")
    assert [(one.protocol, one.base_url) for one in channel.endpoints] == [
        (OPENAI, "http://10.0.0.7:8000/v1")
    ]
    assert refused("custom", protocol=OPENAI) == ["base_url"]


def test_azure_has_an_address_for_everyone() -> None:
    """Its variable holds the resource only; the API lies below it, and speaks both protocols."""
    assert refused("azure-openai", api_key="k") == ["base_url"]
    for given in ("https://res.openai.azure.com", "https://res.openai.azure.com/openai/v1/"):
        channel = made("azure", base_url=given)
        assert {one.protocol: one.base_url for one in channel.endpoints} == dict.fromkeys(
            (OPENAI, "openai_responses"), "https://res.openai.azure.com/openai/v1"
        )
    assert channel.credential_header == "api-key"
    assert not channel.lists_models


def environment(**variables: str) -> Environment:
    return read(variables, CATALOG)


def test_azure_from_the_environment() -> None:
    endpoint = "https://res.openai.azure.com/"
    found = environment(AZURE_OPENAI_API_KEY="key-of-azure", AZURE_OPENAI_ENDPOINT=endpoint)
    (one,) = found.channels
    channel = resolve(one.entry, CATALOG)
    assert channel.endpoints[0].base_url == "https://res.openai.azure.com/openai/v1"
    alone = environment(AZURE_OPENAI_API_KEY="key-of-azure")
    assert alone.channels == ()
    (notice,) = alone.notices
    assert "AZURE_OPENAI_API_KEY has no address" in notice
    assert "set AZURE_OPENAI_ENDPOINT" in notice
    bare = environment(AZURE_OPENAI_API_KEY="k-of-azure", AZURE_OPENAI_ENDPOINT="res.azure.com")
    assert bare.channels[0].entry.base_url == "https://res.azure.com"


def test_what_hugging_faces_channels_bring() -> None:
    hub = made("huggingface", api_key="hf_x")
    assert (hub.timeout, hub.loading_seconds) == (180.0, 60.0)
    assert hub.client_headers == ("x-hf-bill-to",)
    assert hub.suits("org/name:cheapest")
    assert made("huggingface", api_key="hf_x", timeout=30).timeout == 30.0


def test_an_address_of_ones_own_may_have_any_models() -> None:
    assert made("openai", base_url="http://10.0.0.7/v1").suits("org/name") is None


def test_the_page_says_what_the_catalogue_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(CATALOG), "run: make docs"
