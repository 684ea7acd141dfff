"""Anthropic Messages: whole answers and errors, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anthropic.types.beta import BetaMessage

from dragoman.canonical.errors import (
    CreditExhausted,
    GatewayError,
    InvalidRequest,
    RateLimited,
    Unauthorized,
    Unavailable,
    UpstreamBroken,
    UpstreamFailed,
    UpstreamModelMissing,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefusedCredential,
    UpstreamRejected,
    UpstreamTimeout,
)
from dragoman.canonical.parts import (
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from dragoman.canonical.request import Message, Request
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin, Signature, seal, unseal
from dragoman.canonical.usage import Usage
from dragoman.protocols.anthropic_messages import PROTOCOL

FIXTURES = Path(__file__).parent.parent / "fixtures" / "anthropic_messages"
EVERYTHING = (FIXTURES / "response_everything.json").read_bytes()
ID = "anthropic_messages"
ORIGIN = Origin(ID, "anthropic", "claude-opus-5-5")
REQUEST = Request(model="alias", messages=[Message(role="user", parts=[Text(text="hi")])])


def decode(body: Any) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROTOCOL.decode_response(raw, ORIGIN)


def answer(**fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 5}
    content = [{"type": "text", "text": "hi"}]
    return {"id": "msg_1", "type": "message", "content": content, "usage": usage, **fields}


def encode(
    *parts: Part, finish: Finish | None = None, usage: Usage | None = None
) -> dict[str, Any]:
    response = Response(
        id="r1", model="gpt-5.2", choices=[Choice(parts=list(parts), finish=finish)], usage=usage
    )
    body = PROTOCOL.encode_response(response, REQUEST)
    BetaMessage.model_validate_json(body, strict=True)
    return json.loads(body)  # type: ignore[no-any-return]


def test_everything_in_an_answer_is_read() -> None:
    response = decode(EVERYTHING)
    (choice,) = response.choices
    assert (response.id, response.model) == ("msg_01", "claude-opus-5-5-20260901")
    assert response.service_tier == "default"
    assert response.usage == Usage(
        input=20, cache_read=1000, cache_write_5m=100, cache_write_1h=200, output=20, reasoning=30
    )
    assert response.extensions == {
        ID: {"diagnostics": {"cache_miss_reason": {"type": "unavailable"}}}
    }
    assert choice.finish is not None
    assert choice.finish.reason is FinishReason.TOOL_CALLS
    assert choice.finish.extensions is not None
    assert set(choice.finish.extensions[ID]) == {"container", "context_management", "usage"}
    thinking, redacted, plain, cited, search, found, call = choice.parts
    assert thinking == Reasoning(text="Which city?", signature=Signature("EqQBCgIYAhIM", ORIGIN))
    assert redacted == Reasoning(redacted=True, signature=Signature("EmwKAhgBEgy3", ORIGIN))
    assert plain == Text(text="It is ")
    assert isinstance(cited, Text)
    assert cited.extensions is not None
    assert cited.extensions[ID]["citations"][0]["cited_text"] == "warm"
    assert isinstance(search, Opaque)
    assert isinstance(found, Opaque)
    assert call == ToolCall(
        id="toolu_1",
        name="get_weather",
        arguments='{"city":"Paris"}',
        extensions={ID: {"caller": {"type": "direct"}}},
    )


def test_everything_in_an_answer_survives() -> None:
    response = decode(EVERYTHING)
    body = PROTOCOL.encode_response(response, REQUEST)
    BetaMessage.model_validate_json(body, strict=True)
    assert decode(body) == response
    mine, theirs = json.loads(EVERYTHING), json.loads(body)
    del mine["content"][2]["citations"], mine["stop_details"]
    assert theirs == mine


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        ({"input_tokens": 3, "output_tokens": 5}, Usage(input=3, output=5)),
        ({"cache_creation_input_tokens": 7, "output_tokens": None}, Usage(cache_write_5m=7)),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 4}}, Usage(cache_write_1h=4)),
        (
            {"cache_creation_input_tokens": 3, "cache_creation": {"ephemeral_1h_input_tokens": 9}},
            Usage(cache_write_1h=3),
        ),
        (
            {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 9}},
            Usage(reasoning=5),
        ),
        ({"input_tokens": -4, "output_tokens": 2.0}, Usage(output=2)),
        ({}, Usage()),
    ],
)
def test_usage_falls_into_disjoint_buckets(wire: dict[str, Any], usage: Usage) -> None:
    assert decode(answer(usage=wire)).usage == usage


def test_usage_of_other_protocols_adds_up() -> None:
    usage = Usage(input=1, input_audio=2, input_image=3, output=4, reasoning=5, output_image=6)
    wire = encode(Text(text="a"), usage=usage)["usage"]
    assert wire["input_tokens"] == 6
    assert wire["output_tokens"] == 15
    assert wire["output_tokens_details"] == {"thinking_tokens": 5}


@pytest.mark.parametrize(
    ("word", "reason", "raw"),
    [
        ("end_turn", FinishReason.STOP, None),
        ("max_tokens", FinishReason.LENGTH, None),
        ("stop_sequence", FinishReason.STOP_SEQUENCE, None),
        ("tool_use", FinishReason.TOOL_CALLS, None),
        ("pause_turn", FinishReason.PAUSE, None),
        ("refusal", FinishReason.REFUSAL, None),
        ("model_context_window_exceeded", FinishReason.LENGTH, "model_context_window_exceeded"),
        ("compaction", FinishReason.PAUSE, "compaction"),
        ("something_new", FinishReason.STOP, "something_new"),
    ],
)
def test_stop_reasons_both_ways(word: str, reason: FinishReason, raw: str | None) -> None:
    response = decode(answer(stop_reason=word))
    finish = response.choices[0].finish
    assert finish is not None
    assert (finish.reason, finish.raw) == (reason, raw)
    assert json.loads(PROTOCOL.encode_response(response, REQUEST))["stop_reason"] == word


def test_a_stop_with_calls_is_a_stop_for_calls() -> None:
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    for word in ("end_turn", None):
        response = decode(answer(content=[call], stop_reason=word))
        assert response.choices[0].finish == Finish(reason=FinishReason.TOOL_CALLS)
    assert encode(ToolCall(id="a", name="f"))["stop_reason"] == "tool_use"
    stopped = Finish(reason=FinishReason.STOP)
    assert encode(ToolCall(id="a", name="f"), finish=stopped)["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (None, "end_turn"),
        (Finish(reason=FinishReason.CONTENT_FILTER, raw="SAFETY"), "refusal"),
        (Finish(reason=FinishReason.LENGTH, raw="length"), "max_tokens"),
        (Finish(reason=FinishReason.ERROR), "end_turn"),
        (Finish(reason=FinishReason.STOP_SEQUENCE, stop_sequence="END"), "stop_sequence"),
    ],
)
def test_a_stop_reason_is_always_written(finish: Finish | None, word: str) -> None:
    body = encode(Text(text="a"), finish=finish)
    assert body["stop_reason"] == word
    assert body["stop_sequence"] == (finish.stop_sequence if finish else None)


def test_parts_of_other_protocols_become_blocks() -> None:
    gemini = Signature("CtYB", Origin("gemini_generate", "gemini", "gemini-3-pro"))
    openai = Signature("gAAA", Origin("openai_responses", "openai", "gpt-5.2"))
    body = encode(
        Reasoning(text="", signature=openai, redacted=True),
        Reasoning(text="unsigned"),
        Refusal(text="No."),
        Media(kind="image", media_type="image/png", data="AAAA"),
        Media(kind="image", url="https://x.example/a.png", name="cat"),
        Media(kind="document", text="plain"),
        ToolCall(id="a", name="f", arguments='{"b":1}', signature=gemini),
        ToolCall(id="b", name="g", arguments="print(1)", custom=True),
        ToolCall(id="c", name="h", arguments="{broken"),
        Opaque(protocol="openai_responses", value={"type": "web_search_call"}),
    )
    assert body["content"] == [
        {"type": "thinking", "thinking": "", "signature": seal(openai)},
        {"type": "thinking", "thinking": "unsigned", "signature": ""},
        {"type": "text", "text": "No."},
        {"type": "text", "text": "![image](data:image/png;base64,AAAA)"},
        {"type": "text", "text": "![cat](https://x.example/a.png)"},
        {"type": "text", "text": "plain"},
        {"type": "redacted_thinking", "data": seal(gemini)},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"b": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {"input": "print(1)"}},
        {"type": "tool_use", "id": "c", "name": "h", "input": {"input": "{broken"}},
    ]
    assert unseal(body["content"][6]["data"], ID) == gemini
    assert encode(Refusal(text="No."))["stop_reason"] == "refusal"
    assert encode()["model"] == "gpt-5.2"


def test_an_answer_without_choices_or_names_is_still_a_message() -> None:
    body = PROTOCOL.encode_response(Response(), REQUEST)
    message = BetaMessage.model_validate_json(body, strict=True)
    assert (message.model, message.content, message.stop_reason) == ("alias", [], "end_turn")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        answer(content="x"),
        answer(content=[{"type": "text"}]),
        answer(content=[{"type": "tool_use", "id": "a", "name": "f", "input": 5}]),
        answer(usage="free"),
        answer(id=5),
    ],
)
def test_a_broken_answer_is_the_upstreams_fault(body: Any) -> None:
    with pytest.raises(UpstreamBroken):
        decode(body)


def test_an_answer_nested_too_deeply_to_write_is_the_upstreams_fault() -> None:
    broken = 0
    for depth in range(900, 1000, 5):
        deep = b'{"a":' * depth + b"1" + b"}" * depth
        body = b'{"id":"a","content":[{"type":"x_new","v":' + deep + b"}]}"
        try:
            PROTOCOL.encode_response(decode(body), REQUEST)
        except UpstreamBroken:
            broken += 1
    assert broken


def test_an_error_with_status_200_is_an_error() -> None:
    with pytest.raises(UpstreamOverloaded, match="Overloaded"):
        decode({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequest("bad", param="messages.0"), 400, "invalid_request_error"),
        (Unauthorized("no"), 401, "authentication_error"),
        (CreditExhausted("empty"), 402, "billing_error"),
        (RateLimited("slow", retry_after=0.2), 429, "rate_limit_error"),
        (UpstreamRejected("too large", status=413), 413, "request_too_large"),
        (UpstreamOverloaded("busy"), 503, "overloaded_error"),
        (UpstreamTimeout("late"), 504, "timeout_error"),
        (UpstreamFailed("broke"), 502, "api_error"),
        (Unavailable("draining"), 503, "overloaded_error"),
    ],
)
def test_errors_in_the_protocols_own_shape(error: GatewayError, status: int, kind: str) -> None:
    reply = PROTOCOL.encode_error(error, "req_1")
    headers, body = dict(reply.headers), json.loads(reply.body)
    assert reply.status == status
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"] == headers["request-id"] == "req_1"
    assert body["type"] == "error"
    assert body["request_id"] == "req_1"
    assert body["error"]["type"] == kind
    assert error.message in body["error"]["message"]
    assert (error.param or "") in body["error"]["message"]
    assert body["error"].get("details", {}).get("error_code") == error.code
    assert headers.get("retry-after") == ("1" if error.retry_after else None)
    told_not_to = status in (401, 402)
    assert headers.get("x-should-retry") == ("false" if told_not_to else None)


def test_an_upstreams_bad_key_is_not_worth_a_retry() -> None:
    reply = PROTOCOL.encode_error(UpstreamRefusedCredential("The channel's key is refused."), "r")
    assert (reply.status, dict(reply.headers)["x-should-retry"]) == (502, "false")


def error_body(kind: str, message: str = "why", **fields: Any) -> bytes:
    return json.dumps(
        {"type": "error", "error": {"type": kind, "message": message, **fields}}
    ).encode()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, error_body("invalid_request_error"), UpstreamRejected),
        (
            400,
            error_body("invalid_request_error", "Your credit balance is too low"),
            UpstreamRefusedCredential,
        ),
        (401, error_body("authentication_error"), UpstreamRefusedCredential),
        (402, error_body("billing_error"), UpstreamRefusedCredential),
        (403, error_body("permission_error"), UpstreamRefusedCredential),
        (404, error_body("not_found_error"), UpstreamModelMissing),
        (413, error_body("request_too_large"), UpstreamRejected),
        (429, error_body("rate_limit_error"), UpstreamRateLimited),
        (
            429,
            error_body("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
            UpstreamRefusedCredential,
        ),
        (500, error_body("api_error"), UpstreamFailed),
        (500, error_body("overloaded_error"), UpstreamOverloaded),
        (504, error_body("timeout_error"), UpstreamTimeout),
        (529, error_body("overloaded_error"), UpstreamOverloaded),
        (502, b"<html>Bad gateway</html>", UpstreamFailed),
        (400, b'{"message":"why"}', UpstreamRejected),
        (400, b'{"error":"why"}', UpstreamRejected),
        (418, b"", UpstreamRejected),
    ],
)
def test_an_upstreams_failures(status: int, body: bytes, error: type[GatewayError]) -> None:
    decoded = PROTOCOL.decode_error(status, {"retry-after": "7"}, body)
    assert type(decoded) is error
    assert decoded.upstream_status == status or status == 500  # type: ignore[attr-defined]
    if b"why" in body:
        assert decoded.message == "why"
    if error in (UpstreamRateLimited, UpstreamOverloaded):
        assert decoded.retry_after == 7


def test_an_upstreams_message_is_cut_and_cleaned() -> None:
    decoded = PROTOCOL.decode_error(
        400, {}, error_body("invalid_request_error", "a\x00\n" + "b" * 999)
    )
    assert decoded.message.startswith("a b")
    assert len(decoded.message) == 500
