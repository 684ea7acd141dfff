"""Anthropic Messages as a client protocol: bodies in, canonical requests out, and the same again."""

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
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.canonical.request import OutputFormat, ReasoningConfig, Request, ToolChoice
from dragoman.canonical.signature import Origin, Signature, seal
from dragoman.protocols.anthropic_messages import PROTOCOL
from dragoman.protocols.base import ModelProfile, Parsed, Target

FIXTURES = Path(__file__).parent.parent / "fixtures"
EVERYTHING = (FIXTURES / "anthropic_messages" / "request_everything.json").read_bytes()
ID = "anthropic_messages"
NATIVE = ModelProfile(
    provider="anthropic",
    quirks={"reasoning_style": "effort", "system_messages": True},
)


def parse(body: Any, **target: Any) -> Parsed:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROTOCOL.parse_request(raw, Target(**target))


def decode(body: Any, **target: Any) -> Request:
    return PROTOCOL.decode_request(parse(body, **target))


def small(**fields: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        **fields,
    }


def said(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return small(messages=[{"role": role, "content": list(blocks)}])


def captured() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name in ("claude-code", "anthropic-python", "anthropic-node", "litellm-anthropic"):
        found += exchanges(name)
    return found + exchanges("langchain-anthropic")


def exchanges(name: str) -> list[tuple[str, dict[str, Any]]]:
    capture = json.loads((FIXTURES / "captures" / f"{name}.json").read_bytes())
    posts = [one["request"] for one in capture["exchanges"] if one["request"]["method"] == "POST"]
    return [(f"{name}-{index}", post) for index, post in enumerate(posts)]


@pytest.mark.parametrize(
    "request_", [post for _, post in captured()], ids=[name for name, _ in captured()]
)
def test_what_real_clients_send_is_taken_and_kept(request_: dict[str, Any]) -> None:
    headers = {name.lower(): value for name, value in request_["headers"]}
    version = headers["anthropic-version"]
    parsed = parse(request_["body"], version=version)
    request = PROTOCOL.decode_request(parsed)
    again = decode(PROTOCOL.encode_request(request, NATIVE).body)
    if "count_tokens" in request_["target"]:
        request.settings.max_output_tokens = again.settings.max_output_tokens
    assert again == request

    forwarded = PROTOCOL.repeat_request(parsed, ModelProfile(model=parsed.model))
    assert forwarded.headers["anthropic-version"] == version
    if version == "2023-06-01" or "temperature" not in request_["body"]:
        assert forwarded.body == parsed.body
        assert not forwarded.notes
    else:
        assert "temperature" not in json.loads(forwarded.body)
        assert [(note.path, note.action) for note in forwarded.notes] == [
            ("settings.temperature", "dropped")
        ]


def test_everything_the_api_knows_survives_the_way_through_the_canonical_form() -> None:
    request = decode(EVERYTHING, betas=("context-management-2025-06-27", "effort-2025-11-24"))
    encoded = PROTOCOL.encode_request(request, NATIVE)
    assert encoded.notes == []
    assert encoded.headers == {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "context-management-2025-06-27,effort-2025-11-24",
    }
    mine, theirs = json.loads(EVERYTHING), json.loads(encoded.body)
    # Strings and defaults may be written otherwise; what they say may not differ.
    mine["messages"][3]["content"][0].pop("is_error")
    mine["tools"][1].pop("type")
    mine["messages"][1]["content"] = theirs["messages"][1]["content"]
    assert theirs == mine
    betas = ("context-management-2025-06-27", "effort-2025-11-24")
    assert decode(encoded.body, betas=betas) == request


def test_blocks_become_parts() -> None:
    request = decode(EVERYTHING)
    system, user, aside, assistant, results = request.messages
    assert system.parts == [Text(text="Be brief.", cache=CacheHint(ttl="1h"))]
    assert user.parts[0] == Text(text="Look at these.", cache=CacheHint())
    assert user.parts[1] == Media(
        kind="image",
        media_type="image/png",
        data="iVBORw0KGgo=",
        extensions={ID: {"transformations": {"oversized_image": "error"}}},
    )
    assert user.parts[2] == Media(kind="image", url="https://files.example/cat.webp")
    assert user.parts[3] == Media(kind="image", file_id="file_011")
    report = user.parts[4]
    assert isinstance(report, Media)
    assert (report.kind, report.name) == ("document", "Report")
    assert report.extensions == {ID: {"context": "from 2025", "citations": {"enabled": True}}}
    assert user.parts[5] == Media(kind="document", media_type="text/plain", text="plain words")
    chunks, found = user.parts[7], user.parts[8]
    assert isinstance(chunks, Media)
    assert isinstance(found, Media)
    assert chunks.text == "first chunk\n\nsecond chunk"
    assert (found.name, found.text) == ("A page", "what it says")
    assert user.parts[9] == Opaque(
        protocol=ID, value={"type": "container_upload", "file_id": "file_012"}
    )
    assert aside.role == "system"
    assert aside.extensions == {
        ID: {"output_config": {"effort": "low"}, "clear_at": "next_user_message"}
    }
    signature = Signature("EqQBCgIYAhIM", Origin(ID))
    assert assistant.parts[0] == Reasoning(text="Let me see.", signature=signature)
    assert assistant.parts[1] == Reasoning(
        redacted=True, signature=Signature("EmwKAhgBEgy3", Origin(ID))
    )
    call = assistant.parts[7]
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"city":"Paris","days":2,"fine":1.0}'
    assert call.extensions == {
        ID: {"caller": {"type": "code_execution_20250825", "tool_id": "srvtoolu_1"}}
    }
    assert results.parts[0] == ToolResult(
        call_id="toolu_1", content=[Text(text="17 degrees")], cache=CacheHint()
    )
    partly = results.parts[1]
    assert isinstance(partly, ToolResult)
    assert partly.is_error
    assert [type(item) for item in partly.content] == [Text, Media, Media, Opaque]


def test_the_rest_of_a_request_is_read() -> None:
    request = decode(EVERYTHING)
    assert request.settings.max_output_tokens == 4096
    assert request.settings.stop == ["END"]
    assert request.settings.user == "u-1"
    assert request.settings.service_tier == "default"
    assert request.tool_choice == ToolChoice(mode="auto")
    assert request.parallel_tool_calls is False
    assert request.reasoning == ReasoningConfig(mode="adaptive", effort="medium", visible=True)
    assert request.output is not None
    assert (request.output.kind, request.output.name) == ("json_schema", None)
    assert request.cache == CacheHint(ttl="1h")
    assert request.stream is True
    weather, shot, search, toolset = request.tools
    assert (weather.kind, weather.strict, weather.cache) == ("function", True, CacheHint())
    assert weather.extensions == {ID: {"defer_loading": True, "input_examples": [{"city": "Oslo"}]}}
    assert (shot.kind, shot.parameters) == ("function", {"type": "object", "properties": {}})
    assert (search.kind, search.name, search.protocol) == ("hosted", "web_search", ID)
    assert search.config == {"type": "web_search_20260318", "name": "web_search", "max_uses": 3}
    assert (toolset.kind, toolset.name) == ("hosted", "mcp_toolset")
    assert request.extensions is not None
    assert {"container", "mcp_servers", "context_management", "speed", "safeguards"} <= set(
        request.extensions[ID]
    )
    assert request.extensions[ID]["thinking"] == {
        "display": "updates",
        "block_binding": {"prefix": "strict"},
    }
    assert request.extensions[ID]["metadata"] == {"team": "blue"}
    assert request.extensions[ID]["output_config"] == {
        "task_budget": {"type": "tokens", "total": 50000}
    }


def test_claude_codes_billing_block_is_taken_out_and_put_back_first() -> None:
    block = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.329.2d4;"}
    request = decode(small(system=[block, {"type": "text", "text": "Be brief."}]))
    assert [part.text for part in request.messages[0].parts] == ["Be brief."]  # type: ignore[union-attr]
    assert request.extensions == {ID: {"x-anthropic-billing-header": block}}
    assert json.loads(PROTOCOL.encode_request(request, NATIVE).body)["system"] == [
        block,
        {"type": "text", "text": "Be brief."},
    ]


def test_a_prompt_that_only_mentions_the_billing_block_stays_a_prompt() -> None:
    text = "x-anthropic-billing-header: a\nYou are a helper."
    for system in (text, [{"type": "text", "text": text}]):
        assert decode(small(system=system)).messages[0].parts == [Text(text=text)]


def test_a_sealed_signature_shows_its_true_origin() -> None:
    origin = Origin("openai_responses", "openai", "gpt-5.2")
    sealed = seal(Signature("gAAAAB", origin))
    block = {"type": "thinking", "thinking": "hm", "signature": sealed}
    (part,) = decode(said(block, role="assistant")).messages[0].parts
    assert part == Reasoning(text="hm", signature=Signature("gAAAAB", origin))


def test_a_signature_that_travelled_before_a_call_returns_to_it() -> None:
    origin = Origin("gemini_generate", "gemini", "gemini-3-pro")
    carrier = {"type": "redacted_thinking", "data": seal(Signature("CtYB", origin))}
    call = {"type": "tool_use", "id": "call_1", "name": "f", "input": {}}
    parts = decode(said(carrier, call, call | {"id": "call_2"}, role="assistant")).messages[0].parts
    assert parts == [
        ToolCall(id="call_1", name="f", arguments="{}", signature=Signature("CtYB", origin)),
        ToolCall(id="call_2", name="f", arguments="{}"),
    ]


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        (
            {"type": "enabled", "budget_tokens": 2048},
            ReasoningConfig(mode="on", budget_tokens=2048),
        ),
        ({"type": "disabled"}, ReasoningConfig(mode="off")),
        (
            {"type": "adaptive", "display": "omitted"},
            ReasoningConfig(mode="adaptive", visible=False),
        ),
        ({"type": "adaptive", "display": None}, ReasoningConfig(mode="adaptive")),
        ({"type": "between_tools"}, None),
    ],
)
def test_thinking_is_read(thinking: dict[str, Any], expected: ReasoningConfig | None) -> None:
    assert decode(small(thinking=thinking)).reasoning == expected


def test_the_older_place_of_the_output_format_is_read() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    request = decode(small(output_format={"type": "json_schema", "schema": schema}))
    assert request.output == OutputFormat(kind="json_schema", schema=schema)
    assert request.extensions is None


def test_nulls_say_nothing() -> None:
    body = small(system=None, tools=None, thinking=None, container=None, stream=None, top_p=None)
    assert decode(body) == decode(small())
