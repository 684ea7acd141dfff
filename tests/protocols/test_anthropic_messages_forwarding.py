"""Anthropic Messages: what is refused, what is forwarded untouched, and the counting of tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.canonical.errors import GatewayError, InvalidRequest
from dragoman.canonical.request import Request
from dragoman.canonical.signature import Origin, Signature, seal
from dragoman.protocols.anthropic_messages import PROTOCOL
from dragoman.protocols.base import ModelProfile, Parsed, Target

FIXTURES = Path(__file__).parent.parent / "fixtures" / "anthropic_messages"
EVERYTHING = (FIXTURES / "request_everything.json").read_bytes()
NATIVE = ModelProfile(quirks={"reasoning_style": "effort", "system_messages": True})


def parse(body: Any, **target: Any) -> Parsed:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROTOCOL.parse_request(raw, Target(**target))


def decode(body: Any) -> Request:
    return PROTOCOL.decode_request(parse(body))


def small(**fields: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        **fields,
    }


def said(*blocks: Any) -> dict[str, Any]:
    return small(messages=[{"role": "user", "content": list(blocks)}])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}, "model"),
        (small(model=""), "model"),
        (small(messages=[]), "messages"),
        ({"model": "m"}, "messages"),
        (small(messages="hi"), "messages"),
        (small(messages=[{"role": "user", "content": 5}]), "messages.0.content"),
        (small(messages=[{"role": "user"}]), "messages.0.content"),
        (small(messages=[{"role": "robot", "content": "x"}]), "messages.0.role"),
        (small(max_tokens="9"), "max_tokens"),
        (small(temperature="hot"), "temperature"),
        (small(stop_sequences="x"), "stop_sequences"),
        (small(tools=[{"name": "f", "input_schema": []}]), "tools.0.input_schema"),
        (small(tools=[{"input_schema": {}}]), "tools.0.name"),
        (small(thinking={"type": "enabled", "budget_tokens": "x"}), "thinking.budget_tokens"),
        (small(system=[{"type": "text"}]), "system.0.text"),
        (said({"text": "x"}), "messages.0.content.0"),
        (said({"type": "text", "text": 5}), "messages.0.content.0.text"),
        (said({"type": "text"}), "messages.0.content.0.text"),
        (said({"type": "image"}), "messages.0.content.0.source"),
        (
            said({"type": "tool_use", "id": "a", "name": "f", "input": 5}),
            "messages.0.content.0.input",
        ),
        (said({"type": "tool_use", "name": "f", "input": {}}), "messages.0.content.0.id"),
        (said({"type": "redacted_thinking"}), "messages.0.content.0.data"),
        (
            said({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text"}]}),
            "messages.0.content.0.content.0.text",
        ),
        (said({"type": "tool_result", "content": "x"}), "messages.0.content.0.tool_use_id"),
    ],
)
def test_a_malformed_body_is_refused_by_the_name_of_its_field(body: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000, b'{"model":"m","messages":1e999}']
)
def test_no_bytes_escape_the_tree_of_errors(body: bytes) -> None:
    with pytest.raises(GatewayError):
        decode(body)


def test_nesting_too_deep_to_write_is_refused() -> None:
    refused = 0
    for level in range(400, 500, 3):
        schema = '{"properties":{"a":' * level + "{}" + "}}" * level
        tool = f'{{"name":"f","strict":true,"input_schema":{schema}}}'
        body = f'{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"tools":[{tool}]}}'
        try:
            PROTOCOL.encode_request(decode(body.encode()), NATIVE)
        except InvalidRequest:
            refused += 1
    assert refused


def test_forwarding_changes_the_models_name_and_nothing_else() -> None:
    body = b'{"messages":[{"role":"user","content":"hi"}], "x":{"b":1, "a":2.0}, "model":"alias"}'
    parsed = parse(body, betas=("a-1", "b-2"))
    kept = PROTOCOL.repeat_request(parsed, ModelProfile(model="alias"))
    assert kept.body is body
    assert kept.headers == {"anthropic-version": "2023-06-01", "anthropic-beta": "a-1,b-2"}
    renamed = PROTOCOL.repeat_request(parsed, ModelProfile(model="claude-opus-5-5"))
    assert renamed.body == (
        b'{"messages":[{"role":"user","content":"hi"}],"x":{"b":1, "a":2.0},'
        b'"model":"claude-opus-5-5"}'
    )


def test_forwarding_drops_what_the_clients_version_or_the_provider_refuses() -> None:
    body = small(temperature=None, top_p=0.9, top_k=5, service_tier="auto")
    newer = PROTOCOL.repeat_request(parse(body, version="2026-10-21"), ModelProfile(model="m"))
    assert set(json.loads(newer.body)) == {"model", "max_tokens", "messages", "service_tier"}
    assert [note.path for note in newer.notes] == [
        "settings.temperature",
        "settings.top_p",
        "settings.top_k",
    ]
    assert newer.headers["anthropic-version"] == "2026-10-21"
    refusing = ModelProfile(model="m", drops=frozenset({"top_p", "service_tier"}))
    older = PROTOCOL.repeat_request(parse(body, version="2023-06-01"), refusing)
    assert set(json.loads(older.body)) == {
        "model",
        "max_tokens",
        "messages",
        "temperature",
        "top_k",
    }


def test_forwarding_never_sends_another_providers_signature() -> None:
    sealed = seal(Signature("gAAAAB", Origin("openai_responses", "openai", "gpt-5.2")))
    body = small(
        messages=[
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": sealed},
                    {"type": "text", "text": "Hello."},
                ],
            },
            {"role": "user", "content": "go on"},
        ]
    )
    encoded = PROTOCOL.repeat_request(parse(body), ModelProfile(provider="anthropic", model="m"))
    assert sealed.encode() not in encoded.body
    assert b"gAAAAB" not in encoded.body
    assert [note.path for note in encoded.notes] == ["messages.1.parts.0"]


def test_forwarding_never_sends_unsigned_thinking_to_who_would_refuse_it() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": ""}
    said = [thinking, {"type": "text", "text": "Hello."}]
    user = {"role": "user", "content": "hi"}
    parsed = parse(small(messages=[user, {"role": "assistant", "content": said}, user]))
    encoded = PROTOCOL.repeat_request(parsed, ModelProfile(model="m"))
    assert json.loads(encoded.body)["messages"][1]["content"] == said[1:]
    assert [note.path for note in encoded.notes] == ["messages.1.parts.0"]
    lenient = ModelProfile(model="m", quirks={"unsigned_thinking": True})
    assert PROTOCOL.repeat_request(parsed, lenient).body == parsed.body


def test_what_belongs_to_a_field_that_is_not_sent_goes_with_it() -> None:
    body = small(
        thinking={"type": "adaptive", "x_binding": 1},
        output_config={"format": {"type": "json_schema", "schema": {}, "x_mode": 1}},
        tools=[{"name": "f", "input_schema": {"type": "object"}}],
        tool_choice={"type": "auto", "x_new": 1},
    )
    profile = ModelProfile(drops=frozenset({"reasoning", "output", "tool_choice"}))
    encoded = PROTOCOL.encode_request(decode(body), profile)
    assert set(json.loads(encoded.body)) == {"model", "max_tokens", "messages", "tools"}
    assert {"thinking", "format", "tool_choice"} <= {note.path for note in encoded.notes}


def test_token_counting_asks_with_the_fields_that_count() -> None:
    codecs = PROTOCOL.token_count
    assert codecs is not None
    request = codecs.decode_request(EVERYTHING, Target(betas=("token-counting-2024-11-01",)))
    encoded = codecs.encode_request(request, NATIVE)
    assert encoded.headers["anthropic-beta"] == "token-counting-2024-11-01"
    document = json.loads(encoded.body)
    assert "tools" in document
    assert not {"max_tokens", "stream", "metadata", "stop_sequences", "service_tier"} & set(
        document
    )
    assert codecs.endpoint("m") == "/v1/messages/count_tokens"
    assert codecs.decode_response(b'{"input_tokens": 14}') == 14
    assert codecs.encode_response(14) == b'{"input_tokens":14}'
