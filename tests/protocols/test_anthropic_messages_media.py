"""Images and documents of other protocols, written for the Messages API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.canonical.notes import Action
from dragoman.canonical.parts import Media, Part, Text
from dragoman.canonical.request import Message, Request, Role
from dragoman.protocols.anthropic_messages import PROTOCOL
from dragoman.protocols.base import ModelProfile


def say(role: Role, *parts: Part | str) -> Message:
    return Message(role=role, parts=[Text(text=p) if isinstance(p, str) else p for p in parts])


def ask(*messages: Message) -> Request:
    return Request(model="m", messages=list(messages))


def encode(request: Request) -> tuple[dict[str, Any], dict[str, Action]]:
    encoded = PROTOCOL.encode_request(request, ModelProfile())
    return json.loads(encoded.body), {note.path: note.action for note in encoded.notes}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def media(**fields: Any) -> Media:
    return Media(**{"kind": "image", **fields})


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            media(media_type="image/jpg", data="/9j/4A"),
            {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4A"},
        ),
        (
            media(data="iVBORw0KGgo="),
            {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
        ),
        (media(url="https://x.example/a"), {"type": "url", "url": "https://x.example/a"}),
        (
            media(url="data:image/gif;base64,R0lGOD"),
            {"type": "base64", "media_type": "image/gif", "data": "R0lGOD"},
        ),
        (media(file_id="file_1"), {"type": "file", "file_id": "file_1"}),
        (
            media(kind="document", media_type="application/pdf", data="JVBERi0x"),
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"},
        ),
        (
            media(kind="document", media_type="text/csv", data="YSxi"),
            {"type": "text", "media_type": "text/plain", "data": "a,b"},
        ),
        (
            media(kind="document", url="data:text/plain,a%20b"),
            {"type": "text", "media_type": "text/plain", "data": "a b"},
        ),
        (
            media(kind="document", text="t"),
            {"type": "text", "media_type": "text/plain", "data": "t"},
        ),
    ],
)
def test_media_in_a_users_turn(part: Media, block: dict[str, str]) -> None:
    body, notes = encode(ask(say("user", part)))
    assert body["messages"][0]["content"][0]["source"] == block
    assert Action.DROPPED not in notes.values()


@pytest.mark.parametrize(
    "part",
    [
        media(kind="audio", data="AAAA"),
        media(kind="video", url="https://x.example/v"),
        media(media_type="image/svg+xml", data="PHN2"),
        media(data="AAAA"),
        media(url="gs://bucket/a"),
        media(url="file:///etc/passwd"),
        media(kind="document", media_type="application/zip", data="UEsD"),
        media(kind="document", media_type="text/plain", data="/w=="),
    ],
)
def test_media_that_is_not_accepted_is_dropped_with_a_note(part: Media) -> None:
    body, notes = encode(ask(say("user", "look", part)))
    assert body["messages"][0]["content"] == [text("look")]
    assert notes == {"messages.0.parts.1": Action.DROPPED}


def test_a_name_is_a_documents_title_and_nothing_to_an_image() -> None:
    named = [
        media(kind="document", text="t", name="a.txt"),
        media(file_id="f", name="a", detail="low"),
    ]
    body, notes = encode(ask(say("user", *named)))
    assert body["messages"][0]["content"][0]["title"] == "a.txt"
    assert notes == {
        "messages.0.parts.1.name": Action.DROPPED,
        "messages.0.parts.1.detail": Action.DROPPED,
    }


def test_an_image_the_model_made_is_shown_back_by_the_user() -> None:
    drawn = say("assistant", "Here:", media(data="iVBORw0KGgo="))
    body, notes = encode(ask(say("user", "draw"), drawn, say("user", "bigger")))
    assert body["messages"][1]["content"] == [text("Here:")]
    assert [block["type"] for block in body["messages"][2]["content"]] == ["image", "text"]
    assert notes == {"messages.1.parts.1": Action.EMULATED}
    assert encode(ask(say("user", "draw"), drawn))[1]["messages.1.parts.1"] is Action.DROPPED
