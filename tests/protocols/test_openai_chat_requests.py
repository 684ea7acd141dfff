"""A client's chat request, as the gateway understands it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.canonical.parts import (
    CacheHint,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.canonical.request import OutputFormat, ReasoningConfig, Request, Tool, ToolChoice
from dragoman.canonical.signature import Origin, Signature, seal
from dragoman.protocols.base import Target
from dragoman.protocols.openai_chat import PROTOCOL

FIXTURES = Path(__file__).parents[1] / "fixtures" / "openai_chat"
USER = {"role": "user", "content": "hi"}
NATIVE = Origin("openai_chat")


def decode(body: bytes | dict[str, Any], target: Target | None = None) -> Request:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROTOCOL.decode_request(PROTOCOL.parse_request(data, target or Target()))


def ask(**fields: Any) -> Request:
    return decode({"model": "m", "messages": [USER], **fields})


def say(*messages: dict[str, Any]) -> Request:
    return decode({"model": "m", "messages": list(messages)})


@pytest.fixture(scope="module")
def everything() -> Request:
    return decode((FIXTURES / "request.json").read_bytes())


def test_roles_and_names(everything: Request) -> None:
    roles = [message.role for message in everything.messages]
    assert roles[:4] == ["developer", "system", "user", "assistant"]
    assert roles[4:] == ["tool", "tool", "assistant", "assistant", "user"]
    assert everything.messages[2].name == "ada"


def test_content_parts(everything: Request) -> None:
    assert everything.messages[2].parts == [
        Text(text="What is this?"),
        Media(kind="image", media_type="image/png", data="iVBORw0KGgo=", detail="low"),
        Media(kind="image", url="https://files.example/a.jpg"),
        Media(kind="audio", media_type="audio/mpeg", data="UklGRg=="),
        Media(kind="document", media_type="application/pdf", data="JVBERi0=", name="a.pdf"),
        Media(kind="document", file_id="file-1"),
        Opaque(protocol="openai_chat", value={"type": "hologram", "hologram": {"beam": 3}}),
    ]
    assert everything.messages[1].parts[0].cache == CacheHint(ttl="1h")


def test_an_assistants_message(everything: Request) -> None:
    assert everything.messages[3].parts == [
        Reasoning(
            text="They want the weather.",
            signature=Signature("c2ln", NATIVE),
            extensions={"openai_chat": {"format": "anthropic-claude-v1"}},
        ),
        Reasoning(redacted=True, signature=Signature("ZW5j", NATIVE)),
        Text(text="Let me look."),
        ToolCall(
            id="call_1",
            name="get_weather",
            arguments='{"city": "Paris"}',
            signature=Signature("dGhvdWdodA==", NATIVE),
        ),
        ToolCall(id="call_2", name="run", arguments="ls -l", custom=True),
    ]
    assert everything.messages[6].parts == [Refusal(text="I cannot say.")]
    assert everything.messages[7].parts == [Media(kind="audio", file_id="audio_1")]


def test_results_know_what_they_answer(everything: Request) -> None:
    assert everything.messages[4].parts == [
        ToolResult(call_id="call_1", name="get_weather", content=[Text(text="22 degrees")])
    ]
    assert everything.messages[5].parts == [
        ToolResult(call_id="call_2", name="run", content=[Text(text="total 0")], custom=True)
    ]


def test_tools(everything: Request) -> None:
    function, custom, hosted = everything.tools
    assert (function.name, function.strict, function.description) == (
        "get_weather",
        True,
        "Weather now",
    )
    # Chat nests the grammar; the canonical form is Responses' flat one.
    assert custom == Tool(
        name="run",
        kind="custom",
        description="A shell",
        format={"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
    )
    assert hosted.kind == "hosted"
    assert hosted.protocol == "openai_chat"
    assert hosted.config["web_search"] == {"search_engine": "search_pro"}
    assert everything.tool_choice == ToolChoice(mode="required", names=["get_weather", "run"])


def test_settings(everything: Request) -> None:
    settings = everything.settings
    assert settings.max_output_tokens == 512
    assert settings.stop == ["END"]
    assert settings.logit_bias == {"50256": -100}
    assert (settings.logprobs, settings.top_logprobs) == (True, 2)
    assert (settings.store, settings.service_tier, settings.verbosity) == (False, "flex", "low")
    assert everything.output == OutputFormat(
        kind="json_schema", name="answer", strict=True, schema={"type": "object"}
    )
    assert everything.reasoning == ReasoningConfig(effort="high")
    assert everything.parallel_tool_calls is False
    assert everything.stream
    assert everything.stream_options.include_usage


def test_what_has_no_canonical_place_is_kept(everything: Request) -> None:
    assert everything.extensions is not None
    assert set(everything.extensions["openai_chat"]) == {
        "audio",
        "safety_identifier",
        "prompt_cache_key",
        "prediction",
        "web_search_options",
        "stream_options",
        "min_p",
    }
    assert everything.extensions["openai_chat"]["stream_options"] == {"include_obfuscation": False}


@pytest.mark.parametrize(
    ("wire", "choice"),
    [
        ("none", ToolChoice(mode="none")),
        ("auto", ToolChoice(mode="auto")),
        ("required", ToolChoice(mode="required")),
        ("any", ToolChoice(mode="required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice(mode="tool", names=["f"])),
        ({"type": "custom", "custom": {"name": "c"}}, ToolChoice(mode="tool", names=["c"])),
        (
            {"type": "allowed_tools", "allowed_tools": {"tools": [{"function": {"name": "f"}}]}},
            ToolChoice(mode="auto", names=["f"]),
        ),
    ],
)
def test_every_form_of_tool_choice(wire: Any, choice: ToolChoice) -> None:
    assert ask(tool_choice=wire).tool_choice == choice


def test_an_unknown_tool_choice_is_kept() -> None:
    request = ask(tool_choice="sometimes")
    assert request.tool_choice is None
    assert request.extensions == {"openai_chat": {"tool_choice": "sometimes"}}


@pytest.mark.parametrize(
    ("fields", "config"),
    [
        ({"reasoning_effort": "low"}, ReasoningConfig(effort="low")),
        ({"reasoning": {"effort": "high", "exclude": True}}, {"effort": "high", "visible": False}),
        ({"reasoning": {"max_tokens": 99, "enabled": True}}, {"mode": "on", "budget_tokens": 99}),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, {"mode": "on", "budget_tokens": 9}),
        ({"thinking": {"type": "disabled"}}, ReasoningConfig(mode="off")),
        ({"thinking": {"type": "adaptive"}}, ReasoningConfig(mode="adaptive")),
        ({"enable_thinking": False}, ReasoningConfig(mode="off")),
        (
            {"enable_thinking": True, "thinking_budget": 5},
            ReasoningConfig(mode="on", budget_tokens=5),
        ),
        (
            {"thinking": {"type": "enabled"}, "reasoning_effort": "max"},
            ReasoningConfig(mode="on", effort="max"),
        ),
    ],
)
def test_every_dialect_of_asking_for_reasoning(
    fields: dict[str, Any], config: ReasoningConfig | dict[str, Any]
) -> None:
    wanted = ReasoningConfig(**config) if isinstance(config, dict) else config
    assert ask(**fields).reasoning == wanted


def test_what_a_dialect_adds_is_kept() -> None:
    request = ask(thinking={"type": "enabled", "clear_thinking": False})
    assert request.extensions is not None
    assert request.extensions["openai_chat"]["thinking"] == {"clear_thinking": False}


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"reasoning_content": "t"}, [Reasoning(text="t")]),
        ({"reasoning": "t"}, [Reasoning(text="t")]),
        (
            {"reasoning": "t", "reasoning_details": [{"type": "reasoning.text", "text": "t"}]},
            [Reasoning(text="t")],
        ),
        (
            {
                "reasoning": "s",
                "reasoning_details": [{"type": "reasoning.summary", "summary": "s"}],
            },
            [Reasoning(text="s", summary=True)],
        ),
        (
            {
                "reasoning_content": "t",
                "reasoning_details": [{"type": "reasoning.text", "signature": "c2ln"}],
            },
            [Reasoning(text="t", signature=Signature("c2ln", NATIVE))],
        ),
        (
            {
                "reasoning": "t",
                "reasoning_details": [{"type": "reasoning.encrypted", "data": "ZW5j"}],
            },
            [
                Reasoning(text="t"),
                Reasoning(redacted=True, signature=Signature("ZW5j", NATIVE)),
            ],
        ),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]},
            [Reasoning(text="t")],
        ),
        (
            {"reasoning_details": [{"type": "reasoning.dream", "v": 1}]},
            [Opaque(protocol="openai_chat", value={"type": "reasoning.dream", "v": 1})],
        ),
    ],
)
def test_every_dialect_of_reasoning_in_messages(fields: dict[str, Any], parts: list[Any]) -> None:
    request = say(USER, {"role": "assistant", **fields})
    assert request.messages[1].parts == parts


def test_sealed_signatures_find_their_origin_again() -> None:
    foreign = Signature("abc", Origin("anthropic_messages", "anthropic", "claude"))
    thought = {"type": "reasoning.text", "text": "t", "signature": seal(foreign)}
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": seal(foreign)}, "other": 1},
    }
    request = say({"role": "assistant", "reasoning_details": [thought], "tool_calls": [call]})
    reasoning, called = request.messages[0].parts
    assert isinstance(reasoning, Reasoning)
    assert isinstance(called, ToolCall)
    assert reasoning.signature == called.signature == foreign
    assert called.extensions == {"openai_chat": {"extra_content": {"other": 1}}}


def test_the_old_functions_form() -> None:
    request = decode(
        {
            "model": "m",
            "messages": [
                USER,
                {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "42"},
            ],
            "functions": [{"name": "f", "parameters": {"type": "object"}}],
            "function_call": {"name": "f"},
        }
    )
    assert request.tools == [Tool(name="f", parameters={"type": "object"})]
    assert request.tool_choice == ToolChoice(mode="tool", names=["f"])
    (call,), (result,) = request.messages[1].parts, request.messages[2].parts
    assert isinstance(call, ToolCall)
    assert isinstance(result, ToolResult)
    assert result.call_id == call.id
    assert result.name == "f"


def test_the_older_limit_gives_way() -> None:
    assert ask(max_tokens=5).settings.max_output_tokens == 5
    assert ask(max_tokens=5, max_completion_tokens=9).settings.max_output_tokens == 9


def test_a_stop_string_is_a_list_of_one() -> None:
    assert ask(stop="END").settings.stop == ["END"]
    assert ask(stop=[]).settings.stop is None


def test_cache_breakpoints_in_every_place() -> None:
    control = {"cache_control": {"type": "ephemeral"}}
    request = decode(
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "s", **control},
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "text",
                            "text": "u",
                            "prompt_cache_breakpoint": {"mode": "explicit"},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "c", "content": "r", **control},
            ],
            "tools": [{"type": "function", "function": {"name": "f"}, **control}],
            **control,
        }
    )
    assert [message.parts[0].cache for message in request.messages] == [CacheHint()] * 3
    assert request.tools[0].cache == CacheHint()
    assert request.cache == CacheHint()


def test_data_urls_that_are_not_base64_become_it() -> None:
    request = say(
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": "data:image/svg+xml,%3Csvg/%3E"}],
        }
    )
    assert request.messages[0].parts == [
        Media(kind="image", media_type="image/svg+xml", data="PHN2Zy8+")
    ]


def test_the_path_may_name_the_model() -> None:
    body = {"model": "dummy", "messages": [USER]}
    assert decode(body, Target(model="org/real")).model == "org/real"


def test_what_routing_needs_is_read_at_once() -> None:
    parsed = PROTOCOL.parse_request((FIXTURES / "request.json").read_bytes(), Target())
    assert (parsed.model, parsed.stream, parsed.include_usage) == ("gpt-6-astra", True, True)
    assert parsed.max_output_tokens == 512
