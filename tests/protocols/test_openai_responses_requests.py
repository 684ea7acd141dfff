"""Requests of the Responses API as clients send them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.canonical.errors import InvalidRequest
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
from dragoman.canonical.request import (
    Message,
    OutputFormat,
    ReasoningConfig,
    Request,
    Settings,
    ToolChoice,
)
from dragoman.canonical.signature import Origin, Signature, seal
from dragoman.protocols.base import ModelProfile, Target
from dragoman.protocols.openai_responses import PROTOCOL

ID = "openai_responses"
FIXTURES = Path(__file__).parents[1] / "fixtures"
CAPTURES = FIXTURES / "captures"


def decode(body: bytes | dict[str, Any]) -> Request:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROTOCOL.decode_request(PROTOCOL.parse_request(data, Target()))


def ask(**fields: Any) -> Request:
    return decode({"model": "m", "input": "hi", **fields})


def say(*items: dict[str, Any]) -> list[Message]:
    return decode({"model": "m", "input": list(items)}).messages


def captured() -> list[Any]:
    """Every body that a real client sent to ``/responses``."""
    found = []
    for path in sorted(CAPTURES.glob("*.json")):
        for exchange in json.loads(path.read_text())["exchanges"]:
            request = exchange["request"]
            if request["target"].endswith("/responses"):
                found.append(pytest.param(request["body"], id=f"{path.stem}-{len(found)}"))
    return found


@pytest.fixture(scope="module")
def everything() -> Request:
    return decode((FIXTURES / ID / "request.json").read_bytes())


def test_messages_and_items_group_into_turns(everything: Request) -> None:
    roles = [message.role for message in everything.messages]
    assert roles == [
        *("system", "developer", "user", "assistant"),
        *("tool", "tool", "tool", "user", "user", "assistant", "user"),
    ]
    kinds = [type(part).__name__ for part in everything.messages[3].parts]
    assert kinds == [
        *("Reasoning", "Text", "Refusal", "ToolCall", "ToolCall", "ToolCall", "Opaque"),
    ]


def test_instructions_lead_and_are_remembered(everything: Request) -> None:
    first = everything.messages[0]
    assert first.parts == [Text(text="Answer briefly.")]
    body = json.loads(PROTOCOL.encode_request(everything, ModelProfile()).body)
    assert body["instructions"] == "Answer briefly."
    assert body["input"][0]["role"] == "developer"


def test_content_parts(everything: Request) -> None:
    text, inline, linked, filed, pdf, remote, sound, unknown = everything.messages[2].parts
    assert text == Text(
        text="What is in these?",
        cache=CacheHint(),
        extensions={ID: {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}},
    )
    assert inline == Media(kind="image", media_type="image/png", data="iVBORw0KGgo=", detail="low")
    assert linked == Media(kind="image", url="https://example.com/cat.jpg")
    assert filed == Media(kind="image", file_id="file-img1", detail="high")
    assert pdf == Media(
        kind="document", media_type="application/pdf", data="JVBERi0=", name="a.pdf"
    )
    assert remote == Media(kind="document", url="https://example.com/b.pdf")
    assert sound == Media(kind="audio", media_type="audio/wav", data="UklGRg==")
    assert isinstance(unknown, Opaque)
    assert unknown.value == {"type": "input_hologram", "depth": 3}


def test_an_answers_items(everything: Request) -> None:
    reasoning, text, refusal, look, spawn, patch, search = everything.messages[3].parts
    assert isinstance(reasoning, Reasoning)
    assert (reasoning.text, reasoning.summary) == ("**Look**\n\nThen call.", True)
    assert reasoning.signature is not None
    assert reasoning.signature.origin == Origin(ID)
    assert isinstance(text, Text)
    assert text.extensions is not None
    assert text.extensions[ID]["item"] == {"phase": "commentary"}
    assert text.extensions[ID]["_item"] == {"id": "msg_1", "status": "completed"}
    assert refusal == Refusal(text="Not that one.")
    assert isinstance(look, ToolCall)
    assert (look.id, look.name, look.arguments) == ("call_1", "look", '{"at": "cat"}')
    assert isinstance(spawn, ToolCall)
    assert spawn.name == "agents__spawn"
    assert isinstance(patch, ToolCall)
    assert (patch.arguments, patch.custom) == ("*** Begin Patch", True)
    assert isinstance(search, Opaque)
    assert search.value["type"] == "web_search_call"


def test_tool_outputs(everything: Request) -> None:
    first, second, third = (message.parts[0] for message in everything.messages[4:7])
    assert isinstance(first, ToolResult)
    assert (first.call_id, first.content) == ("call_1", [Text(text="a cat")])
    assert isinstance(second, ToolResult)
    assert [type(part) for part in second.content] == [Text, Media]
    assert isinstance(third, ToolResult)
    assert (third.content, third.custom) == ([], True)
    shell, reference = (message.parts[0] for message in everything.messages[7:9])
    assert isinstance(shell, Opaque)
    assert isinstance(reference, Opaque)


def test_tools_of_every_kind(everything: Request) -> None:
    names = [(tool.name, tool.kind) for tool in everything.tools]
    assert names == [
        ("look", "function"),
        ("patch", "custom"),
        ("agents__spawn", "function"),
        ("agents__close", "function"),
        ("web_search", "hosted"),
        ("mcp", "hosted"),
        ("late", "function"),
    ]
    assert everything.tools[0].extensions == {ID: {"defer_loading": False}}
    assert everything.tool_choice == ToolChoice(mode="auto", names=["look", "agents__spawn"])


def test_settings(everything: Request) -> None:
    assert everything.settings == Settings(
        max_output_tokens=2048,
        temperature=0.5,
        top_p=0.9,
        logprobs=True,
        top_logprobs=2,
        verbosity="low",
        service_tier="flex",
        metadata={"run": "7"},
        store=False,
    )
    assert everything.output == OutputFormat(
        kind="json_schema", name="answer", schema={"type": "object"}, strict=True
    )
    assert everything.reasoning == ReasoningConfig(effort="high", summary="auto", visible=True)
    assert everything.parallel_tool_calls is False
    assert everything.extensions == {
        ID: {
            "previous_response_id": "resp_0",
            "truncation": "auto",
            "max_tool_calls": 4,
            "prompt_cache_key": "k",
            "safety_identifier": "s",
            "a_field_of_tomorrow": {"x": 1},
            "include": ["web_search_call.action.sources"],
            "reasoning": {"context": "all_turns"},
            "_encrypted": True,
            "_stream_options": {"include_obfuscation": False},
        }
    }


def test_everything_is_written_as_it_came() -> None:
    """Not only equal in meaning: every item, id and field stands where it stood."""
    wire = json.loads((FIXTURES / ID / "request.json").read_bytes())
    request = decode(json.dumps(wire).encode())
    encoded = PROTOCOL.encode_request(request, ModelProfile())
    body = json.loads(encoded.body)
    assert encoded.notes == []
    assert decode(encoded.body) == request
    assert sorted(body.pop("include")) == sorted(wire.pop("include"))
    del wire["background"]  # it says what the API does anyway
    for item in wire["input"]:
        item.setdefault("type", "message")
    developer, *_, last = wire["input"]
    for message in (developer, last):
        message["content"] = [{"type": "input_text", "text": message["content"]}]
    assert body == wire


@pytest.mark.parametrize("wire", captured())
def test_real_clients_bodies_survive(wire: dict[str, Any]) -> None:
    request = decode(wire)
    encoded = PROTOCOL.encode_request(request, ModelProfile())
    assert encoded.notes == []
    assert decode(encoded.body) == request
    if isinstance(wire["input"], list) and "tools" in wire:  # Codex sends nothing in a short form
        assert json.loads(encoded.body) == wire


def test_sealed_reasoning_of_another_provider_is_recognised() -> None:
    signature = Signature("sig", Origin("anthropic_messages", "anthropic", "claude"))
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": seal(signature)}
    (message,) = say(item)
    part = message.parts[0]
    assert isinstance(part, Reasoning)
    assert (part.signature, part.redacted) == (signature, True)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "hi"}, "model"),
        ({"model": "", "input": "hi"}, "model"),
        ({"model": 5, "input": "hi"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": ""}, "input"),
        ({"model": "m", "input": 5}, "input"),
        ({"model": "m", "input": ["hi"]}, "input.0"),
        ({"model": "m", "input": [{"role": "user"}]}, "input.0.content"),
        ({"model": "m", "input": [{"role": "user", "content": [5]}]}, "input.0.content.0"),
        (
            {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input.0.content.0.text",
        ),
        (
            {
                "model": "m",
                "input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}],
            },
            "input.0.arguments",
        ),
        (
            {
                "model": "m",
                "input": [
                    {
                        "type": "function_call_output",
                        "call_id": "c",
                        "output": [{"type": "input_image", "image_url": 5}],
                    }
                ],
            },
            "input.0.output.0.image_url",
        ),
        ({"model": "m", "input": "hi", "tools": [{"type": "function"}]}, "tools.0.name"),
        ({"model": "m", "input": "hi", "tools": [{"name": "f"}]}, "tools.0.type"),
        (
            {
                "model": "m",
                "input": "hi",
                "tools": [
                    {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": 5}]}
                ],
            },
            "tools.0.tools.0.name",
        ),
        ({"model": "m", "input": "hi", "temperature": "hot"}, "temperature"),
        ({"model": "m", "input": "hi", "max_output_tokens": 0}, "max_output_tokens"),
        (
            {"model": "m", "input": "hi", "text": {"format": {"type": "json_schema", "schema": 5}}},
            "text.format.schema",
        ),
        ({"model": "m", "input": "hi", "reasoning": {"effort": 5}}, "reasoning.effort"),
        ({"model": "m", "input": "hi", "metadata": 5}, "metadata"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        PROTOCOL.parse_request(json.dumps(body).encode(), Target())
    assert caught.value.param == param


def test_what_the_provider_keeps_may_stand_in_for_input() -> None:
    request = decode({"model": "m", "previous_response_id": "resp_1"})
    assert request.messages == []
    assert json.loads(PROTOCOL.encode_request(request, ModelProfile()).body) == {
        "model": "m",
        "previous_response_id": "resp_1",
    }


def test_repeating_changes_nothing_but_the_model() -> None:
    body = b'{ "input":"hi",\n"model": "alias","x":[1, 2.50],"temperature":1.0}'
    parsed = PROTOCOL.parse_request(body, Target())
    assert PROTOCOL.repeat_request(parsed, ModelProfile(model="alias")).body == body
    renamed = PROTOCOL.repeat_request(parsed, ModelProfile(model="real")).body
    assert renamed == b'{"input":"hi","model":"real","x":[1, 2.50],"temperature":1.0}'


def test_repeating_translates_what_carries_foreign_proofs() -> None:
    signature = Signature("sig", Origin("anthropic_messages", "anthropic"))
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": seal(signature)}
    body = {"model": "m", "input": [{"role": "user", "content": "hi"}, item]}
    parsed = PROTOCOL.parse_request(json.dumps(body).encode(), Target())
    encoded = PROTOCOL.repeat_request(parsed, ModelProfile(provider="openai", model="m"))
    assert [one["type"] for one in json.loads(encoded.body)["input"]] == ["message"]
    assert [note.path for note in encoded.notes] == ["messages.1.parts.0"]
