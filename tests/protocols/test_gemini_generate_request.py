"""generateContent requests as clients send them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Media, Opaque, Reasoning, Text, ToolCall, ToolResult
from dragoman.canonical.request import ReasoningConfig, Request, ToolChoice
from dragoman.canonical.signature import Origin, Signature, seal
from dragoman.protocols.base import ModelProfile, Target
from dragoman.protocols.gemini_generate import PROTOCOL

FIXTURES = Path(__file__).parents[1] / "fixtures"
TARGET = Target(model="gemini-2.5-flash", stream=False)
PROFILE = ModelProfile(provider="gemini", model="gemini-2.5-flash")
HELLO = {"parts": [{"text": "hi"}]}


def decode(body: dict[str, Any] | bytes, target: Target = TARGET) -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROTOCOL.decode_request(PROTOCOL.parse_request(raw, target))


def parts(*wire: dict[str, Any], role: str = "user") -> list[Any]:
    """What the canonical parts of one content are."""
    first = {"role": "user", "parts": [{"text": "first"}]}
    contents = (
        [first, {"role": role, "parts": list(wire)}]
        if role == "model"
        else [{"role": role, "parts": list(wire)}]
    )
    return decode({"contents": contents}).messages[-1].parts


def _captured() -> list[Any]:
    found = []
    for path in sorted((FIXTURES / "captures").glob("*.json")):
        for index, exchange in enumerate(json.loads(path.read_text())["exchanges"]):
            request = exchange["request"]
            if "enerateContent" in request["target"]:
                found.append(pytest.param(request["body"], id=f"{path.stem}-{index}"))
    return found


@pytest.mark.parametrize("body", _captured())
def test_real_clients_are_understood(body: dict[str, Any]) -> None:
    request = decode(body)
    assert request.messages
    declared = [
        declaration["name"]
        for tool in body.get("tools", [])
        for declaration in tool.get("functionDeclarations") or tool["function_declarations"]
    ]
    assert [tool.name for tool in request.tools] == declared
    for tool in request.tools:
        assert tool.parameters is not None
        assert tool.parameters["type"] == "object"
        assert tool.parameters["properties"]["city"] == {"type": "string"}
    again = PROTOCOL.encode_request(request, PROFILE)
    assert not again.notes
    assert decode(again.body) == request


def test_a_whole_request_is_understood() -> None:
    request = decode((FIXTURES / "gemini_generate" / "request.json").read_bytes())
    assert [message.role for message in request.messages] == [
        *("system", "user", "assistant", "user", "assistant")
    ]
    system, question, calls, results, _ = request.messages
    assert system.parts == [Text(text="Answer briefly.")]
    assert isinstance(question.parts[1], Media)
    assert question.parts[1].media_type == "image/png"
    thought, first, second = calls.parts
    assert isinstance(thought, Reasoning)
    assert thought.signature == Signature("c2lnMQ==", Origin("gemini_generate"))
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert first.arguments == '{"city":"Paris","unit":"C"}'
    assert first.signature == Signature("c2lnMg==", Origin("gemini_generate"))
    assert [part.call_id for part in results.parts if isinstance(part, ToolResult)] == [
        second.id,
        first.id,
    ]
    settings = request.settings
    assert (settings.temperature, settings.top_k, settings.stop) == (0.5, 40, ["END"])
    assert settings.service_tier == "flex"
    assert request.reasoning == ReasoningConfig(mode="on", budget_tokens=2048, visible=True)
    assert request.tool_choice == ToolChoice(mode="tool", names=["get_weather"])
    assert [tool.kind for tool in request.tools] == ["function", "hosted"]
    assert request.extensions is not None
    assert request.extensions["gemini_generate"]["generationConfig"] == {
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": [{"parts": []}]}, "contents"),
        ({"contents": "hi"}, "contents"),
        ({"contents": [{"parts": [{"text": 5}]}]}, "contents.0.parts.0.text"),
        (
            {"contents": [{"parts": [{"inline_data": {"mime_type": 1}}]}]},
            "contents.0.parts.0.inlineData.mimeType",
        ),
        ({"contents": HELLO, "generationConfig": {"topK": "x"}}, "generationConfig.topK"),
        (
            {"contents": HELLO, "tools": [{"functionDeclarations": [{}]}]},
            "tools.0.functionDeclarations.0",
        ),
        (
            {"contents": [{"parts": [{"functionCall": {"name": "f", "args": []}}]}]},
            "contents.0.parts.0.functionCall.args",
        ),
    ],
)
def test_mistakes_are_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(body)
    assert caught.value.param == param


@pytest.mark.parametrize("model", [None, ""])
def test_the_path_must_name_a_model(model: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode({"contents": [HELLO], "model": "models/other"}, Target(model=model))
    assert caught.value.param == "model"


def test_parsing_says_what_routing_needs() -> None:
    body = {"contents": HELLO, "generation_config": {"max_output_tokens": 7}}
    target = Target(model="m", stream=True, framing="json_array")
    parsed = PROTOCOL.parse_request(json.dumps(body).encode(), target)
    assert (parsed.model, parsed.stream, parsed.max_output_tokens) == ("m", True, 7)
    assert parsed.include_usage
    assert PROTOCOL.decode_request(parsed).stream_options.framing == "json_array"


def test_a_body_may_ask_generate_content_to_stream() -> None:
    body = b'{"contents": {"parts": {"text": "hi"}}, "stream": true}'
    parsed = PROTOCOL.parse_request(body, TARGET)
    assert parsed.stream
    assert json.loads(PROTOCOL.repeat_request(parsed, PROFILE).body) == {
        "contents": {"parts": {"text": "hi"}}
    }


def test_one_object_may_stand_for_a_list_and_a_text_for_the_instruction() -> None:
    body = {
        "contents": {"parts": {"text": "hi"}},
        "system_instruction": "be brief",
        "tools": {"function_declarations": {"name": "f"}},
    }
    request = decode(body)
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.messages[0].parts == [Text(text="be brief")]
    assert request.tools[0].name == "f"


def test_snake_case_is_read_everywhere_but_in_users_data() -> None:
    data = {"snake_key": {"inline_data": 1}}
    body = {
        "contents": [
            {
                "role": "user",
                "parts": [{"inline_data": {"mime_type": "image/png", "data": "AA=="}}],
            },
            {"role": "model", "parts": [{"function_call": {"name": "f", "args": data}}]},
            {"parts": [{"function_response": {"name": "f", "response": data}}]},
        ],
        "tool_config": {
            "function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}
        },
        "generation_config": {"thinking_config": {"include_thoughts": True, "thinking_budget": -1}},
        "safety_settings": [{"a_b": 1}],
        "labels": {"my_label": "x"},
    }
    request = decode(body)
    image, call, result = (message.parts[0] for message in request.messages)
    assert isinstance(image, Media)
    assert image.data == "AA=="
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == data
    assert isinstance(result, ToolResult)
    assert result.content == [Text(text='{"snake_key":{"inline_data":1}}')]
    assert request.tool_choice == ToolChoice(mode="tool", names=["f"])
    assert request.reasoning == ReasoningConfig(mode="adaptive", visible=True)
    assert request.extensions == {
        "gemini_generate": {"safetySettings": [{"a_b": 1}], "labels": {"my_label": "x"}}
    }


def test_calls_without_ids_are_joined_by_name_and_order() -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    result = {"functionResponse": {"name": "f", "response": {"result": "1"}}}
    other = {"functionCall": {"name": "g"}}
    body = {
        "contents": [
            HELLO,
            {"role": "model", "parts": [call, other, call]},
            {"parts": [result, {"functionResponse": {"name": "g", "response": {}}}, result]},
            {"role": "model", "parts": [call]},
            {"parts": [result]},
        ]
    }
    request = decode(body)
    calls = [p.id for m in request.messages for p in m.parts if isinstance(p, ToolCall)]
    results = [p.call_id for m in request.messages for p in m.parts if isinstance(p, ToolResult)]
    assert len(set(calls)) == 4
    assert results == calls
    assert decode(body) == request


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"result": "42"}, "42", False),
        ({"output": "42"}, "42", False),
        ({"error": "boom"}, "boom", True),
        ({"error": {"code": 1}}, '{"code":1}', True),
        ({"result": {"a": 1}}, '{"result":{"a":1}}', False),
        ({"a": 1, "error": None}, '{"a":1,"error":null}', False),
        ({}, None, False),
    ],
)
def test_results_become_text(response: Any, text: str | None, is_error: bool) -> None:
    (part,) = parts({"functionResponse": {"id": "1", "name": "f", "response": response}})
    assert isinstance(part, ToolResult)
    assert part.content == ([] if text is None else [Text(text=text)])
    assert part.is_error is is_error


def test_a_streamed_answer_comes_back_whole() -> None:
    """Google's SDKs keep one content per chunk in a chat's history."""
    sealed = seal(Signature("sig", Origin("anthropic_messages", "anthropic")))
    wire = [
        {"text": "Let me ", "thought": True},
        {"text": "see.", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": sealed},
        {"text": "It is "},
        {"text": "so."},
        {"text": ""},
    ]
    contents = [HELLO, *({"role": "model", "parts": [part]} for part in wire), HELLO]
    messages = decode({"contents": contents}).messages
    assert [message.role for message in messages] == ["user", "assistant", "user"]
    thought, text = messages[1].parts
    assert isinstance(thought, Reasoning)
    assert thought.text == "Let me see."
    assert thought.signature == Signature("sig", Origin("anthropic_messages", "anthropic"))
    assert text == Text(text="It is so.")


def test_a_sealed_signature_survives_the_python_sdk() -> None:
    """It decodes signatures to bytes and writes them back in URL-safe base64."""
    signature = Signature("~~~???>>>" * 5, Origin("openai_responses", "openai", "o4"))
    url_safe = base64.urlsafe_b64encode(base64.b64decode(seal(signature))).decode()
    (call,) = parts({"functionCall": {"name": "f"}, "thoughtSignature": url_safe}, role="model")
    assert "_" in url_safe or "-" in url_safe
    assert isinstance(call, ToolCall)
    assert call.signature == signature


def test_the_placeholder_of_the_gemini_cli_stays_as_it_is() -> None:
    wire = {
        "functionCall": {"name": "f", "id": "1"},
        "thoughtSignature": "skip_thought_signature_validator",
    }
    body = {"contents": [HELLO, {"role": "model", "parts": [wire]}]}
    encoded = json.loads(PROTOCOL.encode_request(decode(body), PROFILE).body)
    assert encoded["contents"][1]["parts"][0]["thoughtSignature"] == wire["thoughtSignature"]


def test_media_keep_their_meaning() -> None:
    image, film, stored, tube = parts(
        {"inlineData": {"mimeType": "image/png", "data": "-_8"}, "videoMetadata": {"fps": 1}},
        {"fileData": {"fileUri": "gs://b/film.mp4"}},
        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}},
        {"fileData": {"fileUri": "https://youtu.be/x"}},
    )
    assert (image.kind, image.data) == ("image", "+/8=")
    assert image.extensions == {"gemini_generate": {"videoMetadata": {"fps": 1}}}
    assert (film.kind, film.media_type, film.url) == ("video", "video/mp4", "gs://b/film.mp4")
    assert stored.file_id.endswith("files/x")
    assert stored.url is None
    assert (tube.kind, tube.media_type) == ("video", None)


def test_what_only_google_knows_is_kept_whole() -> None:
    code, draft, new = parts(
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}, "thought": True},
        {"somethingNew": {"x": 1}},
        role="model",
    )
    for part in (code, draft, new):
        assert isinstance(part, Opaque)
        assert part.protocol == "gemini_generate"
    assert new.value == {"somethingNew": {"x": 1}}
    assert draft.value["thought"] is True


def test_openapi_schemas_become_json_schema_and_stay_beside_it() -> None:
    parameters = {
        "type": "OBJECT",
        "properties": {"b": {"type": "STRING", "nullable": True}, "a": {"type": "INTEGER"}},
        "propertyOrdering": ["a", "b"],
    }
    body = {
        "contents": [HELLO],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": parameters}]}],
        "generationConfig": {"responseMimeType": "application/json", "responseSchema": parameters},
    }
    request = decode(body)
    expected = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}},
    }
    assert request.tools[0].parameters == expected
    assert list(request.tools[0].parameters["properties"]) == ["a", "b"]
    assert request.output is not None
    assert request.output.schema == expected
    encoded = json.loads(PROTOCOL.encode_request(request, PROFILE).body)
    assert encoded["tools"] == body["tools"]
    assert encoded["generationConfig"] == body["generationConfig"]


def test_foreign_signatures_are_never_forwarded() -> None:
    sealed = seal(Signature("sig", Origin("anthropic_messages", "anthropic")))
    wire = {"text": "thinking", "thought": True, "thoughtSignature": sealed}
    body = {"contents": [HELLO, {"role": "model", "parts": [wire, {"text": "done"}]}]}
    parsed = PROTOCOL.parse_request(json.dumps(body).encode(), TARGET)
    repeated = PROTOCOL.repeat_request(parsed, PROFILE)
    assert json.loads(repeated.body)["contents"][1]["parts"] == [{"text": "done"}]
    assert [note.path for note in repeated.notes] == ["messages.1.parts.0"]
