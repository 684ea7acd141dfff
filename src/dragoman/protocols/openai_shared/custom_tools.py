"""Custom tools (free-text input) for upstreams that only know functions.

A custom tool becomes a function of one string field; its calls are turned back when the answer is
written for a client that declared it as custom.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.parts import Json, ToolCall
from dragoman.canonical.request import Request, Tool

INPUT = "input"


def function_parameters(tool: Tool) -> dict[str, Json]:
    """The JSON Schema that stands for a custom tool's free text."""
    text: dict[str, Json] = {"type": "string"}
    grammar = tool.format if isinstance(tool.format, dict) else {}
    if isinstance(grammar.get("definition"), str):
        syntax = grammar.get("syntax", "the given")
        text["description"] = f"Must follow this {syntax} grammar:\n{grammar['definition']}"
    return {
        "type": "object",
        "properties": {INPUT: text},
        "required": [INPUT],
        "additionalProperties": False,
    }


def wrap_input(text: str) -> str:
    """Free text → a function call's arguments."""
    return msgspec.json.encode({INPUT: text}).decode()


def unwrap_input(arguments: str) -> str:
    """A function call's arguments → free text; what is not of the wrapped form stays as it is."""
    try:
        value: Any = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    if isinstance(value, dict) and isinstance(value.get(INPUT), str):
        return str(value[INPUT])
    return arguments


def custom_names(request: Request) -> frozenset[str]:
    """The names that the client declared as custom tools."""
    return frozenset(tool.name for tool in request.tools if tool.kind == "custom")


def restore(call: ToolCall, names: frozenset[str]) -> ToolCall:
    """``call`` as the client knows it: custom again if it declared the tool so."""
    if call.custom or call.name not in names:
        return call
    return msgspec.structs.replace(call, custom=True, arguments=unwrap_input(call.arguments))
