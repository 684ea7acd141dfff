"""Tools, settings, reasoning and structured output of other protocols, written for Google."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.canonical.notes import Action
from dragoman.canonical.parts import CacheHint
from dragoman.canonical.request import OutputFormat, ReasoningConfig, Settings, Tool, ToolChoice
from tests.protocols.gemini_generate_support import body, encode, noted


def test_tools() -> None:
    schema = {"type": "object", "properties": {"q": {"type": ["string", "null"]}}}
    hosted = Tool(name="web", kind="hosted", protocol="openai_responses", config={"type": "web"})
    google = Tool(
        name="googleSearch",
        kind="hosted",
        protocol="gemini_generate",
        config={"googleSearch": {}},
    )
    encoded = encode(
        tools=[
            Tool(name="one", description="d", parameters=schema, strict=True),
            Tool(name="one"),
            hosted,
            Tool(name="9 lives!", strict=False, cache=CacheHint()),
            google,
        ]
    )
    functions, search = body(encoded)["tools"]
    first, second = functions["functionDeclarations"]
    assert first == {"name": "one", "description": "d", "parametersJsonSchema": schema}
    assert second["name"].startswith("_9_lives")
    assert search == {"googleSearch": {}}
    assert noted(encoded) == {
        "tools.0.strict": Action.DROPPED,
        "tools.1": Action.DROPPED,
        "tools.2": Action.DROPPED,
        "tools.3.cache": Action.DROPPED,
        "tools.3.name": Action.CLAMPED,
        "tools.3.strict": Action.RENAMED,
    }


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice(mode="auto"), {"mode": "AUTO"}),
        (ToolChoice(mode="none"), {"mode": "NONE"}),
        (ToolChoice(mode="required"), {"mode": "ANY"}),
        (ToolChoice(mode="tool", names=["a"]), {"mode": "ANY", "allowedFunctionNames": ["a"]}),
        (
            ToolChoice(mode="auto", names=["a", "b"]),
            {"mode": "VALIDATED", "allowedFunctionNames": ["a", "b"]},
        ),
    ],
)
def test_tool_choices(choice: ToolChoice, config: Any) -> None:
    encoded = encode(tools=[Tool(name="a"), Tool(name="b")], tool_choice=choice)
    assert body(encoded)["toolConfig"] == {"functionCallingConfig": config}
    assert not encoded.notes


def test_settings_are_kept_moved_or_noted() -> None:
    encoded = encode(
        settings=Settings(
            max_output_tokens=5000,
            temperature=3,
            top_p=0.5,
            top_k=3,
            stop=["1", "2", "3", "4", "5", "6"],
            n=2,
            seed=2**40 + 1,
            presence_penalty=1,
            frequency_penalty=-1,
            logprobs=True,
            top_logprobs=3,
            modalities=["text", "image"],
            service_tier="default",
            logit_bias={"1": 2},
            user="u",
            metadata={"a": "b"},
            store=True,
            verbosity="low",
        ),
        parallel_tool_calls=False,
        cache=CacheHint(),
    )
    wire = body(encoded)
    assert wire["generationConfig"] == {
        "maxOutputTokens": 1000,
        "temperature": 2,
        "topP": 0.5,
        "topK": 3,
        "candidateCount": 2,
        "seed": 1,
        "stopSequences": ["1", "2", "3", "4", "5"],
        "presencePenalty": 1,
        "frequencyPenalty": -1,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseModalities": ["TEXT", "IMAGE"],
    }
    assert wire["serviceTier"] == "standard"
    clamped = dict.fromkeys(("max_output_tokens", "temperature", "stop", "seed"), Action.CLAMPED)
    dropped = dict.fromkeys(
        ("logit_bias", "user", "metadata", "store", "verbosity"), Action.DROPPED
    )
    settings = {**clamped, **dropped, "service_tier": Action.RENAMED}
    assert noted(encoded) == {
        **{f"settings.{name}": action for name, action in settings.items()},
        "parallel_tool_calls": Action.DROPPED,
        "cache": Action.DROPPED,
    }


@pytest.mark.parametrize(
    ("reasoning", "quirks", "config"),
    [
        (ReasoningConfig(effort="low"), {}, {"thinkingBudget": 1024, "includeThoughts": True}),
        (
            ReasoningConfig(effort="max", visible=False),
            {"thinking_budget_range": [128, 24576]},
            {"thinkingBudget": 24576, "includeThoughts": False},
        ),
        (ReasoningConfig(effort="none"), {}, {"thinkingBudget": 0}),
        (
            ReasoningConfig(mode="off"),
            {"thinking_budget_range": [128, 32768]},
            {"thinkingBudget": 128, "includeThoughts": True},
        ),
        (ReasoningConfig(mode="adaptive"), {}, {"thinkingBudget": -1, "includeThoughts": True}),
        (
            ReasoningConfig(mode="on", budget_tokens=2000),
            {"thinking_level": True},
            {"thinkingBudget": 2000, "includeThoughts": True},
        ),
        (
            ReasoningConfig(effort="xhigh"),
            {"thinking_level": True},
            {"thinkingLevel": "HIGH", "includeThoughts": True},
        ),
        (
            ReasoningConfig(effort="medium"),
            {"thinking_level": ["low", "high"]},
            {"thinkingLevel": "HIGH", "includeThoughts": True},
        ),
        (
            ReasoningConfig(mode="off", visible=True),
            {"thinking_level": True},
            {"thinkingLevel": "MINIMAL", "includeThoughts": True},
        ),
        (ReasoningConfig(mode="off", visible=True), {}, {"thinkingBudget": 0}),
    ],
)
def test_reasoning(reasoning: ReasoningConfig, quirks: dict[str, Any], config: Any) -> None:
    encoded = encode(reasoning=reasoning, quirks=quirks)
    assert body(encoded)["generationConfig"] == {"thinkingConfig": config}


def test_structured_output() -> None:
    schema = {"type": "object", "properties": {"a": {"const": 1}}, "$defs": {}}
    encoded = encode(output=OutputFormat(kind="json_schema", name="N", schema=schema, strict=True))
    assert body(encoded)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {"title": "N", **schema},
    }
    assert Action.DROPPED not in noted(encoded).values()
    plain = encode(output=OutputFormat(kind="json_object"))
    assert body(plain)["generationConfig"] == {"responseMimeType": "application/json"}
    compiled = encode(
        output=OutputFormat(kind="json_schema", schema=schema), quirks={"json_schema": False}
    )
    assert body(compiled)["generationConfig"]["responseSchema"] == {
        "type": "OBJECT",
        "properties": {"a": {"type": "INTEGER", "description": "One of: 1."}},
    }
    assert noted(compiled) == {"output.schema": Action.CLAMPED}
