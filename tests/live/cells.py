"""The pair matrix: which clients, which upstreams, which topics, and which rows a pair proves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.clients.anthropic import AnthropicMessages
from tests.support.clients.base import Client
from tests.support.clients.gemini import GeminiGenerate
from tests.support.clients.openai_chat import OpenAIChat
from tests.support.clients.openai_responses import OpenAIResponses
from tests.support.gateway import BASES

CLIENTS: dict[str, Callable[[str, str], Client]] = {
    "openai_chat": OpenAIChat,
    "openai_responses": OpenAIResponses,
    "anthropic_messages": AnthropicMessages,
    "gemini_generate": GeminiGenerate,
}
UPSTREAMS = tuple(BASES)
MODES = ("plain", "streamed")

# (client, upstream, topic) → why no gateway could do it. Anything that merely does not work yet
# belongs in a failing test.
IMPOSSIBLE: dict[tuple[str, str, str], str] = {}

_VENDORS = {
    "openai_chat": "openai",
    "openai_responses": "openai",
    "anthropic_messages": "anthropic",
    "gemini_generate": "gemini",
}
_PAIR_ROWS = {
    ("openai", "anthropic"): "S2-13",
    ("openai", "gemini"): "S2-14",
    ("anthropic", "openai"): "S2-15",
    ("anthropic", "gemini"): "S2-16",
    ("gemini", "openai"): "S2-17",
    ("gemini", "anthropic"): "S2-18",
}
_ENTRY_ROWS = {  # client → the rows of its dialect, of its plain and of its streamed route
    "openai_chat": ("S2-2", "S2-7", "S2-8"),
    "anthropic_messages": ("S2-3", "S2-9", "S2-10"),
    "gemini_generate": ("S2-4", "S2-11", "S2-12"),
}


def rows_of(client: str, upstream: str, mode: str) -> list[str]:
    """The rows that a cell of this pair proves."""
    rows = []
    if client in _ENTRY_ROWS:
        dialect, plain, streamed = _ENTRY_ROWS[client]
        rows += [dialect, plain if mode == "plain" else streamed]
    if client == upstream:
        rows.append("S2-19")
    pair = _PAIR_ROWS.get((_VENDORS.get(client, ""), _VENDORS.get(upstream, "")))
    if pair:
        rows += [pair] if mode == "plain" else [pair, "S2-20"]
    return rows


def cells(topic: str) -> pytest.MarkDecorator:
    """Parametrise a test over every possible cell of ``topic``."""
    found = []
    for client in CLIENTS:
        for upstream in UPSTREAMS:
            if (client, upstream, topic) in IMPOSSIBLE:
                continue
            for mode in MODES:
                rows = rows_of(client, upstream, mode)
                marks = [pytest.mark.row(*rows)] if rows else []
                name = f"{client}-{upstream}-{mode}"
                found.append(pytest.param((client, upstream, topic, mode), marks=marks, id=name))
    return pytest.mark.parametrize("cell", found, indirect=True)
