"""Anthropic Messages: tools, schemas, structured output and thinking of translated requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.canonical.notes import Action
from dragoman.canonical.parts import Reasoning, Text, ToolCall, ToolResult
from dragoman.canonical.request import (
    Message,
    OutputFormat,
    ReasoningConfig,
    Request,
    Settings,
    Tool,
    ToolChoice,
)
from dragoman.canonical.signature import Origin, Signature
from dragoman.protocols.anthropic_messages import PROTOCOL
from dragoman.protocols.base import ModelProfile

EFFORT = ModelProfile(quirks={"reasoning_style": "effort"})
BUDGET = ModelProfile(max_output_tokens=64_000)
TOOL = Tool(name="f", parameters={"type": "object", "properties": {}})


def ask(**fields: Any) -> Request:
    messages = fields.pop("messages", [Message(role="user", parts=[Text(text="hi")])])
    return Request(model="m", messages=messages, **fields)


def encode(
    request: Request, profile: ModelProfile = BUDGET
) -> tuple[dict[str, Any], dict[str, Action]]:
    encoded = PROTOCOL.encode_request(request, profile)
    return json.loads(encoded.body), {note.path: note.action for note in encoded.notes}


def encode_tool(tool: Tool) -> tuple[dict[str, Any], dict[str, Action]]:
    body, notes = encode(ask(tools=[tool]))
    return body["tools"][0], notes


def test_a_function_a_custom_tool_and_a_foreign_hosted_one() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}
    tools = [
        Tool(
            name="f",
            description="does",
            parameters={"type": "object", "properties": {}},
            strict=False,
        ),
        Tool(name="g"),
        Tool(name="patch", kind="custom", format=grammar),
        Tool(
            name="search", kind="hosted", protocol="openai_responses", config={"type": "web_search"}
        ),
    ]
    body, notes = encode(ask(tools=tools))
    empty = {"type": "object", "properties": {}}
    assert body["tools"][:2] == [
        {"name": "f", "description": "does", "strict": False, "input_schema": empty},
        {"name": "g", "input_schema": empty},
    ]
    patch = body["tools"][2]["input_schema"]
    assert patch["required"] == ["input"]
    assert "start: /a/" in patch["properties"]["input"]["description"]
    assert notes == {"tools.2": Action.EMULATED, "tools.3": Action.DROPPED}


@pytest.mark.parametrize(
    ("parameters", "expected", "noted"),
    [
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}, False),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "required": ["a"],
                "anyOf": [{"required": ["b", "c"]}, {"required": ["c"]}],
            },
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "c"]},
            True,
        ),
        (
            {
                "oneOf": [
                    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"$ref": "#/$defs/B"},
                ],
                "$defs": {"B": {"type": "object", "properties": {"b": {"type": "null"}}}},
            },
            {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "null"}},
                "$defs": {"B": {"type": "object", "properties": {"b": {"type": "null"}}}},
            },
            True,
        ),
        (
            {"allOf": [{"required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}]},
            {"type": "object", "properties": {"b": {}}, "required": ["a", "b"]},
            True,
        ),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"x": {}}}}},
            {
                "type": "object",
                "properties": {"x": {}},
                "$defs": {"A": {"type": "object", "properties": {"x": {}}}},
            },
            True,
        ),
        ({"anyOf": "nonsense", "properties": 5}, {"type": "object", "properties": {}}, True),
    ],
)
def test_parameters_are_an_object_without_alternatives_at_the_top(
    parameters: dict[str, Any], expected: dict[str, Any], noted: bool
) -> None:
    tool, notes = encode_tool(Tool(name="f", parameters=parameters))
    assert tool["input_schema"] == expected
    assert ("tools.0.parameters" in notes) is noted


def test_names_that_are_refused_are_mapped_alike_everywhere() -> None:
    call = ToolCall(id="c", name="a.b", arguments="{}")
    request = ask(
        tools=[Tool(name="a.b"), Tool(name="a_b"), Tool(name="x" * 200)],
        tool_choice=ToolChoice(mode="tool", names=["a.b"]),
        messages=[
            Message(role="user", parts=[Text(text="hi")]),
            Message(role="assistant", parts=[call]),
            Message(role="tool", parts=[ToolResult(call_id="c")]),
        ],
    )
    body, notes = encode(request)
    assert [tool["name"] for tool in body["tools"]] == ["a_b_2", "a_b", "x" * 128]
    assert body["tool_choice"] == {"type": "tool", "name": "a_b_2"}
    assert body["messages"][1]["content"][0]["name"] == "a_b_2"
    assert notes == {
        "messages.1.parts.0": Action.CLAMPED,
        "tools.0": Action.CLAMPED,
        "tools.2": Action.CLAMPED,
        "tool_choice": Action.CLAMPED,
    }


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (ToolChoice(mode="auto"), None, {"type": "auto"}),
        (ToolChoice(mode="required"), None, {"type": "any"}),
        (ToolChoice(mode="none"), None, {"type": "none"}),
        (ToolChoice(mode="none"), False, {"type": "none"}),
        (ToolChoice(mode="tool", names=["f"]), None, {"type": "tool", "name": "f"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="required"), True, {"type": "any", "disable_parallel_tool_use": False}),
    ],
)
def test_the_choice_of_tools(choice: Any, parallel: Any, expected: dict[str, Any]) -> None:
    body, _ = encode(ask(tools=[TOOL], tool_choice=choice, parallel_tool_calls=parallel))
    assert body["tool_choice"] == expected


def test_a_choice_without_tools_is_not_sent() -> None:
    body, notes = encode(ask(tool_choice=ToolChoice(mode="required"), parallel_tool_calls=True))
    assert "tool_choice" not in body
    assert set(notes) == {"tool_choice", "parallel_tool_calls"}


def test_a_limited_choice_sends_only_those_tools() -> None:
    choice = ToolChoice(mode="required", names=["f"])
    body, notes = encode(ask(tools=[TOOL, Tool(name="g")], tool_choice=choice))
    assert [tool["name"] for tool in body["tools"]] == ["f"]
    assert body["tool_choice"] == {"type": "any"}
    assert notes == {"tools.1": Action.EMULATED, "tool_choice.names": Action.EMULATED}


def test_a_call_cannot_be_demanded_while_thinking() -> None:
    request = ask(
        tools=[TOOL],
        tool_choice=ToolChoice(mode="tool", names=["f"]),
        reasoning=ReasoningConfig(effort="low"),
    )
    body, notes = encode(request)
    assert body["tool_choice"] == {"type": "auto"}
    assert notes["tool_choice"] is Action.EMULATED


SCHEMA = {
    "type": "object",
    "properties": {
        "age": {"type": "integer", "minimum": 0, "description": "in years"},
        "mail": {"type": "string", "format": "email", "maxLength": 80},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^(?=a)"}, "minItems": 1},
        "kind": {"oneOf": [{"const": "a"}, {"type": "object", "additionalProperties": True}]},
        "maybe": {"type": "string", "nullable": True, "pattern": "^a+$"},
    },
    "required": ["age"],
    "$schema": "https://json-schema.org/draft/2020-12/schema",
}


def test_a_schema_is_compiled_to_what_the_grammar_knows() -> None:
    output = OutputFormat(kind="json_schema", name="person", schema=SCHEMA, strict=True)
    body, notes = encode(ask(output=output))
    assert body["output_config"]["format"]["schema"] == {
        "title": "person",
        "type": "object",
        "properties": {
            "age": {"type": "integer", "description": "in years (minimum: 0)"},
            "mail": {"type": "string", "format": "email", "description": "maxLength: 80"},
            "tags": {
                "type": "array",
                "items": {"type": "string", "description": 'pattern: "^(?=a)"'},
                "minItems": 1,
            },
            "kind": {"anyOf": [{"const": "a"}, {"type": "object", "additionalProperties": False}]},
            "maybe": {"type": ["string", "null"], "pattern": "^a+$"},
        },
        "required": ["age"],
        "additionalProperties": False,
    }
    clamped = [
        note.detail
        for note in PROTOCOL.encode_request(ask(output=output), BUDGET).notes
        if note.action is Action.CLAMPED
    ]
    assert clamped == ["only advice now: additionalProperties, maxLength, minimum, pattern"]
    assert set(notes) == {"output", "output.strict"}


def test_a_strict_tools_schema_is_compiled_too() -> None:
    tool, notes = encode_tool(Tool(name="f", parameters=SCHEMA, strict=True))
    assert tool["input_schema"]["additionalProperties"] is False
    assert notes == {"tools.0.parameters": Action.CLAMPED}
    loose, notes = encode_tool(Tool(name="f", parameters=SCHEMA))
    assert loose["input_schema"] == SCHEMA
    assert not notes


def test_json_without_a_grammar_is_asked_for_in_the_system_prompt() -> None:
    plain = OutputFormat(kind="json_object")
    body, notes = encode(ask(output=plain))
    assert "JSON object" in body["system"][0]["text"]
    assert notes == {"output": Action.EMULATED}
    older = ModelProfile(quirks={"json_schema": False})
    body, notes = encode(ask(output=OutputFormat(kind="json_schema", schema=SCHEMA)), older)
    assert '"age"' in body["system"][0]["text"]
    assert "output_config" not in body
    assert notes == {"output": Action.EMULATED}


@pytest.mark.parametrize(
    ("reasoning", "thinking", "effort"),
    [
        (ReasoningConfig(effort="high"), {"type": "adaptive"}, "high"),
        (ReasoningConfig(effort="minimal"), {"type": "adaptive"}, "low"),
        (ReasoningConfig(effort="none"), {"type": "disabled"}, None),
        (ReasoningConfig(mode="off", effort="low"), {"type": "disabled"}, "low"),
        (ReasoningConfig(mode="on", budget_tokens=9000), {"type": "adaptive"}, "high"),
        (
            ReasoningConfig(mode="adaptive", visible=False),
            {"type": "adaptive", "display": "omitted"},
            None,
        ),
        (ReasoningConfig(visible=True), {"type": "adaptive", "display": "summarized"}, None),
        (ReasoningConfig(visible=False), None, None),
    ],
)
def test_thinking_by_effort(reasoning: Any, thinking: Any, effort: str | None) -> None:
    body, _ = encode(ask(reasoning=reasoning), EFFORT)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort


def test_only_the_efforts_a_model_knows_are_sent() -> None:
    profile = ModelProfile(quirks={"reasoning_style": "effort", "efforts": ["low", "high"]})
    body, notes = encode(ask(reasoning=ReasoningConfig(effort="max")), profile)
    assert body["output_config"] == {"effort": "high"}
    assert notes == {"reasoning.effort": Action.CLAMPED}


@pytest.mark.parametrize(
    ("reasoning", "asked", "budget", "max_tokens"),
    [
        (ReasoningConfig(effort="minimal"), None, 1024, 64_000),
        (ReasoningConfig(effort="low"), None, 2048, 64_000),
        (ReasoningConfig(effort="medium"), None, 8192, 64_000),
        (ReasoningConfig(effort="high"), None, 16_384, 64_000),
        (ReasoningConfig(mode="adaptive"), None, 16_384, 64_000),
        (ReasoningConfig(mode="on"), None, 8192, 64_000),
        (ReasoningConfig(effort="high"), 4000, 2000, 4000),
        (ReasoningConfig(effort="high"), 500, 1024, 1524),
        (ReasoningConfig(mode="on", budget_tokens=3000), 4000, 3000, 4000),
        (ReasoningConfig(mode="on", budget_tokens=5000), 4000, 5000, 9000),
        (ReasoningConfig(mode="on", budget_tokens=10), 4000, 1024, 4000),
        (ReasoningConfig(mode="on", budget_tokens=70_000), 4000, 32_000, 64_000),
    ],
)
def test_thinking_by_budget_leaves_room_for_an_answer(
    reasoning: Any, asked: int | None, budget: int, max_tokens: int
) -> None:
    request = ask(reasoning=reasoning, settings=Settings(max_output_tokens=asked))
    body, notes = encode(request)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert body["max_tokens"] == max_tokens
    assert ("settings.max_output_tokens" in notes) is (asked is not None and max_tokens != asked)
    assert ("reasoning.budget_tokens" in notes) is (
        reasoning.budget_tokens is not None and budget != reasoning.budget_tokens
    )


def test_thinking_limits_sampling() -> None:
    settings = Settings(temperature=0.5, top_p=0.5, top_k=4)
    request = ask(reasoning=ReasoningConfig(effort="low"), settings=settings)
    body, notes = encode(request)
    assert not {"temperature", "top_p", "top_k"} & set(body)
    assert {"settings.temperature", "settings.top_p", "settings.top_k"} <= set(notes)
    request.settings = Settings(temperature=1, top_p=0.97)
    body, _ = encode(request)
    assert (body["temperature"], body["top_p"]) == (1, 0.97)


def loop(*thoughts: Reasoning) -> list[Message]:
    call = ToolCall(id="c", name="f", arguments="{}")
    return [
        Message(role="user", parts=[Text(text="hi")]),
        Message(role="assistant", parts=[*thoughts, call]),
        Message(role="tool", parts=[ToolResult(call_id="c", content=[Text(text="1")])]),
    ]


def test_a_tool_loop_begun_without_thinking_goes_on_without() -> None:
    # Chat Completions clients cannot send reasoning back, and the API refuses budgeted thinking then.
    reasoning = ReasoningConfig(effort="high")
    body, notes = encode(ask(messages=loop(), tools=[TOOL], reasoning=reasoning))
    assert "thinking" not in body
    assert notes == {"reasoning": Action.CLAMPED}
    signed = Reasoning(text="hm", signature=Signature("Eq", Origin("anthropic_messages")))
    body, _ = encode(ask(messages=loop(signed), tools=[TOOL], reasoning=reasoning))
    assert body["thinking"]["type"] == "enabled"
    body, _ = encode(ask(messages=loop(), tools=[TOOL], reasoning=reasoning), EFFORT)
    assert body["thinking"] == {"type": "adaptive"}


def test_a_provider_without_thinking_is_not_asked_for_it() -> None:
    profile = ModelProfile(drops=frozenset({"reasoning"}))
    body, notes = encode(ask(reasoning=ReasoningConfig(effort="high")), profile)
    assert "thinking" not in body
    assert notes == {"reasoning": Action.DROPPED}
