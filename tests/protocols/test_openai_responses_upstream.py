"""Requests from other protocols, written for an upstream of the Responses API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from openai.types.responses import response_create_params as params

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
from dragoman.canonical.request import Message, OutputFormat, ReasoningConfig, Request, Settings
from dragoman.canonical.signature import Origin, Signature, seal, unseal
from dragoman.protocols.base import ModelProfile, Target
from dragoman.protocols.openai_responses import PROTOCOL
from tests.protocols.strategies import portable_requests
from tests.support.typed import check

ID = "openai_responses"
OPENAI = ModelProfile(provider="openai", model="gpt-5.6")
Notes = dict[str, str]


def encode(request: Request, profile: ModelProfile = OPENAI) -> tuple[dict[str, Any], Notes]:
    """(body, path → action)."""
    encoded = PROTOCOL.encode_request(request, profile)
    return json.loads(encoded.body), {note.path: note.action.value for note in encoded.notes}


def ask(*parts: Part, **fields: Any) -> Request:
    said = list(parts) or [Text(text="hi")]
    return Request(model="m", messages=[Message(role="user", parts=said)], **fields)


def answer(*parts: Part) -> Request:
    return Request(model="m", messages=[Message(role="assistant", parts=list(parts))])


@given(request=portable_requests())
def test_the_official_types_accept_it(request: Request) -> None:
    body, _ = encode(request)
    check(body, params.ResponseCreateParamsNonStreaming, "body")


def test_nothing_is_stored_unless_asked() -> None:
    body, notes = encode(ask())
    assert body["store"] is False
    assert "include" not in body
    assert notes == {}
    body, _ = encode(ask(settings=Settings(store=True), reasoning=ReasoningConfig(effort="low")))
    assert body["store"] is True
    assert "include" not in body


@pytest.mark.parametrize(
    ("config", "quirks", "encrypted"),
    [
        (ReasoningConfig(effort="low"), {}, True),
        (ReasoningConfig(visible=True), {}, True),
        (ReasoningConfig(mode="off"), {}, False),
        (ReasoningConfig(mode="adaptive"), {}, False),
        (None, {}, False),
        (None, {"encrypted_reasoning": True}, True),
    ],
)
def test_reasoning_comes_encrypted(
    config: ReasoningConfig | None, quirks: dict[str, Any], encrypted: bool
) -> None:
    profile = ModelProfile(provider="openai", model="m", quirks=quirks)
    body, _ = encode(ask(reasoning=config), profile)
    assert (body.get("include") == ["reasoning.encrypted_content"]) is encrypted


@pytest.mark.parametrize(
    ("config", "written"),
    [
        (ReasoningConfig(effort="xhigh"), {"effort": "xhigh", "summary": "auto"}),
        (ReasoningConfig(mode="off"), {"effort": "none"}),
        (ReasoningConfig(mode="on"), {"effort": "medium", "summary": "auto"}),
        (ReasoningConfig(mode="on", budget_tokens=1024), {"effort": "low", "summary": "auto"}),
        (ReasoningConfig(mode="on", budget_tokens=8000), {"effort": "medium", "summary": "auto"}),
        (ReasoningConfig(mode="on", budget_tokens=60_000), {"effort": "xhigh", "summary": "auto"}),
        (ReasoningConfig(effort="low", budget_tokens=60_000), {"effort": "low", "summary": "auto"}),
        (ReasoningConfig(visible=True), {"summary": "auto"}),
        (ReasoningConfig(visible=True, summary="detailed"), {"summary": "detailed"}),
        (ReasoningConfig(visible=False), None),
    ],
)
def test_how_thinking_is_asked_for(config: ReasoningConfig, written: dict[str, str] | None) -> None:
    body, notes = encode(ask(reasoning=config))
    assert body.get("reasoning") == written
    changed = {"mode", "budget_tokens"} & {
        name for name in config.__struct_fields__ if getattr(config, name) is not None
    }
    assert {f"reasoning.{name}" for name in changed} <= notes.keys()


def test_summaries_can_be_left_alone() -> None:
    """OpenAI refuses them to organisations that are not verified."""
    profile = ModelProfile(provider="openai", model="m", quirks={"reasoning_summary": False})
    body, _ = encode(ask(reasoning=ReasoningConfig(effort="low")), profile)
    assert body["reasoning"] == {"effort": "low"}


def test_settings_that_the_api_lacks() -> None:
    settings = Settings(
        stop=["\n"],
        n=2,
        seed=7,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        logit_bias={"50256": -100.0},
        top_k=40,
        modalities=["audio"],
    )
    body, notes = encode(ask(settings=settings))
    assert body.keys() == {"model", "input", "store"}
    assert set(notes.values()) == {"dropped"}
    assert notes.keys() == {
        f"settings.{name}"
        for name in (
            *("stop", "n", "seed", "presence_penalty", "frequency_penalty"),
            *("logit_bias", "top_k", "modalities"),
        )
    }


def test_settings_that_ask_for_the_usual_are_not_dropped() -> None:
    _, notes = encode(ask(settings=Settings(n=1, presence_penalty=0.0, modalities=["text"])))
    assert set(notes.values()) == {"renamed"}


def test_settings_that_have_a_place() -> None:
    settings = Settings(
        max_output_tokens=5,
        verbosity="low",
        logprobs=True,
        top_logprobs=3,
        user="u",
        metadata={"a": "b", "n": 1},
        service_tier="standard_only",
    )
    body, notes = encode(ask(settings=settings))
    assert body["max_output_tokens"] == 16
    assert body["text"] == {"verbosity": "low"}
    assert body["include"] == ["message.output_text.logprobs"]
    assert (body["top_logprobs"], body["user"]) == (3, "u")
    assert body["metadata"] == {"a": "b", "n": "1"}
    assert "service_tier" not in body
    assert notes == {
        "settings.max_output_tokens": "clamped",
        "settings.metadata": "emulated",
        "settings.service_tier": "dropped",
    }


def test_the_models_ceiling() -> None:
    profile = ModelProfile(model="m", max_output_tokens=100)
    body, notes = encode(ask(settings=Settings(max_output_tokens=500)), profile)
    assert body["max_output_tokens"] == 100
    assert notes == {"settings.max_output_tokens": "clamped"}


def test_what_the_provider_refuses() -> None:
    drops = frozenset({"temperature", "reasoning", "output", "parallel_tool_calls", "verbosity"})
    request = ask(
        settings=Settings(temperature=0.1, verbosity="low"),
        reasoning=ReasoningConfig(effort="low"),
        output=OutputFormat(kind="json_object"),
        parallel_tool_calls=True,
    )
    body, notes = encode(request, ModelProfile(model="m", drops=drops))
    assert body.keys() == {"model", "input", "store"}
    assert notes == dict.fromkeys(
        (
            "settings.temperature",
            "settings.verbosity",
            "reasoning",
            "output",
            "parallel_tool_calls",
        ),
        "dropped",
    )


def test_structured_output_gets_the_name_it_must_have() -> None:
    body, _ = encode(ask(output=OutputFormat(kind="json_schema", schema={"type": "object"})))
    assert body["text"]["format"] == {
        "type": "json_schema",
        "name": "response",
        "schema": {"type": "object"},
    }


def test_media() -> None:
    body, notes = encode(
        ask(
            Media(kind="image", media_type="image/png", data="iVBORw0KGgo=", name="a.png"),
            Media(kind="document", media_type="application/pdf", data="JVBERi0="),
            Media(kind="document", media_type="text/plain", text="plain words", name="a.txt"),
            Media(kind="audio", media_type="audio/mpeg", data="AAAA"),
            Media(kind="audio", url="https://example.com/a.mp3"),
            Media(kind="video", url="https://example.com/a.mp4"),
        )
    )
    (message,) = body["input"]
    assert message["content"] == [
        {
            "type": "input_image",
            "detail": "auto",
            "image_url": "data:image/png;base64,iVBORw0KGgo=",
        },
        {
            "type": "input_file",
            "file_data": "data:application/pdf;base64,JVBERi0=",
            "filename": "file",
        },
        {"type": "input_text", "text": "plain words"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
    ]
    assert notes == {
        "messages.0.parts.0.name": "dropped",
        "messages.0.parts.2": "emulated",
        "messages.0.parts.4": "dropped",
        "messages.0.parts.5": "dropped",
    }


def test_an_assistants_texts_need_no_id() -> None:
    body, _ = encode(answer(Text(text="one"), Text(text="two"), Refusal(text="no")))
    assert body["input"] == [
        {"type": "message", "role": "assistant", "content": "one"},
        {"type": "message", "role": "assistant", "content": "two"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    ]


def test_results_among_a_users_texts_keep_their_order() -> None:
    request = ask(
        Text(text="before"),
        ToolResult(call_id="c1", content=[Text(text="sunny")], is_error=True),
        Text(text="after"),
    )
    body, notes = encode(request)
    kinds = [(item["type"], item.get("output")) for item in body["input"]]
    assert kinds == [("message", None), ("function_call_output", "sunny"), ("message", None)]
    assert notes == {"messages.0.parts.1.is_error": "dropped"}


def test_calls() -> None:
    long = "call_" + "x" * 80
    calls = [
        ToolCall(id="c1", name="f"),
        ToolCall(
            id=long,
            name="g",
            arguments='{"a":1}',
            signature=Signature("s", Origin("gemini_generate")),
        ),
        ToolCall(id="c3", name="free", arguments="any text", custom=True),
    ]
    results: list[Part] = [ToolResult(call_id=long), ToolResult(call_id="c3", custom=True)]
    request = answer(*calls)
    request.messages.append(Message(role="tool", parts=results))
    body, notes = encode(request)
    first, second, third, output, free = body["input"]
    assert first == {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    assert len(second["call_id"]) <= 64
    assert second["call_id"] == output["call_id"]
    assert third["input"] == "any text"
    assert free["type"] == "custom_tool_call_output"
    assert notes == {
        "messages.0.parts.1.id": "renamed",
        "messages.0.parts.1.signature": "dropped",
        "messages.1.parts.0.id": "renamed",
    }


def test_reasoning_returns_only_to_who_made_it() -> None:
    ours = Signature("rs_9\x1fgAAAA", Origin(ID, "openai", "gpt-5.6"))
    theirs = Signature("sig", Origin("anthropic_messages", "anthropic"))
    elsewhere = Signature("gBBBB", Origin(ID, "azure"))
    request = answer(
        Reasoning(text="one", signature=ours, summary=True),
        Reasoning(text="two", signature=theirs),
        Reasoning(text="three", signature=elsewhere),
        Reasoning(text="four"),
    )
    body, notes = encode(request)
    assert body["input"] == [
        {
            "type": "reasoning",
            "id": "rs_9",
            "summary": [{"type": "summary_text", "text": "one"}],
            "encrypted_content": "gAAAA",
        }
    ]
    assert notes == {f"messages.0.parts.{index}": "dropped" for index in (1, 2, 3)}


def test_encrypted_reasoning_keeps_its_items_id_on_the_way_through_other_clients() -> None:
    """The provider refuses encrypted reasoning under another id than its own."""
    item = {"type": "reasoning", "id": "rs_7", "summary": [], "encrypted_content": "gAAAA"}
    answered = PROTOCOL.decode_response(
        json.dumps({"id": "resp_1", "output": [item]}).encode(), Origin(ID, "openai", "gpt-5.6")
    )
    part = answered.choices[0].parts[0]
    assert isinstance(part, Reasoning)
    assert part.signature is not None
    carried = unseal(seal(part.signature), "anthropic_messages")
    body, _ = encode(answer(Reasoning(redacted=True, signature=carried)))
    assert body["input"] == [item]


def test_cache_breakpoints() -> None:
    request = ask(Text(text="long", cache=CacheHint()), cache=CacheHint())
    body, notes = encode(request)
    assert "prompt_cache_breakpoint" not in body["input"][0]["content"][0]
    assert notes == {"messages.0.parts.0.cache": "emulated", "cache": "emulated"}
    profile = ModelProfile(model="m", quirks={"cache_breakpoints": True})
    body, notes = encode(request, profile)
    assert body["input"][0]["content"][0]["prompt_cache_breakpoint"] == {"mode": "explicit"}
    assert notes == {"cache": "emulated"}


def test_other_protocols_fields() -> None:
    request = ask(
        Text(text="hi", extensions={"anthropic_messages": {"citations": []}}),
        Opaque(protocol="gemini_generate", value={}),
        extensions={"openai_chat": {"prompt_cache_key": "k", "prediction": {}, "_style": "x"}},
    )
    request.messages[0].name = "ada"
    body, notes = encode(request)
    assert body["prompt_cache_key"] == "k"
    assert notes == {
        "messages.0.name": "dropped",
        "messages.0.parts.0.citations": "dropped",
        "messages.0.parts.1": "dropped",
        "prediction": "dropped",
    }


def test_counting_takes_only_what_counts() -> None:
    codecs = PROTOCOL.token_count
    assert codecs is not None
    body = {
        "model": "m",
        "input": "hi",
        "stream": True,
        "temperature": 1,
        "instructions": "Be brief.",
    }
    request = codecs.decode_request(json.dumps(body).encode(), Target())
    sent = json.loads(codecs.encode_request(request, OPENAI).body)
    assert sent.keys() == {"model", "input", "instructions"}
    assert sent["model"] == "gpt-5.6"
    assert codecs.decode_response(b'{"object":"response.input_tokens","input_tokens":11}') == 11
    assert json.loads(codecs.encode_response(11)) == {
        "object": "response.input_tokens",
        "input_tokens": 11,
    }
    assert codecs.endpoint("m") == "/responses/input_tokens"
