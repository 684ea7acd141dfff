"""What the tests of requests written for Google share."""

from __future__ import annotations

import json
from typing import Any

from dragoman.canonical.notes import Action
from dragoman.canonical.parts import Part, Text, ToolCall, ToolResult
from dragoman.canonical.request import Message, Request
from dragoman.protocols.base import Encoded, ModelProfile
from dragoman.protocols.gemini_generate import PROTOCOL
from tests.support.standin import gemini as standin


def user(*parts: Part) -> Message:
    return Message(role="user", parts=list(parts or (Text(text="hi"),)))


def assistant(*parts: Part) -> Message:
    return Message(role="assistant", parts=list(parts))


def call(id: str, arguments: str = "{}", **more: Any) -> ToolCall:
    return ToolCall(id=id, name="look", arguments=arguments, **more)


def result(id: str, *content: Any, **more: Any) -> Message:
    return Message(role="tool", parts=[ToolResult(call_id=id, content=list(content), **more)])


def encode(*messages: Message, quirks: dict[str, Any] | None = None, **fields: Any) -> Encoded:
    request = Request(model="m", messages=list(messages) or [user()], **fields)
    profile = ModelProfile(
        provider="gemini", model="m", max_output_tokens=1000, quirks=quirks or {}
    )
    return PROTOCOL.encode_request(request, profile)


def body(encoded: Encoded) -> Any:
    """The body, which Google's own types must accept."""
    value = json.loads(encoded.body)
    standin.read(value, {}, model="m")
    return value


def noted(encoded: Encoded) -> dict[str, Action]:
    return {note.path: note.action for note in encoded.notes}
