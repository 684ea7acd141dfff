"""An entry and its provider's row become a channel."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.canonical.secret import Secret
from dragoman.config.channels import lacks_key, read_channel, resolve
from dragoman.config.problems import Refusal
from dragoman.providers.provider import Provider
from dragoman.routing.channel import Channel, Endpoint
from tests.config.support import CATALOG

ROWS = {
    "acme": Provider(
        id="acme",
        name="Acme",
        aliases=("builtin:acme",),
        protocols={"openai_chat": "https://acme/v1/", "anthropic_messages": "https://acme"},
        credential_header="x-acme",
        drops=frozenset({"seed"}),
        quirks={"a": 1, "b": 1},
    ),
    "custom": Provider(id="custom", name="Custom", key_required=False),
}


def channel(**fields: Any) -> Channel:
    return resolve(read_channel({"name": "it", "type": "acme", **fields}), ROWS)


def endpoints(**fields: Any) -> dict[str, str]:
    return {one.protocol: one.base_url for one in channel(**fields).endpoints}


BOTH = {"openai_chat": "https://acme/v1", "anthropic_messages": "https://acme"}


@pytest.mark.row("S2-35", "S2-25")
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, BOTH),
        ({"base_url": ""}, BOTH),
        ({"base_url": None}, BOTH),
        # Writing down the provider's own address changes nothing …
        ({"base_url": "https://acme/v1/"}, BOTH),
        # … but who knows what another one speaks.
        ({"base_url": "http://local/v1"}, {"openai_chat": "http://local/v1"}),
        ({"protocol": "anthropic_messages"}, {"anthropic_messages": "https://acme"}),
        (
            {"protocol": "anthropic_messages", "base_url": "http://local"},
            {"anthropic_messages": "http://local"},
        ),
        (
            {"base_url": "http://local", "protocols": {"anthropic_messages": ""}},
            {"openai_chat": "http://local", "anthropic_messages": "http://local"},
        ),
        (
            {"protocols": {"anthropic_messages": "", "openai_chat": "http://b/v1/"}},
            {"anthropic_messages": "https://acme", "openai_chat": "http://b/v1"},
        ),
        (
            {
                "protocol": "openai_chat",
                "protocols": {"anthropic_messages": "", "openai_chat": "http://b"},
            },
            {"openai_chat": "http://b", "anthropic_messages": "https://acme"},
        ),
        (
            {"type": "custom", "protocol": "openai_chat", "base_url": "http://x/v1"},
            {"openai_chat": "http://x/v1"},
        ),
        (
            {"type": "custom", "protocols": {"anthropic_messages": "http://x"}},
            {"anthropic_messages": "http://x"},
        ),
    ],
)
def test_what_a_channel_speaks_and_where(fields: Any, expected: dict[str, str]) -> None:
    found = endpoints(**fields)
    assert found == expected
    assert list(found) == list(expected), "the order is the preference"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"type": "acmee"}, "type"),
        ({"type": "custom"}, "base_url"),
        ({"type": "custom", "protocol": "openai_chat"}, "base_url"),
        ({"protocol": "ollama_chat"}, "base_url"),
        ({"protocol": "smalltalk"}, "protocol"),
        ({"protocols": {"smalltalk": "http://x"}}, "protocols.smalltalk"),
        (
            {"base_url": "http://x", "protocols": {"openai_chat": "http://y"}},
            "protocols.openai_chat",
        ),
        ({"proxy_enabled": True}, "proxy_url"),
    ],
)
def test_a_channel_that_cannot_be_reached_is_refused(fields: Any, path: str) -> None:
    with pytest.raises(Refusal) as caught:
        channel(**fields)
    assert [problem.path for problem in caught.value.problems] == [path]


def test_a_server_of_ones_own_speaks_openai_chat_unless_it_is_said() -> None:
    assert channel(type="custom", base_url="http://x/v1").endpoints == (
        Endpoint("openai_chat", "http://x/v1"),
    )


@pytest.mark.row("S2-36")
def test_everything_else_is_carried_over() -> None:
    made = channel(
        id=3,
        api_key="sk-x",
        models=["m"],
        aliases={"public": "upstream"},
        enabled=False,
        priority=4,
        weight=5,
        tags="eu, cheap",
        timeout=9,
        max_retries=2,
        proxy_url="socks5://u:p@proxy:1080",
        headers={"X-Team": "blue"},
        drops=["top_p"],
        quirks={"b": 2},
        strict=True,
        max_concurrency=6,
    )
    assert made == Channel(
        id=3,
        name="it",
        provider="acme",
        endpoints=made.endpoints,
        credentials=(Secret("sk-x"),),
        credential_header="x-acme",
        models=("m",),
        aliases={"public": "upstream"},
        enabled=False,
        priority=4,
        weight=5,
        tags=("eu", "cheap"),
        timeout=9.0,
        max_retries=2,
        proxy_url=Secret("socks5://u:p@proxy:1080"),
        headers={"x-team": "blue"},
        drops=frozenset({"seed", "top_p"}),
        quirks={"a": 1, "openai_chat.forwards": False, "b": 2},
        strict=True,
        max_concurrency=6,
    )


def test_timeout_and_proxy_of_the_gateway_are_for_channels_without_their_own() -> None:
    shared = Secret("http://shared:1")
    plain = read_channel({"name": "a", "type": "acme"})
    assert resolve(plain, ROWS, 33.0, shared).timeout == 33.0
    assert resolve(plain, ROWS, 33.0, shared).proxy_url == shared
    own = read_channel({"name": "a", "type": "acme", "timeout": 5, "proxy_url": "http://own:1"})
    assert resolve(own, ROWS, 33.0, shared).timeout == 5.0
    assert resolve(own, ROWS, 33.0, shared).proxy_url == Secret("http://own:1")
    off = read_channel(
        {"name": "a", "type": "acme", "proxy_url": "http://own:1", "proxy_enabled": False}
    )
    assert resolve(off, ROWS).proxy_url is None


@pytest.mark.parametrize(
    ("written", "provider"),
    [
        ("builtin:glm", "zhipu"),
        ("builtin:kimi", "moonshot"),
        ("builtin:deepseek", "deepseek"),
        ("builtin:qwen", "alibaba-cloud"),
        ("builtin:minimax", "minimax"),
    ],
)
def test_the_old_names_of_built_in_channels_are_known(written: str, provider: str) -> None:
    made = resolve(read_channel({"name": "it", "type": written, "api_key": "k"}), CATALOG)
    assert made.provider == provider
    assert made.endpoints


@pytest.mark.row("S2-21", "S2-22", "S2-23", "S2-24")
@pytest.mark.parametrize(
    ("kind", "protocol", "url"),
    [
        ("openai", "openai_chat", "https://api.openai.com/v1"),
        ("anthropic", "anthropic_messages", "https://api.anthropic.com"),
        ("gemini", "gemini_generate", "https://generativelanguage.googleapis.com"),
        ("ollama", "ollama_chat", "http://localhost:11434"),
    ],
)
def test_the_documented_types_have_their_documented_addresses(
    kind: str, protocol: str, url: str
) -> None:
    first = resolve(read_channel({"name": "it", "type": kind}), CATALOG).endpoints[0]
    assert (first.protocol, first.base_url) == (protocol, url)


def test_who_lacks_a_key() -> None:
    def lacks(**fields: Any) -> bool:
        return lacks_key(read_channel({"name": "it", **fields}), CATALOG)

    assert lacks(type="openai")
    assert not lacks(type="openai", api_key="k")
    assert not lacks(type="openai", base_url="http://localhost:1/v1")
    assert not lacks(type="ollama")
