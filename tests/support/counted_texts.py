"""Texts whose true token counts are known, and requests made of them."""

from __future__ import annotations

import functools
import random
from pathlib import Path

import msgspec

from dragoman.canonical.parts import Text
from dragoman.canonical.request import Message, Request, Tool

VOCABULARIES = ("o200k", "cl100k", "claude", "llama3", "llama2")
TEMPLATE = 7
"""Tokens that the imagined provider puts around each message …"""
INSTRUCTIONS = 120
"""… and before all of them, …"""
TOOL_INSTRUCTIONS = 250
"""… and once more if there are tools, …"""
TOOL_TEMPLATE = 12
"""… and around each tool."""

_FILE = Path(__file__).resolve().parent.parent / "fixtures" / "token_counts" / "texts.json"


class Counted(msgspec.Struct):
    """A text and its tokens in each vocabulary."""

    kind: str
    text: str
    counts: dict[str, int]


@functools.cache
def counted_texts() -> tuple[Counted, ...]:
    """All of them."""
    return tuple(msgspec.json.decode(_FILE.read_bytes(), type=list[Counted]))


def conversation(rng: random.Random, texts: list[Counted], vocabulary: str) -> tuple[Request, int]:
    """A request of one to ten messages, every other with tools, and the tokens it truly has."""
    chosen = [rng.choice(texts) for _ in range(rng.randint(1, 10))]
    true = INSTRUCTIONS + sum(one.counts[vocabulary] + TEMPLATE for one in chosen)
    tools: list[Tool] = []
    if rng.random() < 0.5:
        true += TOOL_INSTRUCTIONS
        for number in range(rng.randint(1, 4)):
            described = rng.choice(texts)
            tools.append(Tool(name=f"tool{number}", description=described.text))
            true += described.counts[vocabulary] + TOOL_TEMPLATE
    messages = [
        Message(role="assistant" if turn % 2 else "user", parts=[Text(text=one.text)])
        for turn, one in enumerate(chosen)
    ]
    return Request(model="m", messages=messages, tools=tools), true
