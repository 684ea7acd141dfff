"""Requests of other protocols, written for Google."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.notes import Action
from dragoman.canonical.parts import (
    CacheHint,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Text,
)
from dragoman.canonical.request import (
    Message,
    Tool,
)
from dragoman.canonical.signature import Origin, Signature
from tests.protocols.gemini_generate_support import (
    assistant,
    body,
    call,
    encode,
    noted,
    result,
    user,
)

OWN = Origin("gemini_generate", "gemini", "gemini-3-pro")
FOREIGN = Origin("anthropic_messages", "anthropic", "claude")


def test_a_conversation_takes_googles_form() -> None:
    encoded = encode(
        Message(role="system", parts=[Text(text="Be brief.")]),
        Message(role="developer", parts=[Text(text="Be kind.")]),
        user(Text(text="one"), Text(text="")),
        user(Text(text="two")),
        assistant(Text(text="I look."), call("a", '{"q": 1.50}'), call("b", "")),
        result("b", Text(text="plain")),
        result("a", Text(text='{"x": [1]}')),
        user(Text(text="three")),
        Message(role="system", parts=[Text(text="Be quick.")]),
        assistant(Refusal(text="No.")),
        tools=[Tool(name="look")],
    )
    assert b'{"q": 1.50}' in encoded.body
    wire = body(encoded)
    assert wire["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}
    assert wire["contents"] == [
        {"role": "user", "parts": [{"text": "one"}, {"text": "two"}]},
        {
            "role": "model",
            "parts": [
                {"text": "I look."},
                {"functionCall": {"id": "a", "name": "look", "args": {"q": 1.5}}},
                {"functionCall": {"id": "b", "name": "look", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "b",
                        "name": "look",
                        "response": {"result": "plain"},
                    }
                },
                {"functionResponse": {"id": "a", "name": "look", "response": {"x": [1]}}},
                {"text": "three"},
                {"text": "Be quick."},
            ],
        },
        {"role": "model", "parts": [{"text": "No."}]},
    ]
    assert noted(encoded) == {
        "messages.1": Action.RENAMED,
        "messages.8": Action.EMULATED,
        "messages.9.parts.0": Action.EMULATED,
    }


def test_a_lone_system_message_is_a_prompt() -> None:
    encoded = encode(Message(role="system", parts=[Text(text="Tell a joke.")]))
    assert body(encoded) == {"contents": [{"role": "user", "parts": [{"text": "Tell a joke."}]}]}
    assert noted(encoded) == {"messages.0": Action.EMULATED}


def test_nothing_to_say_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        encode(user(Text(text="")))
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    ("content", "is_error", "response"),
    [
        ([Text(text="boom")], True, {"error": "boom"}),
        ([Text(text='{"code": 1}')], True, {"error": {"code": 1}}),
        ([Text(text="[1]")], False, {"result": "[1]"}),
        ([Text(text="a"), Text(text="b")], False, {"result": "a\nb"}),
        ([], False, {}),
    ],
)
def test_results_are_objects(content: list[Any], is_error: bool, response: Any) -> None:
    encoded = encode(user(), assistant(call("a")), result("a", *content, is_error=is_error))
    last = body(encoded)["contents"][-1]["parts"][0]
    assert last == {"functionResponse": {"id": "a", "name": "look", "response": response}}
    assert not encoded.notes


def test_a_result_without_a_call_is_named_after_its_id() -> None:
    encoded = encode(user(), result("call 1", Text(text="x")))
    written = json.loads(encoded.body)["contents"][0]["parts"][1]["functionResponse"]
    assert written["name"].startswith("call_1")
    assert noted(encoded) == {"messages.1.parts.0.name": Action.EMULATED}


def test_images_in_results_follow_them_unless_they_may_stand_inside() -> None:
    image = Media(kind="image", media_type="image/png", data="AA==")
    messages = [
        user(),
        assistant(call("a"), call("b")),
        result("a", Text(text="1"), image),
        result("b", Text(text="2")),
    ]
    wire_image = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    after = encode(*messages)
    kinds = [next(iter(part)) for part in body(after)["contents"][-1]["parts"]]
    assert kinds == ["functionResponse", "functionResponse", "inlineData"]
    assert noted(after) == {"messages.2.parts.0.content.1": Action.EMULATED}
    inside = encode(*messages, quirks={"function_response_parts": True})
    parts = body(inside)["contents"][-1]["parts"]
    assert parts[0]["functionResponse"]["parts"] == [wire_image]
    assert not inside.notes


def test_thoughts_go_back_to_where_they_came_from() -> None:
    encoded = encode(
        user(),
        assistant(
            Reasoning(text="mine", signature=Signature("c2ln", OWN), summary=True),
            Reasoning(text="theirs", signature=Signature("x", FOREIGN)),
            Reasoning(text="nobody's"),
            Reasoning(signature=Signature("cmVk", OWN), redacted=True),
            call("a", signature=Signature("Y2FsbA==", OWN)),
            call("b", signature=Signature("x", FOREIGN)),
        ),
        result("a"),
        result("b"),
    )
    assert body(encoded)["contents"][1]["parts"] == [
        {"text": "mine", "thought": True, "thoughtSignature": "c2ln"},
        {"thought": True, "thoughtSignature": "cmVk"},
        {
            "functionCall": {"id": "a", "name": "look", "args": {}},
            "thoughtSignature": "Y2FsbA==",
        },
        {"functionCall": {"id": "b", "name": "look", "args": {}}},
    ]
    assert noted(encoded) == {
        "messages.1.parts.1": Action.DROPPED,
        "messages.1.parts.2": Action.DROPPED,
        "messages.1.parts.5.signature": Action.DROPPED,
    }


def test_the_first_unsigned_call_of_a_step_gets_the_placeholder() -> None:
    """Gemini 3 refuses a step without a signature, and wants one only on its first call."""
    signed = Signature("Y2FsbA==", OWN)
    encoded = encode(
        user(),
        assistant(Text(text="a"), call("1"), call("2", signature=signed)),
        result("1"),
        result("2"),
        assistant(call("3", signature=signed), call("4")),
        result("3"),
        result("4"),
        quirks={"thought_signature_required": True},
    )
    signatures = [
        part.get("thoughtSignature")
        for content in body(encoded)["contents"]
        for part in content["parts"]
        if "functionCall" in part
    ]
    assert signatures == ["skip_thought_signature_validator", "Y2FsbA==", "Y2FsbA==", None]
    assert noted(encoded) == {"messages.1.parts.1.signature": Action.EMULATED}


@pytest.mark.parametrize(
    ("part", "wire"),
    [
        (
            Media(kind="image", url="https://x.org/a.webp?s=1"),
            {"fileData": {"fileUri": "https://x.org/a.webp?s=1", "mimeType": "image/webp"}},
        ),
        (
            Media(kind="image", url="https://x.org/picture"),
            {"fileData": {"fileUri": "https://x.org/picture", "mimeType": "image/jpeg"}},
        ),
        (
            Media(kind="document", url="gs://b/report", media_type="application/pdf", name="R"),
            {
                "fileData": {
                    "fileUri": "gs://b/report",
                    "mimeType": "application/pdf",
                    "displayName": "R",
                }
            },
        ),
        (
            Media(kind="video", url="https://www.youtube.com/watch?v=1"),
            {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}},
        ),
        (Media(kind="document", file_id="files/x"), {"fileData": {"fileUri": "files/x"}}),
        (
            Media(kind="audio", data="AA==", media_type="audio/wav"),
            {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}},
        ),
        (
            Media(kind="document", text="plain words", media_type="text/plain"),
            {
                "inlineData": {
                    "mimeType": "text/plain",
                    "data": base64.b64encode(b"plain words").decode(),
                }
            },
        ),
    ],
)
def test_media(part: Media, wire: Any) -> None:
    encoded = encode(user(part))
    assert body(encoded)["contents"][0]["parts"] == [wire]
    expected = {"messages.0.parts.0": Action.EMULATED} if part.text is not None else {}
    assert noted(encoded) == expected


def test_files_and_blocks_of_other_vendors_are_dropped() -> None:
    encoded = encode(
        user(
            Text(text="hi", cache=CacheHint(ttl="1h"), extensions={"openai_chat": {"x": 1}}),
            Media(kind="document", file_id="file-abc"),
            Opaque(protocol="anthropic_messages", value={"type": "search_result"}),
        )
    )
    assert body(encoded)["contents"][0]["parts"] == [{"text": "hi"}]
    assert noted(encoded) == dict.fromkeys(
        (
            "messages.0.parts.0.cache",
            "messages.0.parts.0.x",
            "messages.0.parts.1",
            "messages.0.parts.2",
        ),
        Action.DROPPED,
    )


def test_arguments_that_are_no_object_are_wrapped() -> None:
    encoded = encode(
        user(),
        assistant(call("a", '{"broken": '), call("b", "[1]"), call("c", "free", custom=True)),
        *(result(id) for id in "abc"),
        tools=[Tool(name="look", kind="custom", format={"definition": "x+", "syntax": "regex"})],
    )
    args = [part["functionCall"]["args"] for part in body(encoded)["contents"][1]["parts"]]
    assert args == [{"arguments": '{"broken": '}, {"arguments": "[1]"}, {"input": "free"}]
    paths = {f"messages.1.parts.{index}" for index in range(3)} | {"tools.0"}
    assert noted(encoded) == dict.fromkeys(paths, Action.EMULATED)
    declared = body(encoded)["tools"][0]["functionDeclarations"][0]
    assert declared["parametersJsonSchema"]["required"] == ["input"]
    assert "x+" in declared["parametersJsonSchema"]["properties"]["input"]["description"]
