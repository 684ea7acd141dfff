"""generateContent answers: Google's, read; other vendors', written for Google's clients."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from dragoman.canonical.errors import UpstreamBroken, UpstreamOverloaded
from dragoman.canonical.parts import Media, Opaque, Reasoning, Refusal, Text, ToolCall
from dragoman.canonical.request import Message, Request
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin, Signature, unseal
from dragoman.canonical.usage import Usage
from dragoman.protocols.gemini_generate import PROTOCOL

ORIGIN = Origin("gemini_generate", "gemini", "gemini-3-pro")
REQUEST = Request(model="m", messages=[Message(role="user", parts=[Text(text="hi")])])


def decode(body: Any) -> Response:
    return PROTOCOL.decode_response(json.dumps(body).encode(), ORIGIN)


def answer(*parts: Any, finish: str | None = "STOP", **candidate: Any) -> Choice:
    """The one choice of an answer with these parts."""
    content = {"parts": list(parts), "role": "model"}
    wire = {"content": content, "finishReason": finish, "index": 0, **candidate}
    (choice,) = decode({"candidates": [wire]}).choices
    return choice


def encode(*parts: Any, **fields: Any) -> Any:
    """The wire form, which Google's own types must accept."""
    finish = fields.pop("finish", Finish(reason=FinishReason.STOP))
    response = Response(
        id="r", model="m", choices=[Choice(parts=list(parts), finish=finish)], **fields
    )
    wire = json.loads(PROTOCOL.encode_response(response, REQUEST))
    typed = {**wire, "usageMetadata": {**wire.get("usageMetadata", {})}}
    typed["usageMetadata"].pop("serviceTier", None)  # only Live's type of the usage declares it
    types.GenerateContentResponse.model_validate(typed)
    return wire


def test_a_whole_answer_is_understood() -> None:
    response = decode(
        {
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {"text": "Hm, ", "thought": True},
                            {"text": "so.", "thought": True, "thoughtSignature": "dGg="},
                            {"text": "It "},
                            {"text": "is."},
                            {"text": "", "thoughtSignature": "dHg="},
                            {"functionCall": {"name": "f", "args": {"a": 1.5}}},
                            {
                                "functionCall": {"id": "x", "name": "f"},
                                "thoughtSignature": "Y2E=",
                            },
                            {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
                            {"executableCode": {"code": "1"}},
                        ]
                    },
                    "finishReason": "STOP",
                    "groundingMetadata": {"webSearchQueries": ["q"]},
                    "brandNew": 1,
                }
            ],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4},
            "modelVersion": "gemini-3-pro-001",
            "responseId": "r1",
            "createTime": "2026-11-20T10:00:00.5Z",
        }
    )
    assert (response.id, response.model) == ("r1", "gemini-3-pro-001")
    assert response.created == 1795168800
    (choice,) = response.choices
    thought, text, first, second, image, code = choice.parts
    assert thought == Reasoning(text="Hm, so.", signature=Signature("dGg=", ORIGIN), summary=True)
    assert text == Text(text="It is.", extensions={"gemini_generate": {"thoughtSignature": "dHg="}})
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert (first.name, first.arguments) == ("f", '{"a":1.5}')
    assert first.id.startswith("call_2_")
    assert (second.id, second.arguments) == ("x", "{}")
    assert second.signature == Signature("Y2E=", ORIGIN)
    assert isinstance(image, Media)
    assert isinstance(code, Opaque)
    assert choice.finish == Finish(
        reason=FinishReason.TOOL_CALLS,
        extensions={
            "gemini_generate": {"groundingMetadata": {"webSearchQueries": ["q"]}, "brandNew": 1}
        },
    )


def test_calls_get_the_same_id_each_time_and_another_in_another_answer() -> None:
    wire = {
        "candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}] * 2}}],
        "responseId": "one",
    }
    first, again = decode(wire), decode(wire)
    other = decode({**wire, "responseId": "two"})
    ids = [part.id for part in first.choices[0].parts if isinstance(part, ToolCall)]
    assert first == again
    assert len(set(ids)) == 2
    assert all(part.id not in ids for part in other.choices[0].parts if isinstance(part, ToolCall))


@pytest.mark.parametrize(
    ("word", "reason", "raw"),
    [
        ("STOP", FinishReason.STOP, None),
        ("MAX_TOKENS", FinishReason.LENGTH, None),
        ("SAFETY", FinishReason.CONTENT_FILTER, "SAFETY"),
        ("RECITATION", FinishReason.CONTENT_FILTER, "RECITATION"),
        ("PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER, "PROHIBITED_CONTENT"),
        ("CONTINUATION", FinishReason.PAUSE, "CONTINUATION"),
        ("MALFORMED_FUNCTION_CALL", FinishReason.ERROR, "MALFORMED_FUNCTION_CALL"),
        ("SOMETHING_NEW", FinishReason.ERROR, "SOMETHING_NEW"),
    ],
)
def test_finish_reasons_both_ways(word: str, reason: FinishReason, raw: str | None) -> None:
    finish = answer({"text": "x"}, finish=word).finish
    assert finish == Finish(reason=reason, raw=raw)
    wire = json.loads(
        PROTOCOL.encode_response(
            Response(choices=[Choice(parts=[Text(text="x")], finish=finish)]), REQUEST
        )
    )
    assert wire["candidates"][0]["finishReason"] == word


def test_every_finish_reason_of_the_sdk_is_known() -> None:
    for word in types.FinishReason:
        finish = answer({"text": "x"}, finish=word.value).finish
        assert finish is not None
        natural = word.value in ("STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED")
        assert (finish.raw is None) is natural


@pytest.mark.parametrize(
    ("reason", "raw", "word"),
    [
        (FinishReason.TOOL_CALLS, None, "STOP"),
        (FinishReason.STOP_SEQUENCE, "stop_sequence", "STOP"),
        (FinishReason.REFUSAL, "refusal", "SAFETY"),
        (FinishReason.PAUSE, "pause_turn", "OTHER"),
        (FinishReason.ERROR, None, "OTHER"),
    ],
)
def test_words_of_other_vendors_are_not_repeated(
    reason: FinishReason, raw: str | None, word: str
) -> None:
    wire = encode(Text(text="x"), finish=Finish(reason=reason, raw=raw))
    assert wire["candidates"][0]["finishReason"] == word
    assert encode(Text(text="x"), finish=None)["candidates"][0]["finishReason"] == "STOP"


def test_a_refused_prompt_is_an_empty_choice_and_comes_back_as_it_was() -> None:
    wire = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT", "safetyRatings": []},
        "usageMetadata": {
            "promptTokenCount": 4,
            "candidatesTokenCount": 0,
            "totalTokenCount": 4,
        },
    }
    response = decode(wire)
    (choice,) = response.choices
    assert choice.parts == []
    assert choice.finish is not None
    assert choice.finish.reason is FinishReason.CONTENT_FILTER
    assert choice.finish.raw == "PROHIBITED_CONTENT"
    assert json.loads(PROTOCOL.encode_response(response, REQUEST)) == wire


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 40,
                "candidatesTokenCount": 10,
                "thoughtsTokenCount": 5,
                "toolUsePromptTokenCount": 7,
                "totalTokenCount": 122,
            },
            Usage(input=67, cache_read=40, output=10, reasoning=5),
        ),
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 30,
                "candidatesTokenCount": 50,
                "totalTokenCount": 150,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 40},
                    {"modality": "AUDIO", "tokenCount": 60},
                ],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}],
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 50}],
            },
            Usage(input=40, cache_read=30, input_audio=30, output_image=50),
        ),
        (
            {"promptTokenCount": 10, "totalTokenCount": 25, "thoughtsTokenCount": 5},
            Usage(input=10, output=10, reasoning=5),
        ),
        # A server that counts the thoughts among the candidates.
        (
            {
                "promptTokenCount": 10,
                "candidatesTokenCount": 20,
                "thoughtsTokenCount": 15,
                "totalTokenCount": 30,
            },
            Usage(input=10, output=5, reasoning=15),
        ),
        ({"promptTokenCount": -5, "candidatesTokenCount": -1, "totalTokenCount": 0}, Usage()),
    ],
)
def test_usage_sums_are_googles(wire: dict[str, Any], usage: Usage) -> None:
    got = decode(
        {"candidates": [{"content": {}, "finishReason": "STOP"}], "usageMetadata": wire}
    ).usage
    assert got == usage
    assert got is not None
    assert got.total == max(wire["totalTokenCount"], 0)


def test_usage_of_other_vendors_adds_up() -> None:
    usage = Usage(input=5, cache_read=3, cache_write_5m=2, input_image=4, output=6, reasoning=7)
    assert encode(Text(text="x"), usage=usage, service_tier="default")["usageMetadata"] == {
        "promptTokenCount": 14,
        "cachedContentTokenCount": 3,
        "candidatesTokenCount": 6,
        "thoughtsTokenCount": 7,
        "totalTokenCount": 27,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 10},
            {"modality": "IMAGE", "tokenCount": 4},
        ],
        "serviceTier": "default",
    }


def test_logprobs_take_openais_form_and_come_back() -> None:
    result = {
        "chosenCandidates": [{"token": "é", "tokenId": 7, "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "e", "logProbability": -1.5}]}],
    }
    choice = answer({"text": "é"}, logprobsResult=result)
    assert choice.logprobs == [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "token_id": 7,
            "top_logprobs": [{"token": "e", "logprob": -1.5, "bytes": [101]}],
        }
    ]
    wire = json.loads(PROTOCOL.encode_response(Response(choices=[choice]), REQUEST))
    assert wire["candidates"][0]["logprobsResult"] == result


def test_answers_of_other_vendors_take_googles_form() -> None:
    foreign = Signature("sig", Origin("anthropic_messages", "anthropic"))
    wire = encode(
        Reasoning(text="hm", signature=foreign),
        Reasoning(signature=foreign, redacted=True),
        Text(text="a"),
        Refusal(text="no"),
        ToolCall(id="c1", name="f", arguments='{"a": 1}', signature=foreign),
        ToolCall(id="c2", name="f", arguments="{broken"),
        Media(kind="image", media_type="image/png", data="AA=="),
        Opaque(protocol="openai_responses", value={"type": "web_search_call"}),
    )
    thought, redacted, text, refusal, first, second, image = wire["candidates"][0]["content"][
        "parts"
    ]
    assert (thought["text"], thought["thought"]) == ("hm", True)
    assert unseal(thought["thoughtSignature"], "gemini_generate") == foreign
    assert set(redacted) == {"thought", "thoughtSignature"}
    assert (text, refusal) == ({"text": "a"}, {"text": "no"})
    assert first["functionCall"] == {"id": "c1", "name": "f", "args": {"a": 1}}
    assert unseal(first["thoughtSignature"], "gemini_generate") == foreign
    assert second["functionCall"]["args"] == {"arguments": "{broken"}
    assert image == {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    assert (wire["responseId"], wire["modelVersion"]) == ("r", "m")


def test_a_stream_in_place_of_an_answer_is_read() -> None:
    """Asked without ``alt=sse``, an upstream answers a stream with an array."""
    body = b'[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\r\n,\r\n{"candidates":[{'
    body += b'"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}]}]'
    assert PROTOCOL.decode_response(body, ORIGIN).choices[0].parts == [Text(text="ab")]


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b"[]", b"[1]", b'{"candidates":[]}', b'{"candidates":5}', b"[}"]
)
def test_what_is_no_answer_is_broken(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        PROTOCOL.decode_response(body, ORIGIN)


def test_an_error_under_http_200_is_raised() -> None:
    with pytest.raises(UpstreamOverloaded):
        decode({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}})
