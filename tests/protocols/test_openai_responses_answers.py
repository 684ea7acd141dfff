"""Whole answers of the Responses API, errors, and usage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import Response as WireResponse

from dragoman.canonical.errors import (
    CreditExhausted,
    GatewayError,
    UpstreamBroken,
    UpstreamFailed,
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
from dragoman.canonical.request import Request
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin, Signature, unseal
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import Target
from dragoman.protocols.openai_responses import PROTOCOL

ID = "openai_responses"
ORIGIN = Origin(ID, "openai", "gpt-5.6")
FIXTURES = Path(__file__).parents[1] / "fixtures" / ID


def request_of(**fields: Any) -> Request:
    body = json.dumps({"model": "m", "input": "hi", **fields}).encode()
    return PROTOCOL.decode_request(PROTOCOL.parse_request(body, Target()))


REQUEST = request_of()


def decode(body: dict[str, Any] | bytes) -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROTOCOL.decode_response(data, ORIGIN)


def ending(**fields: Any) -> Finish:
    finish = decode({"id": "resp_1", "output": [], **fields}).choices[0].finish
    assert finish is not None
    return finish


def encode(*parts: Part, request: Request = REQUEST, **fields: Any) -> dict[str, Any]:
    """The client's answer, which must be one by the SDK's own types."""
    finish = fields.pop("finish", None)
    response = Response(
        id="msg_foreign", model="m", choices=[Choice(parts=list(parts), finish=finish)], **fields
    )
    body = PROTOCOL.encode_response(response, request)
    WireResponse.model_validate_json(body)
    answer: dict[str, Any] = json.loads(body)
    return answer


@pytest.fixture(scope="module")
def everything() -> Response:
    return decode((FIXTURES / "response.json").read_bytes())


def test_an_answers_parts(everything: Response) -> None:
    reasoning, search, text, weather, spawn, patch = everything.choices[0].parts
    assert isinstance(reasoning, Reasoning)
    assert reasoning.text == "**Plan**\n\nSearch, then answer."
    assert reasoning.signature is not None
    assert reasoning.signature.origin == ORIGIN
    assert isinstance(search, Opaque)
    assert isinstance(text, Text)
    assert text.extensions is not None
    assert text.extensions[ID]["annotations"][0]["type"] == "url_citation"
    assert isinstance(weather, ToolCall)
    assert (weather.id, weather.arguments) == ("call_a", '{"city":"Paris"}')
    assert isinstance(spawn, ToolCall)
    assert spawn.name == "agents__spawn"
    assert isinstance(patch, ToolCall)
    assert patch.custom


def test_an_answers_frame(everything: Response) -> None:
    assert (everything.id, everything.model) == ("resp_0a1b", "gpt-5.6-2026-08-01")
    assert (everything.created, everything.service_tier) == (1790000000, "default")
    assert everything.usage == Usage(
        input=10, cache_read=100, cache_write_5m=10, output=20, reasoning=40
    )
    finish = everything.choices[0].finish
    assert finish is not None
    assert finish.reason is FinishReason.TOOL_CALLS
    assert finish.extensions == {ID: {"completed_at": 1790000004}}


def test_an_answer_is_written_as_it_came(everything: Response) -> None:
    wire = json.loads((FIXTURES / "response.json").read_bytes())
    body = PROTOCOL.encode_response(everything, REQUEST)
    assert decode(body) == everything
    written = json.loads(body)
    assert written["usage"] == wire["usage"]
    for mine, theirs in zip(written["output"], wire["output"], strict=True):
        assert mine == theirs
    WireResponse.model_validate_json(body)


@pytest.mark.parametrize(
    ("fields", "reason", "raw"),
    [
        ({"status": "completed"}, FinishReason.STOP, None),
        ({}, FinishReason.STOP, None),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            FinishReason.LENGTH,
            None,
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            FinishReason.CONTENT_FILTER,
            None,
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "steered"}},
            FinishReason.PAUSE,
            "steered",
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "bored"}},
            FinishReason.LENGTH,
            "bored",
        ),
        ({"status": "incomplete", "incomplete_details": None}, FinishReason.LENGTH, None),
        ({"status": "queued"}, FinishReason.PAUSE, "queued"),
        ({"status": "cancelled"}, FinishReason.ERROR, "cancelled"),
    ],
)
def test_how_answers_end(fields: dict[str, Any], reason: FinishReason, raw: str | None) -> None:
    finish = ending(**fields)
    assert (finish.reason, finish.raw) == (reason, raw)
    body = PROTOCOL.encode_response(decode({"id": "resp_1", "output": [], **fields}), REQUEST)
    written = json.loads(body)
    assert written["status"] == fields.get("status", "completed")
    if details := fields.get("incomplete_details"):
        assert written["incomplete_details"] == details


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        (FinishReason.STOP, "completed", None),
        (FinishReason.STOP_SEQUENCE, "completed", None),
        (FinishReason.TOOL_CALLS, "completed", None),
        (FinishReason.LENGTH, "incomplete", "max_output_tokens"),
        (FinishReason.PAUSE, "incomplete", "max_output_tokens"),
        (FinishReason.CONTENT_FILTER, "incomplete", "content_filter"),
        (FinishReason.REFUSAL, "incomplete", "content_filter"),
        (FinishReason.ERROR, "failed", None),
    ],
)
def test_every_reason_has_a_status(reason: FinishReason, status: str, why: str | None) -> None:
    answer = encode(Text(text="x"), finish=Finish(reason=reason))
    assert answer["status"] == status
    assert answer["incomplete_details"] == (None if why is None else {"reason": why})
    assert (answer["error"] is None) is (status != "failed")


def test_a_refusal_that_can_be_read_is_complete() -> None:
    answer = encode(Refusal(text="No."), finish=Finish(reason=FinishReason.REFUSAL))
    assert answer["status"] == "completed"
    assert answer["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_a_foreign_answer() -> None:
    signature = Signature("sig", Origin("anthropic_messages", "anthropic", "claude"))
    answer = encode(
        Reasoning(text="Hm.", signature=signature),
        Text(text="One."),
        Text(text="Two."),
        ToolCall(id="toolu_1", name="f"),
        Media(kind="image", media_type="image/png", data="iVBORw0KGgo="),
        Opaque(protocol="anthropic_messages", value={}),
        usage=Usage(input=1, cache_read=2, cache_write_1h=3, output=4, reasoning=5),
        created=7,
    )
    assert answer["id"].startswith("resp_")
    reasoning, message, call, image = answer["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert unseal(reasoning["encrypted_content"], ID) == signature
    assert [part["text"] for part in message["content"]] == ["One.", "Two."]
    assert (call["call_id"], call["arguments"], call["status"]) == ("toolu_1", "{}", "completed")
    assert (image["type"], image["result"]) == ("image_generation_call", "iVBORw0KGgo=")
    assert image["output_format"] == "png"
    assert len({item["id"] for item in answer["output"]}) == 4
    assert answer["usage"] == {
        "input_tokens": 6,
        "input_tokens_details": {
            "cached_tokens": 2,
            "cache_write_tokens": 3,
            "cache_write_tokens_details": {"ttl_30m_tokens": 0, "ttl_12h_tokens": 3},
        },
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 15,
    }


def test_the_same_answer_gets_the_same_ids() -> None:
    parts = [Text(text="a"), ToolCall(id="", name="f")]
    assert encode(*parts) == encode(*parts)
    assert encode(*parts)["output"][1]["call_id"].startswith("call_")


def test_an_answer_repeats_its_request() -> None:
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}]
    request = request_of(
        instructions="Be brief.",
        tools=tools,
        tool_choice="required",
        temperature=0.5,
        metadata={"a": "b"},
        text={"format": {"type": "json_object"}},
        reasoning={"effort": "low"},
        max_output_tokens=99,
        previous_response_id="resp_0",
        store=True,
    )
    answer = encode(Text(text="x"), request=request)
    assert (answer["instructions"], answer["tools"]) == ("Be brief.", tools)
    assert (answer["tool_choice"], answer["temperature"]) == ("required", 0.5)
    assert (answer["metadata"], answer["max_output_tokens"]) == ({"a": "b"}, 99)
    assert answer["text"]["format"] == {"type": "json_object"}
    assert answer["reasoning"]["effort"] == "low"
    assert answer["previous_response_id"] == "resp_0"
    assert answer["store"] is False


def test_log_probabilities_go_both_ways() -> None:
    logprobs = [{"token": "a", "bytes": [97], "logprob": -0.1, "top_logprobs": []}]
    content = [{"type": "output_text", "text": "a", "annotations": [], "logprobs": logprobs}]
    item = {"type": "message", "id": "msg_1", "role": "assistant", "content": content}
    response = decode({"id": "resp_1", "output": [item]})
    assert response.choices[0].logprobs == logprobs
    written = json.loads(PROTOCOL.encode_response(response, REQUEST))
    assert written["output"][0]["content"] == content


def test_raw_reasoning_of_open_models_stays_apart_from_summaries() -> None:
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "We need 4."}],
    }
    response = decode({"id": "resp_1", "output": [item]})
    part = response.choices[0].parts[0]
    assert isinstance(part, Reasoning)
    assert (part.text, part.summary) == ("We need 4.", False)
    assert json.loads(PROTOCOL.encode_response(response, REQUEST))["output"] == [item]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "x"}, UpstreamFailed),
        ({"code": "rate_limit_exceeded", "message": "x"}, UpstreamRateLimited),
        ({"code": "insufficient_quota", "message": "x"}, UpstreamRefusedCredential),
        ({"code": "server_is_overloaded", "message": "x"}, UpstreamOverloaded),
        ({"code": "vector_store_timeout", "message": "x"}, UpstreamTimeout),
        ({"code": "invalid_prompt", "message": "x"}, UpstreamRejected),
        ({"code": "image_too_large", "message": "x"}, UpstreamRejected),
        ({"code": "context_length_exceeded", "message": "x"}, UpstreamRejected),
        ("boom", UpstreamFailed),
    ],
)
def test_errors_under_http_200(error: Any, kind: type[GatewayError]) -> None:
    with pytest.raises(kind):
        decode({"error": error})
    with pytest.raises(kind):
        decode({"id": "resp_1", "status": "failed", "error": error, "output": []})


def test_failed_without_a_word() -> None:
    with pytest.raises(UpstreamFailed):
        decode({"id": "resp_1", "status": "failed", "error": None})


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"output": 5}',
        b'{"output": [5]}',
        b'{"output": [{"type": "function_call", "name": 5}]}',
        b'{"usage": {"input_tokens": "many"}}',
    ],
)
def test_nonsense_is_broken(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        decode(body)


def test_http_errors_have_openais_shape() -> None:
    reply = PROTOCOL.encode_error(CreditExhausted("No credit left."), "req_1")
    assert reply.status == 402
    assert dict(reply.headers)["x-should-retry"] == "false"
    assert json.loads(reply.body)["error"]["code"] == "insufficient_quota"
    error = PROTOCOL.decode_error(
        429, {"retry-after": "3"}, reply.body.replace(b"insufficient_quota", b"x")
    )
    assert isinstance(error, UpstreamRateLimited)
    assert (error.message, error.retry_after) == ("No credit left.", 3.0)
