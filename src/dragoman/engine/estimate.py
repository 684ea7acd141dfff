"""A token count without a tokenizer, for upstreams that offer none."""

from __future__ import annotations

import msgspec

from dragoman.canonical.parts import (
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.canonical.request import Request

_ASCII_PER_TOKEN = 4.0
_OTHER_PER_TOKEN = 1.5  # CJK runs at one to two characters a token in today's vocabularies
_MESSAGE_OVERHEAD = 4
_MEDIA_TOKENS = {"image": 1100, "document": 1500, "audio": 500, "video": 2500}


def estimate_text(text: str) -> float:
    """Tokens in ``text``, roughly."""
    other = len(text) - len(text.encode("ascii", "ignore"))
    return (len(text) - other) / _ASCII_PER_TOKEN + other / _OTHER_PER_TOKEN


def estimate_input(request: Request) -> int:
    """Input tokens of ``request``; within about a fifth of the truth for prose and code."""
    tokens = float(_MESSAGE_OVERHEAD)
    for message in request.messages:
        tokens += _MESSAGE_OVERHEAD + sum(map(_estimate_part, message.parts))
    for tool in request.tools:
        tokens += estimate_text(tool.name) + estimate_text(tool.description or "")
        tokens += _estimate_json(tool.parameters) + _estimate_json(tool.config)
    if request.output is not None:
        tokens += _estimate_json(request.output.schema)
    return max(1, round(tokens))


def _estimate_part(part: Part) -> float:
    match part:
        case Text(text=text) | Refusal(text=text) | Reasoning(text=text):
            return estimate_text(text)
        case ToolCall():
            return _MESSAGE_OVERHEAD + estimate_text(part.name) + estimate_text(part.arguments)
        case ToolResult():
            return _MESSAGE_OVERHEAD + sum(map(_estimate_part, part.content))
        case Media():
            return estimate_text(part.text) if part.text else float(_MEDIA_TOKENS[part.kind])
        case Opaque():
            return _estimate_json(part.value)


def _estimate_json(value: object) -> float:
    return estimate_text(msgspec.json.encode(value).decode()) if value else 0.0
