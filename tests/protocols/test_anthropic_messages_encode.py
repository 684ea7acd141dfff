"""Canonical requests of other protocols, written for the Messages API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.canonical.notes import Action
from dragoman.canonical.parts import (
    CacheHint,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.canonical.request import Message, OutputFormat, Request, Role, Settings
from dragoman.canonical.signature import Origin, Signature
from dragoman.protocols.anthropic_messages import PROTOCOL
from dragoman.protocols.base import ModelProfile

CLAUDE = ModelProfile(provider="anthropic", model="claude-sonnet-4-5")


def say(role: Role, *parts: Part | str) -> Message:
    return Message(role=role, parts=[Text(text=p) if isinstance(p, str) else p for p in parts])


def ask(*messages: Message, **fields: Any) -> Request:
    return Request(model="alias", messages=list(messages) or [say("user", "hi")], **fields)


def encode(
    request: Request, profile: ModelProfile = CLAUDE
) -> tuple[dict[str, Any], dict[str, Action]]:
    encoded = PROTOCOL.encode_request(request, profile)
    return json.loads(encoded.body), {note.path: note.action for note in encoded.notes}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def call(id: str = "call_1", name: str = "f", arguments: str = "{}", **fields: Any) -> ToolCall:
    return ToolCall(id=id, name=name, arguments=arguments, **fields)


def test_the_least_a_request_must_say() -> None:
    body, notes = encode(ask())
    assert body == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 8192,
        "messages": [{"role": "user", "content": [text("hi")]}],
    }
    assert not notes
    assert PROTOCOL.encode_request(ask(), CLAUDE).headers == {"anthropic-version": "2023-06-01"}


def test_max_tokens_comes_from_the_client_then_the_model_then_a_default() -> None:
    known = ModelProfile(max_output_tokens=64_000)
    assert encode(ask(), known)[0]["max_tokens"] == 64_000
    asked = ask(settings=Settings(max_output_tokens=100))
    assert encode(asked, known)[0]["max_tokens"] == 100
    body, notes = encode(ask(settings=Settings(max_output_tokens=100_000)), known)
    assert body["max_tokens"] == 64_000
    assert notes == {"settings.max_output_tokens": Action.CLAMPED}


def test_leading_instructions_become_the_system_prompt() -> None:
    body, notes = encode(ask(say("system", "One."), say("developer", "Two."), say("user", "hi")))
    assert body["system"] == [text("One."), text("Two.")]
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert notes == {"messages.1.role": Action.RENAMED}


LATER = (say("user", "hi"), say("system", "Now in French."), say("user", "again"))


def test_later_instructions_go_into_the_users_turn_in_order() -> None:
    body, notes = encode(ask(*LATER))
    assert body["messages"] == [
        {"role": "user", "content": [text("hi"), text("Now in French."), text("again")]}
    ]
    assert "system" not in body
    assert notes == {"messages.1": Action.EMULATED}


def test_later_instructions_stay_apart_where_the_model_takes_them() -> None:
    body, notes = encode(ask(*LATER), ModelProfile(quirks={"system_messages": True}))
    assert [message["role"] for message in body["messages"]] == ["user", "system", "user"]
    assert not notes


def test_instructions_never_come_between_a_call_and_its_result() -> None:
    messages = (
        say("user", "hi"),
        say("assistant", call()),
        say("system", "Now in French."),
        say("tool", ToolResult(call_id="call_1", content=[Text(text="17")])),
    )
    for profile in (CLAUDE, ModelProfile(quirks={"system_messages": True})):
        body, _ = encode(ask(*messages), profile)
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
        assert [block["type"] for block in body["messages"][2]["content"]] == [
            "tool_result",
            "text",
        ]


def test_turns_alternate_and_results_come_first() -> None:
    body, notes = encode(
        ask(
            say("user", "one"),
            say("user", "two"),
            say("assistant", "calling"),
            say("assistant", call("a"), call("b")),
            say("tool", ToolResult(call_id="a", content=[Text(text="A")])),
            say("user", "by the way"),
            say("tool", ToolResult(call_id="b", content=[Text(text="B")], is_error=True)),
        )
    )
    first, second, third = body["messages"]
    assert first["content"] == [text("one"), text("two")]
    assert [block["type"] for block in second["content"]] == ["text", "tool_use", "tool_use"]
    assert third["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "A"},
        {"type": "tool_result", "tool_use_id": "b", "content": "B", "is_error": True},
        text("by the way"),
    ]
    assert not notes


@pytest.mark.parametrize(
    "messages", [(say("assistant", "Hello!"), say("user", "hi")), (say("system", "Only this."),)]
)
def test_a_conversation_begins_with_the_user(messages: tuple[Message, ...]) -> None:
    body, notes = encode(ask(*messages))
    assert body["messages"][0] == {"role": "user", "content": [text(".")]}
    assert notes == {"messages": Action.EMULATED}


def test_blank_text_and_a_trailing_space_are_left_out() -> None:
    body, notes = encode(ask(say("user", "", "hi", " \n"), say("assistant", "So: \n")))
    assert body["messages"] == [
        {"role": "user", "content": [text("hi")]},
        {"role": "assistant", "content": [text("So:")]},
    ]
    assert notes == {"messages.0.parts.2": Action.CLAMPED, "messages.1.parts.0": Action.CLAMPED}


def test_a_turn_of_nothing_but_foreign_reasoning_disappears() -> None:
    thought = Reasoning(text="hm", signature=Signature("x", Origin("openai_responses", "openai")))
    body, notes = encode(ask(say("user", "a"), say("assistant", thought), say("user", "b")))
    assert body["messages"] == [{"role": "user", "content": [text("a"), text("b")]}]
    assert notes == {"messages.1.parts.0": Action.DROPPED}


def test_reasoning_returns_only_to_who_signed_it() -> None:
    def thinking(provider: str, **fields: Any) -> Reasoning:
        origin = Origin("anthropic_messages", provider, "m")
        return Reasoning(signature=Signature("Eq", origin), **fields)

    parts = (
        thinking("anthropic", text="mine"),
        thinking("", redacted=True),
        thinking("kimi", text="theirs"),
        Reasoning(text="unsigned"),
    )
    body, notes = encode(ask(say("user", "a"), say("assistant", *parts), say("user", "b")))
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "mine", "signature": "Eq"},
        {"type": "redacted_thinking", "data": "Eq"},
    ]
    assert notes == {
        "messages.1.parts.2": Action.DROPPED,
        "messages.1.parts.3": Action.DROPPED,
    }
    lenient = ModelProfile(provider="deepseek", quirks={"unsigned_thinking": True})
    body, notes = encode(
        ask(say("user", "a"), say("assistant", *parts[2:]), say("user", "b")), lenient
    )
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "theirs", "signature": ""},
        {"type": "thinking", "thinking": "unsigned", "signature": ""},
    ]
    assert notes == {"messages.1.parts.0.signature": Action.DROPPED}


def test_arguments_keep_their_text_and_their_order() -> None:
    kept = '{"z": 1.0, "a": 12345678901234567890123}'
    encoded = PROTOCOL.encode_request(
        ask(say("user", "a"), say("assistant", call(arguments=kept))), CLAUDE
    )
    assert f'"input":{kept}'.encode() in encoded.body


@pytest.mark.parametrize(
    ("arguments", "custom", "expected", "noted"),
    [
        ("", False, {}, False),
        ('{"a":1}', False, {"a": 1}, False),
        ('{"a":', False, {"input": '{"a":'}, True),
        ("[1]", False, {"input": "[1]"}, True),
        ("print(1)", True, {"input": "print(1)"}, True),
    ],
)
def test_arguments_become_an_object(
    arguments: str, custom: bool, expected: object, noted: bool
) -> None:
    part = call(arguments=arguments, custom=custom)
    body, notes = encode(ask(say("user", "a"), say("assistant", part), say("user", "b")))
    assert body["messages"][1]["content"][0]["input"] == expected
    assert ("messages.1.parts.0" in notes) is noted


def test_ids_that_are_refused_are_mapped_alike_for_call_and_result() -> None:
    body, notes = encode(
        ask(
            say("user", "a"),
            say("assistant", call("functions.f:0"), call("functions_f_0")),
            say(
                "tool",
                ToolResult(call_id="functions.f:0", content=[]),
                ToolResult(call_id="functions_f_0", content=[]),
            ),
        )
    )
    calls = [block["id"] for block in body["messages"][1]["content"]]
    results = [block["tool_use_id"] for block in body["messages"][2]["content"]]
    assert calls == results == ["functions_f_0", "functions_f_0_2"]
    assert notes["messages.1.parts.0.id"] is Action.CLAMPED
    assert notes["messages.2.parts.0.call_id"] is Action.CLAMPED


def test_other_parts() -> None:
    parts = (
        Refusal(text="No."),
        Opaque(
            protocol="anthropic_messages", value={"type": "x", "a": 1}, cache=CacheHint(ttl="1h")
        ),
        Opaque(protocol="openai_responses", value={"type": "web_search_call"}),
        call(signature=Signature("s", Origin("gemini_generate"))),
    )
    body, notes = encode(ask(say("user", "a"), say("assistant", *parts), say("user", "b")))
    assert body["messages"][1]["content"] == [
        text("No."),
        {"type": "x", "a": 1, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {}},
    ]
    assert notes == {
        "messages.1.parts.0": Action.EMULATED,
        "messages.1.parts.2": Action.DROPPED,
        "messages.1.parts.3.signature": Action.DROPPED,
    }


def test_settings_in_range_out_of_range_and_unknown() -> None:
    body, notes = encode(
        ask(
            settings=Settings(
                temperature=1.4,
                top_p=0.5,
                top_k=40,
                stop=["END", "\n"],
                user="u-1",
                service_tier="default",
                n=1,
                seed=7,
                logprobs=False,
                logit_bias={"1": 2},
                metadata={"a": "b"},
                store=True,
            )
        )
    )
    assert {k: v for k, v in body.items() if k not in ("model", "messages", "max_tokens")} == {
        "temperature": 1,
        "top_p": 0.5,
        "top_k": 40,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"},
        "service_tier": "standard_only",
    }
    assert notes == {
        "settings.temperature": Action.CLAMPED,
        "settings.stop": Action.DROPPED,
        "settings.n": Action.RENAMED,
        "settings.seed": Action.DROPPED,
        "settings.logit_bias": Action.DROPPED,
        "settings.logprobs": Action.RENAMED,
        "settings.metadata": Action.DROPPED,
        "settings.store": Action.DROPPED,
    }


def test_a_providers_refusals_are_dropped_with_a_note() -> None:
    drops = frozenset({"temperature", "output"})
    profile = ModelProfile(drops=drops, quirks={"exclusive_sampling": True})
    request = ask(
        settings=Settings(temperature=0.5, top_p=0.5), output=OutputFormat(kind="json_object")
    )
    body, notes = encode(request, profile)
    assert body["top_p"] == 0.5
    assert notes == {"settings.temperature": Action.DROPPED, "output": Action.DROPPED}
    both = ask(settings=Settings(temperature=0.5, top_p=0.5))
    assert encode(both, ModelProfile(quirks={"exclusive_sampling": True}))[1] == {
        "settings.top_p": Action.DROPPED
    }


def test_what_only_another_protocol_knows_is_noted() -> None:
    foreign = {"openai_chat": {"prediction": 1}}
    request = ask(Message(role="user", parts=[Text(text="a", extensions=foreign)], name="Al"))
    request.extensions = {**foreign, "anthropic_messages": {"speed": "fast"}}
    body, notes = encode(request)
    assert body["speed"] == "fast"
    assert notes == {
        "prediction": Action.DROPPED,
        "messages.0.name": Action.DROPPED,
        "messages.0.parts.0.prediction": Action.DROPPED,
    }
