"""The canonical request for upstreams of every kind: what each quirk changes, and what is noted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.canonical.errors import Unavailable
from dragoman.canonical.notes import Action
from dragoman.canonical.parts import (
    CacheHint,
    Part,
    Text,
    ToolCall,
)
from dragoman.canonical.request import (
    Message,
    OutputFormat,
    ReasoningConfig,
    Request,
    Role,
    Settings,
    Tool,
    ToolChoice,
)
from dragoman.protocols.base import ModelProfile
from dragoman.protocols.openai_chat import PROTOCOL

Notes = dict[str, Action]


def say(role: Role, *parts: Part) -> Message:
    return Message(role=role, parts=list(parts))


HI = say("user", Text(text="hi"))


def encode(request: Request, **quirks: Any) -> tuple[dict[str, Any], Notes]:
    profile = ModelProfile(provider="here", model="m", quirks=quirks)
    return encode_for(request, profile)


def encode_for(request: Request, profile: ModelProfile) -> tuple[dict[str, Any], Notes]:
    encoded = PROTOCOL.encode_request(request, profile)
    return json.loads(encoded.body), {note.path: note.action for note in encoded.notes}


def ask(**fields: Any) -> Request:
    return Request(model="m", messages=[HI], **fields)


def test_the_plainest_request() -> None:
    assert encode(ask()) == ({"model": "m", "messages": [{"role": "user", "content": "hi"}]}, {})


def test_the_limits_name() -> None:
    request = ask(settings=Settings(max_output_tokens=9))
    assert encode(request)[0]["max_tokens"] == 9
    body, _ = encode(request, max_tokens_field="max_completion_tokens")
    assert body["max_completion_tokens"] == 9
    assert "max_tokens" not in body


def test_the_models_ceiling() -> None:
    request = ask(settings=Settings(max_output_tokens=900))
    body, notes = encode_for(request, ModelProfile(max_output_tokens=100))
    assert body["max_tokens"] == 100
    assert notes == {"settings.max_output_tokens": Action.CLAMPED}


def test_cache_breakpoints() -> None:
    request = Request(
        model="m",
        messages=[say("system", Text(text="s", cache=CacheHint(ttl="1h")))],
        tools=[Tool(name="f", cache=CacheHint())],
    )
    _, notes = encode(request)
    assert notes == {"messages.0.parts.0.cache": Action.DROPPED, "tools.0.cache": Action.DROPPED}
    body, notes = encode(request, cache_control=True)
    part = body["messages"][0]["content"][0]
    assert part["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert body["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert notes == {}
    body, notes = encode(request, cache_control="breakpoint")
    assert body["messages"][0]["content"][0]["prompt_cache_breakpoint"] == {"mode": "explicit"}
    assert notes == {"messages.0.parts.0.cache.ttl": Action.CLAMPED}


def test_custom_tools() -> None:
    request = Request(
        model="m",
        messages=[HI, say("assistant", ToolCall(id="c", name="run", arguments="ls", custom=True))],
        tools=[
            Tool(
                name="run",
                kind="custom",
                format={"type": "grammar", "syntax": "lark", "definition": "start: /a/"},
            )
        ],
        tool_choice=ToolChoice(mode="tool", names=["run"]),
    )
    body, notes = encode(request)
    function = body["tools"][0]["function"]
    assert "start: /a/" in function["parameters"]["properties"]["input"]["description"]
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"input":"ls"}'
    assert body["tool_choice"] == {"type": "function", "function": {"name": "run"}}
    assert notes == {"messages.1.parts.0": Action.EMULATED, "tools.0": Action.EMULATED}
    body, notes = encode(request, custom_tools=True)
    assert body["tools"][0]["custom"]["format"] == {
        "type": "grammar",
        "grammar": {"syntax": "lark", "definition": "start: /a/"},
    }
    assert body["messages"][1]["tool_calls"][0]["custom"] == {"name": "run", "input": "ls"}
    assert body["tool_choice"] == {"type": "custom", "custom": {"name": "run"}}
    assert notes == {}


def test_allowed_tools() -> None:
    request = ask(
        tools=[Tool(name="f"), Tool(name="g")],
        tool_choice=ToolChoice(mode="required", names=["g"]),
    )
    body, notes = encode(request)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["g"]
    assert body["tool_choice"] == "required"
    assert notes == {"tools.0": Action.EMULATED, "tool_choice": Action.EMULATED}
    body, notes = encode(request, allowed_tools=True)
    assert len(body["tools"]) == 2
    assert body["tool_choice"]["allowed_tools"] == {
        "mode": "required",
        "tools": [{"type": "function", "function": {"name": "g"}}],
    }
    assert notes == {}


def test_hosted_tools_of_others_are_dropped_and_their_choice_too() -> None:
    hosted = Tool(name="web_search", kind="hosted", protocol="anthropic_messages", config={})
    body, notes = encode(ask(tools=[hosted], tool_choice=ToolChoice(mode="required")))
    assert "tools" not in body
    assert "tool_choice" not in body
    assert notes == {"tools.0": Action.DROPPED, "tool_choice": Action.DROPPED}


def test_own_hosted_tools_may_be_chosen() -> None:
    config = {"type": "web_search", "web_search": {"deep": True}}
    hosted = Tool(name="web_search", kind="hosted", protocol="openai_chat", config=config)
    body, notes = encode(
        ask(tools=[hosted], tool_choice=ToolChoice(mode="tool", names=["web_search"]))
    )
    assert body["tools"] == [config]
    assert body["tool_choice"] == {"type": "web_search"}
    assert notes == {}


def test_tiers_of_others() -> None:
    body, notes = encode(ask(settings=Settings(service_tier="standard_only")))
    assert body["service_tier"] == "default"
    assert notes == {"settings.service_tier": Action.RENAMED}


SCHEMA = OutputFormat(kind="json_schema", name="n", schema={"type": "object"}, strict=True)


def test_structured_output() -> None:
    body, notes = encode(ask(output=SCHEMA))
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
    }
    assert notes == {}
    body, notes = encode(ask(output=SCHEMA), json_schema=False)
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0]["role"] == "system"
    assert body["messages"][0]["content"].endswith('{"type":"object"}')
    assert notes == {"output": Action.EMULATED}


def test_the_schema_joins_the_system_message() -> None:
    request = Request(model="m", messages=[say("system", Text(text="s")), HI], output=SCHEMA)
    body, _ = encode(request, json_schema=False)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["messages"][0]["content"].startswith("s\n\n")


def test_what_a_provider_refuses() -> None:
    request = ask(
        settings=Settings(temperature=1, seed=3),
        tools=[Tool(name="f", strict=True)],
        tool_choice=ToolChoice(mode="required"),
        parallel_tool_calls=True,
        output=SCHEMA,
        reasoning=ReasoningConfig(effort="low"),
    )
    drops = {"seed", "strict", "tool_choice", "parallel_tool_calls", "output", "reasoning"}
    body, notes = encode_for(request, ModelProfile(drops=frozenset(drops)))
    assert set(body) == {"model", "messages", "temperature", "tools"}
    assert notes == dict.fromkeys(
        ["settings.seed", "tools.0.strict", *sorted(drops - {"seed", "strict"})], Action.DROPPED
    )


def test_a_choice_of_tools_that_cannot_be_said() -> None:
    refusing = ModelProfile(drops=frozenset({"tool_choice"}))
    by_itself = ask(tools=[Tool(name="f")], tool_choice=ToolChoice(mode="auto"))
    body, notes = encode_for(by_itself, refusing)
    assert "tools" in body
    assert "tool_choice" not in body
    assert notes == {}  # that is what it means without a word
    never = ask(tools=[Tool(name="f")], tool_choice=ToolChoice(mode="none"))
    body, notes = encode_for(never, refusing)
    assert "tools" not in body
    assert notes == {"tool_choice": Action.EMULATED}


def test_a_temperature_out_of_range() -> None:
    profile = ModelProfile(quirks={"temperature_range": [0.01, 1]})
    for asked, sent in ((0, 0.01), (0.5, 0.5), (1, 1), (1.7, 1)):
        body, notes = encode_for(ask(settings=Settings(temperature=asked)), profile)
        assert body["temperature"] == sent
        assert notes == ({} if asked == sent else {"settings.temperature": Action.CLAMPED})


def test_stop_and_top_k() -> None:
    request = ask(settings=Settings(stop=list("abcdef"), top_k=4))
    body, notes = encode(request)
    assert body["stop"] == list("abcd")
    assert notes == {"settings.stop": Action.CLAMPED, "settings.top_k": Action.DROPPED}
    body, notes = encode(request, stop_limit=6, top_k=True)
    assert (body["stop"], body["top_k"]) == (list("abcdef"), 4)
    assert notes == {}


def test_usage_is_asked_for_in_streams() -> None:
    request = ask(stream=True)
    assert encode(request)[0]["stream_options"] == {"include_usage": True}
    assert "stream_options" not in encode(request, stream_usage=False)[0]


def test_fields_of_other_protocols_are_noted() -> None:
    request = ask(
        extensions={"gemini_generate": {"safetySettings": []}, "openai_chat": {"min_p": 1}}
    )
    body, notes = encode(request)
    assert body["min_p"] == 1
    assert notes == {"safetySettings": Action.DROPPED}


def test_bad_quirks_are_the_gateways_fault() -> None:
    with pytest.raises(Unavailable):
        encode(ask(), stop_limit="many")
