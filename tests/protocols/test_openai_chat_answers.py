"""Whole chat answers, from upstreams and for clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from dragoman.canonical.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefusedCredential,
    UpstreamRejected,
)
from dragoman.canonical.parts import Media, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from dragoman.canonical.request import ReasoningConfig, Request, Tool
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin, Signature, seal
from dragoman.canonical.usage import Usage
from dragoman.protocols.openai_chat import PROTOCOL

FIXTURES = Path(__file__).parents[1] / "fixtures" / "openai_chat"
ORIGIN = Origin("openai_chat", "openrouter", "m")
REQUEST = Request(model="asked-for", messages=[])


def decode(body: bytes | dict[str, Any]) -> Response:
    return PROTOCOL.decode_response(
        body if isinstance(body, bytes) else json.dumps(body).encode(), ORIGIN
    )


def answered(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> Choice:
    return decode({"choices": [{"message": message, "finish_reason": finish, **more}]}).choices[0]


def usage_of(wire: dict[str, Any]) -> Usage:
    usage = decode({"choices": [{"message": {}}], "usage": wire}).usage
    assert usage is not None
    return usage


def encode(*parts: Part, request: Request = REQUEST, **finish: Any) -> dict[str, Any]:
    ending = Finish(**finish) if finish else None
    response = Response(id="r", model="m", choices=[Choice(parts=list(parts), finish=ending)])
    body = PROTOCOL.encode_response(response, request)
    ChatCompletion.model_validate_json(body)
    choice: dict[str, Any] = json.loads(body)["choices"][0]
    return choice


def test_a_recorded_answer() -> None:
    response = decode((FIXTURES / "response.json").read_bytes())
    text = response.choices[0].parts[1]
    assert isinstance(text, Text)
    assert text.text == "It is warm."
    assert text.extensions is not None
    assert text.extensions["openai_chat"]["annotations"][0]["type"] == "url_citation"
    assert response.choices[0].finish == Finish(reason=FinishReason.TOOL_CALLS)
    assert response.choices[0].logprobs is not None
    assert response.usage == Usage(input=28, cache_read=64, input_audio=8, output=24, reasoning=16)
    assert response.extensions == {
        "openai_chat": {
            "system_fingerprint": "fp_1",
            "usage": {"completion_tokens_details": {"accepted_prediction_tokens": 3}},
        }
    }
    ChatCompletion.model_validate_json(PROTOCOL.encode_response(response, REQUEST))


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        (
            {"prompt_tokens": 10, "completion_tokens": 4, "prompt_cache_hit_tokens": 6},
            Usage(input=4, cache_read=6, output=4),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 4, "cached_tokens": 6},
            Usage(input=4, cache_read=6, output=4),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 5},
                "completion_tokens_details": {"image_tokens": 7, "audio_tokens": 1},
            },
            Usage(
                input=3, cache_read=2, cache_write_5m=5, output=1, output_image=7, output_audio=1
            ),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 1,
                "prompt_tokens_details": {
                    "cache_creation_tokens": 8,
                    "cache_creation": {"ephemeral_1h_input_tokens": 6},
                },
            },
            Usage(input=2, cache_write_5m=2, cache_write_1h=6, output=1),
        ),
        # Thoughts beside the completion (xAI), and in the total alone (Google).
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "total_tokens": 34,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(input=10, output=4, reasoning=20),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 34},
            Usage(input=10, output=4, reasoning=20),
        ),
        # Details that exceed their total are cut.
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 1.0,
                "prompt_tokens_details": {"cached_tokens": 9},
            },
            Usage(cache_read=5, output=1),
        ),
        ({"prompt_tokens": None, "prompt_tokens_details": None}, Usage()),
    ],
)
def test_every_dialect_of_usage(wire: dict[str, Any], usage: Usage) -> None:
    assert usage_of(wire) == usage


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("stop", Finish(reason=FinishReason.STOP)),
        ("length", Finish(reason=FinishReason.LENGTH)),
        ("function_call", Finish(reason=FinishReason.TOOL_CALLS)),
        ("content_filter", Finish(reason=FinishReason.CONTENT_FILTER)),
        ("eos", Finish(reason=FinishReason.STOP, raw="eos")),
        ("model_length", Finish(reason=FinishReason.LENGTH, raw="model_length")),
        ("sensitive", Finish(reason=FinishReason.CONTENT_FILTER, raw="sensitive")),
        (
            "insufficient_system_resource",
            Finish(reason=FinishReason.ERROR, raw="insufficient_system_resource"),
        ),
        ("never seen", Finish(reason=FinishReason.STOP, raw="never seen")),
        (None, Finish(reason=FinishReason.STOP)),
    ],
)
def test_finish_reasons(word: str | None, finish: Finish) -> None:
    assert answered({"content": "x"}, word).finish == finish


def test_more_is_said_beside_the_finish_reason() -> None:
    finish = answered({"content": "x"}, "stop", native_finish_reason="end_turn").finish
    assert finish == Finish(reason=FinishReason.STOP, raw="end_turn")
    finish = answered({"content": "x"}, "stop", native_finish_reason="refusal").finish
    assert finish == Finish(reason=FinishReason.REFUSAL)
    finish = answered({"content": "x"}, "stop", stop_reason="END").finish
    assert finish == Finish(reason=FinishReason.STOP_SEQUENCE, stop_sequence="END")
    assert answered({"content": "x"}, "stop", stop_reason=151645).finish == Finish(
        reason=FinishReason.STOP
    )


CALL = {"function": {"name": "f", "arguments": "{}"}}


def test_a_stop_with_calls_is_a_call() -> None:
    finish = answered({"tool_calls": [{"id": "c", **CALL}]}).finish
    assert finish == Finish(reason=FinishReason.TOOL_CALLS)


def test_calls_without_ids_get_one_that_stays() -> None:
    body = {"id": "r1", "choices": [{"message": {"tool_calls": [CALL, CALL]}}]}
    first = [part.id for part in decode(body).choices[0].parts if isinstance(part, ToolCall)]
    again = [part.id for part in decode(body).choices[0].parts if isinstance(part, ToolCall)]
    assert first == again
    assert len(set(first)) == 2
    other = decode({**body, "id": "r2"}).choices[0].parts[0]
    assert isinstance(other, ToolCall)
    assert other.id not in first


def test_arguments_may_come_as_an_object() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": {"b": 1, "a": 2}}}
    assert answered({"tool_calls": [call]}).parts == [
        ToolCall(id="c", name="f", arguments='{"b":1,"a":2}')
    ]


def test_pictures_sound_and_refusals() -> None:
    message = {
        "content": None,
        "refusal": "no",
        "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
        "audio": {"id": "a", "data": "BB==", "transcript": "t", "expires_at": 1},
    }
    refusal, image, audio = answered(message).parts
    assert refusal == Refusal(text="no")
    assert image == Media(kind="image", media_type="image/png", data="AA==")
    assert isinstance(audio, Media)
    assert (audio.kind, audio.data) == ("audio", "BB==")


def test_signatures_are_marked_with_who_made_them() -> None:
    detail = {"type": "reasoning.text", "text": "t", "signature": "c2ln"}
    assert answered({"reasoning_details": [detail]}).parts == [
        Reasoning(text="t", signature=Signature("c2ln", ORIGIN))
    ]


@pytest.mark.parametrize(
    ("body", "error", "status"),
    [
        ({"error": {"message": "slow down", "code": 429}}, UpstreamRateLimited, 429),
        ({"error": {"message": "no key", "code": "401"}}, UpstreamRefusedCredential, 502),
        ({"error": "out of memory"}, UpstreamFailed, 502),
        (
            {"choices": [{"message": {}, "error": {"code": 502, "message": "x"}}]},
            UpstreamFailed,
            502,
        ),
        ({"base_resp": {"status_code": 1008, "status_msg": "x"}}, UpstreamRefusedCredential, 502),
        ({"base_resp": {"status_code": 2013, "status_msg": "x"}}, UpstreamRejected, 400),
        ({"choices": []}, UpstreamBroken, 502),
        ({"choices": [{"message": {"content": 3}}]}, UpstreamBroken, 502),
        ({"choices": [{"message": {"tool_calls": [{"id": "c"}]}}]}, UpstreamBroken, 502),
        (b"<html>", UpstreamBroken, 502),
    ],
)
def test_errors_under_http_200(body: Any, error: type[UpstreamError], status: int) -> None:
    with pytest.raises(error) as caught:
        decode(body)
    assert caught.value.status == status


def test_minimax_says_zero_when_all_is_well() -> None:
    body = {"choices": [{"message": {"content": "x"}}], "base_resp": {"status_code": 0}}
    assert decode(body).choices[0].parts == [Text(text="x")]


def test_texts_are_joined_for_the_client() -> None:
    choice = encode(Text(text="a"), ToolCall(id="c", name="f", arguments="{}"), Text(text="b"))
    assert choice["message"]["content"] == "ab"
    assert choice["finish_reason"] == "tool_calls"


def test_parts_that_only_this_protocol_knows_make_content_a_list() -> None:
    reference = {"type": "reference", "reference_ids": [1]}
    message = {"content": [{"type": "text", "text": "a"}, reference]}
    parts = answered(message).parts
    assert parts == [Text(text="a"), Opaque(protocol="openai_chat", value=reference)]
    response = Response(id="r", model="m", choices=[Choice(parts=parts)])
    wire = json.loads(PROTOCOL.encode_response(response, REQUEST))
    assert wire["choices"][0]["message"]["content"] == message["content"]


def test_foreign_proofs_are_sealed() -> None:
    foreign = Signature("c2ln", Origin("anthropic_messages", "anthropic", "claude"))
    message = encode(
        Reasoning(text="t", signature=foreign),
        Reasoning(redacted=True, signature=foreign),
        ToolCall(id="c", name="f", signature=foreign),
    )["message"]
    assert message["reasoning_content"] == "t"
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "text": "t", "signature": seal(foreign), "index": 0},
        {"type": "reasoning.encrypted", "data": seal(foreign), "index": 1},
    ]
    google = message["tool_calls"][0]["extra_content"]["google"]
    assert google == {"thought_signature": seal(foreign)}


def test_plain_reasoning_needs_no_details() -> None:
    message = encode(Reasoning(text="t"), Text(text="x"))["message"]
    assert message["reasoning_content"] == "t"
    assert "reasoning_details" not in message


def test_reasoning_that_the_client_excluded() -> None:
    request = Request(model="m", messages=[], reasoning=ReasoningConfig(visible=False))
    message = encode(Reasoning(text="t"), Text(text="x"), request=request)["message"]
    assert message == {"role": "assistant", "content": "x", "refusal": None}


def test_a_call_to_a_custom_tool_comes_back_as_one() -> None:
    request = Request(model="m", messages=[], tools=[Tool(name="run", kind="custom")])
    call = ToolCall(id="c", name="run", arguments='{"input":"ls"}')
    sent = encode(call, request=request)["message"]["tool_calls"][0]
    assert sent == {"id": "c", "type": "custom", "custom": {"name": "run", "input": "ls"}}
    broken = ToolCall(id="c", name="run", arguments='{"inp')
    sent = encode(broken, request=request)["message"]["tool_calls"][0]
    assert sent["custom"]["input"] == '{"inp'


def test_the_old_functions_form_is_answered_in_kind() -> None:
    request = Request(model="m", messages=[], extensions={"openai_chat": {"_functions": True}})
    choice = encode(ToolCall(id="c", name="f", arguments="{}"), request=request)
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert choice["finish_reason"] == "function_call"


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        ({}, "stop"),
        ({"reason": FinishReason.STOP_SEQUENCE, "stop_sequence": "E"}, "stop"),
        ({"reason": FinishReason.LENGTH}, "length"),
        ({"reason": FinishReason.REFUSAL}, "content_filter"),
        ({"reason": FinishReason.PAUSE}, "stop"),
    ],
)
def test_a_finish_reason_is_always_written(finish: dict[str, Any], word: str) -> None:
    assert encode(Text(text="x"), **finish)["finish_reason"] == word
