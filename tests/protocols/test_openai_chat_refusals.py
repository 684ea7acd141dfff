"""What is no chat request is refused, and the field at fault is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.canonical.errors import InvalidRequest
from dragoman.protocols.base import Target
from dragoman.protocols.openai_chat import PROTOCOL

USER = {"role": "user", "content": "hi"}


def refused(**fields: Any) -> str | None:
    body = {"model": "m", "messages": [USER], **fields}
    given = {field: value for field, value in body.items() if value is not ...}
    with pytest.raises(InvalidRequest) as caught:
        PROTOCOL.decode_request(PROTOCOL.parse_request(json.dumps(given).encode(), Target()))
    return caught.value.param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ...}, "model"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
        (
            {"messages": [USER, {"role": "user", "content": [{"type": 1}]}]},
            "messages.1.content.0.type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages.0.content.0.text",
        ),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            "messages.0.content.0.file.file_data",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]},
            "messages.0.tool_calls.0.function",
        ),
        ({"temperature": "hot"}, "temperature"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"stop": [1]}, "stop.0"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    assert refused(**fields) == param


def test_a_body_that_is_no_json() -> None:
    for body in (b"", b"{", b"[]", b'{"model": "m", "messages": [' + b"[" * 5000, b'"\xff"'):
        with pytest.raises(InvalidRequest):
            PROTOCOL.parse_request(body, Target())
    skipped = b'{"model":"m","messages":[{"role":"user","content":"x"}],"unknown":"\xff"}'
    with pytest.raises(InvalidRequest):
        PROTOCOL.decode_request(PROTOCOL.parse_request(skipped, Target()))
