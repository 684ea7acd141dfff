"""The comparer that judges translations sees every kind of silent loss, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given

from dragoman.canonical.notes import Action, Note
from dragoman.canonical.parts import Media, Reasoning, Text, ToolCall, ToolResult
from dragoman.canonical.request import Message, OutputFormat, Request, Settings, Tool
from dragoman.canonical.signature import Origin, Signature
from tests.protocols.fidelity import unaccounted
from tests.protocols.strategies import requests

PROTOCOL = "openai_chat"
SIGNATURE = Signature("c2ln", Origin(PROTOCOL))


def example() -> Request:
    """A request with something of everything."""
    return Request(
        model="m",
        messages=[
            Message(role="system", parts=[Text(text="Be kind.")]),
            Message(role="user", parts=[Text(text="Look."), Media(kind="image", data="aaaa")]),
            Message(
                role="assistant",
                parts=[
                    Reasoning(text="Hm.", signature=SIGNATURE),
                    ToolCall(id="c1", name="f", arguments='{"a":1}'),
                    ToolCall(id="c2", name="g", arguments="{}"),
                ],
            ),
            Message(role="tool", parts=[ToolResult(call_id="c1", content=[Text(text="one")])]),
            Message(role="tool", parts=[ToolResult(call_id="c2", is_error=True)]),
        ],
        tools=[Tool(name="f", parameters={"type": "object"})],
        settings=Settings(seed=7),
        output=OutputFormat(kind="json_object"),
        extensions={"gemini_generate": {"x_y": 1}},
    )


def _parts(request: Request, index: int) -> list[Any]:
    return request.messages[index].parts


# What to spoil → the path that must be named.
LOSSES: dict[str, Callable[[Request], object]] = {
    "messages.0.parts.0": lambda y: setattr(_parts(y, 0)[0], "text", "Be."),
    "messages.1.parts.1": lambda y: setattr(_parts(y, 1)[1], "data", "aaab"),
    "messages.2.parts.0": lambda y: setattr(_parts(y, 2)[0], "text", ""),
    "messages.2.parts.0.signature": lambda y: setattr(_parts(y, 2)[0], "signature", None),
    "messages.2.parts.1.arguments": lambda y: setattr(_parts(y, 2)[1], "arguments", '{"a":2}'),
    "messages.2.parts.2": lambda y: setattr(_parts(y, 2)[2], "name", "h"),
    "messages.3.parts.0.content.0": lambda y: _parts(y, 3)[0].content.clear(),
    "messages.4.parts.0.is_error": lambda y: setattr(_parts(y, 4)[0], "is_error", False),
    "messages.4.parts.0": lambda y: setattr(_parts(y, 4)[0], "call_id", "c1"),
    "tools.0": lambda y: y.tools.clear(),
    "tools.0.parameters": lambda y: setattr(y.tools[0], "parameters", {}),
    "settings.seed": lambda y: setattr(y.settings, "seed", 8),
    "output.kind": lambda y: setattr(y, "output", None),
    "x_y": lambda y: setattr(y, "extensions", None),
}


@pytest.mark.parametrize("path", LOSSES)
def test_a_loss_is_named_unless_it_is_noted(path: str) -> None:
    x, y = example(), example()
    LOSSES[path](y)
    lost = [found.partition(":")[0] for found in unaccounted(x, y, [], PROTOCOL)]
    assert path in lost
    noted = [Note(one, Action.DROPPED) for one in lost]
    assert unaccounted(x, y, noted, PROTOCOL) == []


@given(request=requests())
def test_nothing_is_missed_where_nothing_was_lost(request: Request) -> None:
    same = msgspec.json.decode(msgspec.json.encode(request), type=Request)
    lost = unaccounted(request, same, [], "no_protocol")
    # Extensions of parts are the exception: nobody but their owner keeps them, so they need a note.
    assert [path for path in lost if ".x_" not in path] == []
