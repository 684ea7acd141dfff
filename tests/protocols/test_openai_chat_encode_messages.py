"""Messages for upstreams of every kind: what each quirk changes, and what is noted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.canonical.notes import Action
from dragoman.canonical.parts import (
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.canonical.request import (
    Message,
    Request,
    Role,
)
from dragoman.canonical.signature import Origin, Signature
from dragoman.protocols.base import ModelProfile
from dragoman.protocols.openai_chat import PROTOCOL

OWN = Signature("c2ln", Origin("openai_chat", "here", "m"))
FOREIGN = Signature("c2ln", Origin("anthropic_messages", "anthropic", "claude"))
IMAGE = Media(kind="image", media_type="image/png", data="AA==")
Notes = dict[str, Action]


def say(role: Role, *parts: Part) -> Message:
    return Message(role=role, parts=list(parts))


HI = say("user", Text(text="hi"))


def encode(request: Request, **quirks: Any) -> tuple[dict[str, Any], Notes]:
    profile = ModelProfile(provider="here", model="m", quirks=quirks)
    return encode_for(request, profile)


def encode_for(request: Request, profile: ModelProfile) -> tuple[dict[str, Any], Notes]:
    encoded = PROTOCOL.encode_request(request, profile)
    return json.loads(encoded.body), {note.path: note.action for note in encoded.notes}


def talk(*messages: Message, **quirks: Any) -> tuple[list[dict[str, Any]], Notes]:
    body, notes = encode(Request(model="m", messages=list(messages)), **quirks)
    return body["messages"], notes


def test_developers() -> None:
    developer = say("developer", Text(text="d"))
    messages, notes = talk(developer, HI)
    assert messages[0] == {"role": "system", "content": "d"}
    assert notes == {"messages.0.role": Action.RENAMED}
    messages, notes = talk(developer, HI, developer_role=True)
    assert messages[0]["role"] == "developer"
    assert notes == {}


def test_several_texts() -> None:
    system = say("system", Text(text="a"), Text(text="b"))
    messages, notes = talk(system, HI)
    assert messages[0]["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages, notes = talk(system, HI, join_text=True)
    assert messages[0]["content"] == "a\n\nb"
    assert notes == {"messages.0.parts": Action.RENAMED}


def test_one_message_holds_reasoning_text_and_calls() -> None:
    answer = say(
        "assistant",
        Reasoning(text="think"),
        Text(text="say"),
        ToolCall(id="c", name="f", arguments=""),
        ToolCall(id="d", name="f", arguments='{"a":1}'),
    )
    messages, notes = talk(HI, answer)
    assert messages[1]["reasoning_content"] == "think"
    assert messages[1]["content"] == "say"
    # Servers that parse the arguments of earlier calls fail on an empty text.
    assert [c["function"]["arguments"] for c in messages[1]["tool_calls"]] == ["{}", '{"a":1}']
    assert notes == {}


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ([], ""),
        ([ToolCall(id="c", name="f")], None),
        ([Refusal(text="no")], None),
        ([Text(text="x"), ToolCall(id="c", name="f")], "x"),
    ],
)
def test_an_answer_without_text(parts: list[Part], content: str | None) -> None:
    assert talk(HI, say("assistant", *parts))[0][1]["content"] == content


@pytest.mark.parametrize("style", ["reasoning_content", "reasoning"])
def test_reasoning_as_text(style: str) -> None:
    answer = say(
        "assistant", Reasoning(text="a", signature=OWN), Reasoning(text="b"), Text(text="x")
    )
    messages, notes = talk(HI, answer, reasoning_history=style)
    assert messages[1][style] == "a\n\nb"
    assert notes == {
        "messages.1.parts.0.signature": Action.DROPPED,
        "messages.1.parts.1": Action.RENAMED,
    }


def test_reasoning_as_details() -> None:
    answer = say(
        "assistant",
        Reasoning(text="mine", signature=OWN),
        Reasoning(text="theirs", signature=FOREIGN),
        Reasoning(redacted=True, signature=OWN),
        Reasoning(redacted=True, signature=FOREIGN),
    )
    messages, notes = talk(HI, answer, reasoning_history="reasoning_details")
    assert messages[1]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "mine", "signature": "c2ln", "index": 0},
        {"type": "reasoning.text", "text": "theirs", "index": 1},
        {"type": "reasoning.encrypted", "data": "c2ln", "index": 2},
    ]
    assert notes == {
        "messages.1.parts.1.signature": Action.DROPPED,
        "messages.1.parts.3.signature": Action.DROPPED,
        "messages.1.parts.3": Action.DROPPED,
    }


def test_no_reasoning_at_all() -> None:
    answer = say("assistant", Reasoning(text="t"), Text(text="x"))
    messages, notes = talk(HI, answer, reasoning_history="none")
    assert messages[1] == {"role": "assistant", "content": "x"}
    assert notes == {"messages.1.parts.0": Action.DROPPED}


def test_results_follow_the_calls_at_once() -> None:
    """Anthropic's clients put results into the user's message, after or before text."""
    messages, notes = talk(
        HI,
        say("assistant", ToolCall(id="c", name="f"), ToolCall(id="d", name="g")),
        say(
            "user",
            Text(text="and now?"),
            ToolResult(call_id="c", content=[Text(text="1")]),
            ToolResult(call_id="d", content=[Text(text="2")]),
        ),
    )
    assert messages[2:] == [
        {"role": "tool", "tool_call_id": "c", "content": "1"},
        {"role": "tool", "tool_call_id": "d", "content": "2"},
        {"role": "user", "content": "and now?"},
    ]
    assert notes == {}


def test_images_in_results_move_behind_them() -> None:
    results = say(
        "tool",
        ToolResult(call_id="c", content=[Text(text="see"), IMAGE]),
        ToolResult(call_id="d", content=[IMAGE]),
    )
    call = say("assistant", ToolCall(id="c", name="f"), ToolCall(id="d", name="f"))
    messages, notes = talk(HI, call, results, HI)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    assert [message["role"] for message in messages[2:]] == ["tool", "tool", "user"]
    assert messages[2]["content"] == "see"
    assert messages[3]["content"] == "The result is attached to the next message."
    assert messages[4]["content"] == [image, image, {"type": "text", "text": "hi"}]
    assert set(notes.values()) == {Action.EMULATED}
    assert talk(HI, call, results)[0][4] == {"role": "user", "content": [image, image]}
    messages, notes = talk(HI, call, results, tool_media=True)
    assert messages[3]["content"] == [image]
    assert notes == {}


def test_failed_results_say_so() -> None:
    result = ToolResult(call_id="c", content=[Text(text="no file")], is_error=True)
    messages, notes = talk(HI, say("tool", result))
    assert messages[1]["content"] == "Error: no file"
    assert notes == {"messages.1.parts.0.is_error": Action.EMULATED}


@pytest.mark.parametrize(
    ("part", "quirks", "wire"),
    [
        (Media(kind="image", url="https://e/x"), {}, "image_url"),
        (Media(kind="image", file_id="f"), {}, None),
        (Media(kind="audio", media_type="audio/wav", data="AA=="), {}, "input_audio"),
        (Media(kind="audio", url="https://e/x"), {}, None),
        (Media(kind="video", url="https://e/x"), {}, None),
        (Media(kind="video", url="https://e/x"), {"video_input": True}, "video_url"),
        (Media(kind="document", data="AA=="), {}, "file"),
        (Media(kind="document", data="AA=="), {"document_input": False}, None),
        (Media(kind="document", url="https://e/x"), {}, None),
        (Media(kind="document", url="https://e/x"), {"file_url": True}, "file"),
    ],
)
def test_media(part: Media, quirks: dict[str, Any], wire: str | None) -> None:
    messages, notes = talk(say("user", Text(text="x"), part), **quirks)
    if wire is None:
        assert messages[0]["content"] == "x"
        assert notes == {"messages.0.parts.1": Action.DROPPED}
    else:
        assert messages[0]["content"][1]["type"] == wire
        assert notes == {}


def test_a_text_document_is_text() -> None:
    document = Media(kind="document", media_type="text/plain", text="body", name="a.txt")
    messages, notes = talk(say("user", document))
    assert messages[0]["content"] == "a.txt:\nbody"
    assert notes == {"messages.0.parts.0": Action.EMULATED}


def test_foreign_blocks_are_dropped() -> None:
    block = Opaque(protocol="gemini_generate", value={"executableCode": {}})
    assert talk(HI, say("assistant", block))[1] == {"messages.1.parts.0": Action.DROPPED}


def test_call_ids_are_mapped_alike_on_both_sides() -> None:
    long = "toolu_" + "x" * 60
    conversation = (
        say("assistant", ToolCall(id=long, name="f")),
        say("tool", ToolResult(call_id=long, content=[Text(text="1")])),
    )
    messages, _ = talk(HI, *conversation, call_id_pattern=".{1,40}")
    sent = messages[1]["tool_calls"][0]["id"]
    assert len(sent) == 40
    assert messages[2]["tool_call_id"] == sent
    messages, _ = talk(HI, *conversation, call_id_pattern="[a-zA-Z0-9]{9}", call_id_length=9)
    assert len(messages[2]["tool_call_id"]) == 9
    assert talk(HI, *conversation)[0][2]["tool_call_id"] == long


def test_thought_signatures_go_home_only() -> None:
    def call(signature: Signature) -> Message:
        return say("assistant", ToolCall(id="c", name="f", signature=signature))

    messages, notes = talk(HI, call(OWN))
    assert messages[1]["tool_calls"][0]["extra_content"] == {
        "google": {"thought_signature": "c2ln"}
    }
    assert notes == {}
    messages, notes = talk(HI, call(FOREIGN))
    assert "extra_content" not in messages[1]["tool_calls"][0]
    assert notes == {"messages.1.parts.0.signature": Action.DROPPED}


def test_pictures_in_earlier_answers() -> None:
    messages, notes = talk(HI, say("assistant", Text(text="x"), IMAGE))
    assert "images" not in messages[1]
    assert notes == {"messages.1.parts.1": Action.DROPPED}
    messages, notes = talk(HI, say("assistant", Text(text="x"), IMAGE), assistant_images=True)
    assert messages[1]["images"][0]["image_url"] == {"url": "data:image/png;base64,AA=="}
    assert notes == {}


def test_sound_in_earlier_answers_goes_by_its_id() -> None:
    own = {"openai_chat": {"id": "a1", "transcript": "t"}}
    heard = Media(kind="audio", data="AA==", extensions=own)
    messages, notes = talk(HI, say("assistant", heard))
    assert messages[1]["audio"] == {"id": "a1"}
    assert messages[1]["content"] is None
    assert notes == {"messages.1.parts.0": Action.EMULATED}


def test_a_refusal_in_a_users_message_is_text() -> None:
    messages, notes = talk(say("user", Refusal(text="no")))
    assert messages == [{"role": "user", "content": "no"}]
    assert notes == {"messages.0.parts.0": Action.RENAMED}


def test_names_that_a_provider_refuses() -> None:
    named = Message(role="user", parts=[Text(text="x")], name="ada")
    profile = ModelProfile(drops=frozenset({"name"}))
    body, notes = encode_for(Request(model="m", messages=[named]), profile)
    assert body["messages"] == [{"role": "user", "content": "x"}]
    assert notes == {"messages.0.name": Action.DROPPED}


def test_an_image_may_lose_its_name_but_not_in_silence() -> None:
    image = Media(kind="image", media_type="image/png", url="https://e/x", name="n")
    assert talk(say("user", image))[1] == {
        "messages.0.parts.0.media_type": Action.EMULATED,
        "messages.0.parts.0.name": Action.DROPPED,
    }
