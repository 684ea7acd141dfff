"""Canonical requests for an Ollama upstream: what is said, and what is noted."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.notes import Action
from dragoman.canonical.parts import (
    CacheHint,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
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
from dragoman.protocols.base import ModelProfile, Target
from dragoman.protocols.ollama_chat import PROTOCOL

HELLO = Message(role="user", parts=[Text(text="Hello")])
PNG = "iVBORw0KGgo="


def encode(
    request: Request, profile: ModelProfile | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """(body, {path: action})"""
    encoded = PROTOCOL.encode_request(request, profile or ModelProfile())
    return json.loads(encoded.body), {note.path: note.action.value for note in encoded.notes}


def message(*parts: Part, role: Any = "user") -> tuple[list[dict[str, Any]], dict[str, str]]:
    body, notes = encode(Request(model="m", messages=[Message(role=role, parts=list(parts))]))
    return body["messages"], notes


def test_a_plain_request() -> None:
    body, notes = encode(Request(model="public", messages=[HELLO]), ModelProfile(model="qwen3:8b"))
    assert next(iter(body)) == "model"
    assert body == {
        "model": "qwen3:8b",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": False,
    }
    assert notes == {}


def test_texts_are_joined_and_images_stand_beside_them() -> None:
    [wire], notes = message(
        Text(text="One"), Media(kind="image", media_type="image/png", data=PNG), Text(text="Two")
    )
    assert wire == {"role": "user", "content": "One\n\nTwo", "images": [PNG]}
    assert notes == {"messages.0.parts": "renamed"}


SIGNATURE = Signature("sig", Origin("anthropic_messages"))


@pytest.mark.parametrize(
    ("part", "wire", "notes"),
    [
        (Media(kind="image", url="https://x/y.png"), {}, {"": "dropped"}),
        (Media(kind="image", file_id="file-1"), {}, {"": "dropped"}),
        (Media(kind="audio", data="AAAA"), {}, {"": "dropped"}),
        (Media(kind="video", url="https://x"), {}, {"": "dropped"}),
        (
            Media(kind="document", data="JVBERi0=", media_type="application/pdf"),
            {},
            {"": "dropped"},
        ),
        (Media(kind="document", text="Hi"), {"content": "Hi"}, {"": "emulated"}),
        (
            Media(kind="document", text="Hi", name="a.md"),
            {"content": "a.md:\nHi"},
            {"": "emulated"},
        ),
        (
            Media(kind="document", data=base64.b64encode(b"Hi").decode(), media_type="text/plain"),
            {"content": "Hi"},
            {"": "emulated"},
        ),
        (Media(kind="document", data="/w==", media_type="text/plain"), {}, {"": "dropped"}),
        (
            Media(kind="image", data=PNG, media_type="image/heic", detail="low", name="n"),
            {"images": [PNG]},
            {".media_type": "renamed", ".detail": "dropped", ".name": "dropped"},
        ),
        (Refusal(text="No."), {"content": "No."}, {"": "emulated"}),
        (Opaque(protocol="openai_responses", value={}), {}, {"": "dropped"}),
        (Text(text="a", cache=CacheHint()), {"content": "a"}, {".cache": "dropped"}),
        (
            Text(text="a", extensions={"openai_responses": {"annotations": []}}),
            {"content": "a"},
            {".annotations": "dropped"},
        ),
        (Reasoning(text="Hm."), {"thinking": "Hm."}, {}),
        (
            Reasoning(text="Hm.", signature=SIGNATURE, summary=True),
            {"thinking": "Hm."},
            {".signature": "dropped", ".summary": "renamed"},
        ),
        (Reasoning(redacted=True, signature=SIGNATURE), {}, {"": "dropped"}),
    ],
)
def test_parts(part: Part, wire: dict[str, Any], notes: dict[str, str]) -> None:
    sent, noted = message(part, role="assistant")
    assert sent == [{"role": "assistant", "content": "", **wire}]
    assert noted == {f"messages.0.parts.0{path}": action for path, action in notes.items()}


@pytest.mark.parametrize(
    ("call", "arguments", "noted"),
    [
        (ToolCall(id="a", name="f", arguments='{"b":1, "a":2.0}'), '{"b":1, "a":2.0}', []),
        (ToolCall(id="a", name="f"), "{}", []),
        (ToolCall(id="a", name="f", arguments="[1]"), '{"input":"[1]"}', ["arguments"]),
        (ToolCall(id="a", name="f", arguments='{"x":'), '{"input":"{\\"x\\":"}', ["arguments"]),
        (
            ToolCall(id="a", name="f", arguments="ls", custom=True, signature=SIGNATURE),
            '{"input":"ls"}',
            ["signature", "arguments", "custom"],
        ),
    ],
)
def test_calls_have_objects_for_arguments(call: ToolCall, arguments: str, noted: list[str]) -> None:
    request = Request(model="m", messages=[Message(role="assistant", parts=[call])])
    encoded = PROTOCOL.encode_request(request, ModelProfile())
    assert f'"arguments":{arguments}}}'.encode() in encoded.body
    assert [note.path.rsplit(".", 1)[-1] for note in encoded.notes] == noted


def test_results_become_messages_of_their_own_and_name_their_tool() -> None:
    history = [
        Message(
            role="assistant", parts=[ToolCall(id="a", name="look"), ToolCall(id="b", name="sum")]
        ),
        Message(
            role="user",
            parts=[
                ToolResult(call_id="b", content=[Text(text="3")]),
                ToolResult(
                    call_id="a", content=[Media(kind="image", media_type="image/png", data=PNG)]
                ),
                ToolResult(call_id="c", content=[Text(text="broke")], is_error=True, custom=True),
                Text(text="Go on."),
            ],
        ),
    ]
    body, notes = encode(Request(model="m", messages=history))
    assert body["messages"][1:] == [
        {"role": "tool", "content": "3", "tool_name": "sum", "tool_call_id": "b"},
        {"role": "tool", "content": "", "images": [PNG], "tool_name": "look", "tool_call_id": "a"},
        {"role": "tool", "content": "Error:\n\nbroke", "tool_call_id": "c"},
        {"role": "user", "content": "Go on."},
    ]
    assert notes == {
        "messages.1.parts.2.is_error": "emulated",
        "messages.1.parts.2.custom": "emulated",
    }


def test_developers_are_systems_and_nobody_has_a_name() -> None:
    request = Request(
        model="m", messages=[Message(role="developer", parts=[Text(text="Be brief.")], name="ann")]
    )
    body, notes = encode(request)
    assert body["messages"] == [{"role": "system", "content": "Be brief."}]
    assert notes == {"messages.0.name": "dropped", "messages.0.role": "renamed"}


LOOK = Tool(name="look", description="Looks.", parameters={"type": "object"}, strict=True)
SHELL = Tool(name="shell", kind="custom", format={"type": "text"}, cache=CacheHint())
WEB = Tool(name="web", kind="hosted", protocol="openai_responses", config={"type": "web_search"})


def test_tools() -> None:
    body, notes = encode(Request(model="m", messages=[HELLO], tools=[LOOK, SHELL, WEB]))
    look, shell = body["tools"]
    assert look == {
        "type": "function",
        "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}},
    }
    assert shell["function"]["parameters"]["required"] == ["input"]
    assert notes == {
        "tools.0.strict": "dropped",
        "tools.1.cache": "dropped",
        "tools.1": "emulated",
        "tools.2": "dropped",
    }


@pytest.mark.parametrize(
    ("choice", "offered", "notes"),
    [
        (ToolChoice(mode="auto"), ["look", "sum"], {"tool_choice": "renamed"}),
        (
            ToolChoice(mode="none"),
            [],
            {"tool_choice": "emulated", "tools.0": "emulated", "tools.1": "emulated"},
        ),
        (ToolChoice(mode="required"), ["look", "sum"], {"tool_choice": "dropped"}),
        (
            ToolChoice(mode="tool", names=["sum"]),
            ["sum"],
            {"tool_choice": "emulated", "tools.0": "emulated"},
        ),
        (ToolChoice(mode="tool", names=["gone"]), ["look", "sum"], {"tool_choice": "dropped"}),
        (
            ToolChoice(mode="required", names=["look"]),
            ["look"],
            {"tool_choice": "dropped", "tools.1": "emulated"},
        ),
    ],
)
def test_tool_choice_is_a_matter_of_what_is_offered(
    choice: ToolChoice, offered: list[str], notes: dict[str, str]
) -> None:
    tools = [Tool(name="look"), Tool(name="sum")]
    body, noted = encode(Request(model="m", messages=[HELLO], tools=tools, tool_choice=choice))
    assert [tool["function"]["name"] for tool in body.get("tools", [])] == offered
    assert noted == notes


LEVELS = {"think_levels": ["low", "medium", "high"]}


@pytest.mark.parametrize(
    ("config", "quirks", "think", "noted"),
    [
        (ReasoningConfig(mode="on"), {}, True, []),
        (ReasoningConfig(mode="off"), {}, False, []),
        (ReasoningConfig(effort="none"), LEVELS, False, ["effort"]),
        (ReasoningConfig(effort="high"), {}, True, ["effort"]),
        (ReasoningConfig(effort="high"), LEVELS, "high", []),
        (ReasoningConfig(effort="minimal"), LEVELS, "low", ["effort"]),
        (ReasoningConfig(effort="max"), LEVELS, "high", ["effort"]),
        (ReasoningConfig(effort="brand-new"), LEVELS, "brand-new", []),
        (ReasoningConfig(mode="on", budget_tokens=900), LEVELS, "low", ["budget_tokens"]),
        (ReasoningConfig(mode="on", budget_tokens=30_000), LEVELS, "high", ["budget_tokens"]),
        (ReasoningConfig(mode="on", budget_tokens=30_000), {}, True, ["budget_tokens"]),
        (ReasoningConfig(mode="adaptive"), {}, None, ["mode"]),
        (ReasoningConfig(mode="adaptive", effort="high"), {}, None, ["mode", "effort"]),
        (ReasoningConfig(mode="adaptive", effort="high"), LEVELS, "high", ["mode"]),
        (ReasoningConfig(mode="on", visible=True), {}, True, []),
        (ReasoningConfig(mode="on", visible=False), {}, True, ["visible"]),
        (ReasoningConfig(visible=True, summary="auto"), {}, None, ["summary", "visible"]),
    ],
)
def test_reasoning(
    config: ReasoningConfig, quirks: dict[str, Any], think: bool | str | None, noted: list[str]
) -> None:
    body, notes = encode(
        Request(model="m", messages=[HELLO], reasoning=config), ModelProfile(quirks=quirks)
    )
    assert body.get("think") == think
    assert list(notes) == [f"reasoning.{field}" for field in noted]


@pytest.mark.parametrize(
    ("output", "format", "actions"),
    [
        (OutputFormat(kind="text"), None, ["renamed"]),
        (OutputFormat(kind="json_object"), "json", []),
        (OutputFormat(kind="json_schema"), "json", ["emulated"]),
        (
            OutputFormat(kind="json_schema", name="n", strict=True, schema={"type": "object"}),
            {"type": "object"},
            ["renamed"],
        ),
    ],
)
def test_structured_output(output: OutputFormat, format: Any, actions: list[str]) -> None:
    body, notes = encode(Request(model="m", messages=[HELLO], output=output))
    assert body.get("format") == format
    assert list(notes.values()) == actions


def test_what_the_provider_refuses_is_dropped() -> None:
    drops = frozenset({"temperature", "logprobs", "reasoning", "output", "tool_choice"})
    own = {"ollama_chat": {"think": "low", "format": "yaml", "keep_alive": 1}}
    request = Request(
        model="m",
        messages=[HELLO],
        settings=Settings(temperature=1, logprobs=True, seed=3),
        reasoning=ReasoningConfig(mode="on"),
        output=OutputFormat(kind="json_object"),
        tools=[Tool(name="f")],
        tool_choice=ToolChoice(mode="none"),
        extensions=own,
    )
    body, notes = encode(request, ModelProfile(drops=drops))
    assert set(body) == {"model", "messages", "options", "stream", "tools", "keep_alive"}
    assert body["options"] == {"seed": 3}
    assert notes == {
        "settings.temperature": "dropped",
        "settings.logprobs": "dropped",
        "reasoning": "dropped",
        "output": "dropped",
        "tool_choice": "dropped",
    }


def test_the_output_limit_is_kept_below_the_ceiling() -> None:
    request = Request(model="m", messages=[HELLO], settings=Settings(max_output_tokens=9_000))
    body, notes = encode(request, ModelProfile(max_output_tokens=4_096))
    assert body["options"] == {"num_predict": 4_096}
    assert notes == {"settings.max_output_tokens": "clamped"}


VALUES: dict[str, Any] = {
    "max_output_tokens": 5, "temperature": 0.5, "top_p": 0.5, "top_k": 5, "stop": ["x"], "n": 2,
    "seed": 5, "presence_penalty": 0.5, "frequency_penalty": 0.5, "logit_bias": {"5": 1.0},
    "logprobs": True, "top_logprobs": 5, "modalities": ["text"], "verbosity": "low",
    "service_tier": "auto", "user": "u", "metadata": {"a": "b"}, "store": True,
}  # fmt: skip


@given(st.sets(st.sampled_from(sorted(VALUES))), st.booleans(), st.booleans())
def test_every_setting_survives_or_is_noted(fields: set[str], parallel: bool, cached: bool) -> None:
    assert set(VALUES) == set(Settings.__struct_fields__)
    request = Request(
        model="m",
        messages=[HELLO],
        settings=Settings(**{field: VALUES[field] for field in fields}),
        parallel_tool_calls=parallel,
        cache=CacheHint() if cached else None,
        extensions={"gemini_generate": {"safetySettings": []}},
    )
    encoded = PROTOCOL.encode_request(request, ModelProfile())
    noted = {note.path for note in encoded.notes if note.action is not Action.KEPT}
    again = PROTOCOL.decode_request(PROTOCOL.parse_request(encoded.body, Target()))
    for field in fields:
        survives = getattr(again.settings, field) == VALUES[field]
        assert survives != (f"settings.{field}" in noted), field
    assert {"parallel_tool_calls", "safetySettings"} <= noted
    assert ("cache" in noted) is cached


def test_encoding_leaves_the_request_alone() -> None:
    """The next candidate channel gets the same request."""
    own = {"ollama_chat": {"options": {"num_ctx": 1}, "think": "low", "role": "x"}}
    request = Request(
        model="m",
        messages=[Message(role="user", parts=[Text(text="a")], extensions=own)],
        tools=[Tool(name="f", extensions={"ollama_chat": {"function": {"x": 1}}})],
        settings=Settings(seed=1),
        extensions=own,
    )
    before = msgspec.json.encode(request)
    PROTOCOL.encode_request(request, ModelProfile())
    assert msgspec.json.encode(request) == before
