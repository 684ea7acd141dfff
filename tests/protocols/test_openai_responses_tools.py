"""Tools, namespaces and tool choices of the Responses API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.canonical.parts import ToolCall
from dragoman.canonical.request import Message, Request, Tool, ToolChoice
from dragoman.canonical.response import Choice, Response
from dragoman.protocols.base import ModelProfile, Target
from dragoman.protocols.openai_responses import PROTOCOL


def decode(body: dict[str, Any]) -> Request:
    return PROTOCOL.decode_request(PROTOCOL.parse_request(json.dumps(body).encode(), Target()))


def ask(**fields: Any) -> Request:
    return decode({"model": "m", "input": "hi", **fields})


def say(*items: dict[str, Any]) -> list[Message]:
    return decode({"model": "m", "input": list(items)}).messages


def test_codex_tools_as_an_input_item() -> None:
    """Codex's built-in model gets its tools among the input; they return to their place."""
    item = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [
            {"type": "custom", "name": "exec", "format": {"type": "text"}},
            {
                "type": "namespace",
                "name": "fs",
                "description": "Files.",
                "tools": [{"type": "function", "name": "read", "strict": False}],
            },
        ],
    }
    body = {
        "model": "m",
        "input": [
            item,
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        ],
        "tools": [{"type": "web_search"}],
    }
    request = decode(body)
    assert [tool.name for tool in request.tools] == ["web_search", "exec", "fs__read"]
    assert [message.role for message in request.messages] == ["user"]
    assert json.loads(PROTOCOL.encode_request(request, ModelProfile()).body) == body


@pytest.mark.parametrize(
    ("namespace", "name", "joined"),
    [
        ("agents", "close", "agents__close"),
        ("mcp__fs__", "read", "mcp__fs__read"),
        ("a.b", "c", "a_b__c"),
        ("late", "late", "late"),
        (None, "plain", "plain"),
    ],
)
def test_namespaced_calls_get_one_name(namespace: str | None, name: str, joined: str) -> None:
    call = {"type": "function_call", "call_id": "c", "name": name, "arguments": "{}"}
    if namespace is not None:
        call["namespace"] = namespace
    (message,) = say(call)
    part = message.parts[0]
    assert isinstance(part, ToolCall)
    assert part.name == joined
    encoded = PROTOCOL.encode_request(Request(model="m", messages=[message]), ModelProfile())
    assert json.loads(encoded.body)["input"] == [call]


def test_long_joined_names_are_cut_and_stay_apart() -> None:
    calls = [
        {
            "type": "function_call",
            "call_id": "c",
            "name": "n" * 60 + end,
            "namespace": "space",
            "arguments": "",
        }
        for end in "ab"
    ]
    (message,) = say(*calls)
    names = [part.name for part in message.parts if isinstance(part, ToolCall)]
    assert len(set(names)) == 2
    assert all(len(name) == 64 for name in names)


@pytest.mark.parametrize(
    ("choice", "canonical"),
    [
        ("auto", ToolChoice(mode="auto")),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "name": "f"}, ToolChoice(mode="tool", names=["f"])),
        ({"type": "custom", "name": "free"}, ToolChoice(mode="tool", names=["free"])),
        ({"type": "file_search"}, None),
        ({"type": "mcp", "server_label": "docs", "name": "find"}, None),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "mcp", "server_label": "d"}],
            },
            None,
        ),
    ],
)
def test_tool_choices(choice: Any, canonical: ToolChoice | None) -> None:
    tools = [{"type": "function", "name": "f"}, {"type": "custom", "name": "free"}]
    request = ask(tool_choice=choice, tools=tools)
    assert request.tool_choice == canonical
    body = json.loads(PROTOCOL.encode_request(request, ModelProfile()).body)
    assert body["tool_choice"] == choice


def answered(request: Request, call: ToolCall) -> dict[str, Any]:
    """The item that the client of ``request`` gets for a foreign upstream's ``call``."""
    body = PROTOCOL.encode_response(Response(id="r", choices=[Choice(parts=[call])]), request)
    item: dict[str, Any] = json.loads(body)["output"][0]
    return item


def test_a_foreign_call_finds_its_namespace_again() -> None:
    nested = [{"type": "function", "name": "close", "parameters": {"type": "object"}}]
    request = ask(tools=[{"type": "namespace", "name": "agents", "tools": nested}])
    item = answered(request, ToolCall(id="c", name="agents__close", arguments='{"id":1}'))
    assert (item["name"], item["namespace"]) == ("close", "agents")
    assert (item["type"], item["arguments"]) == ("function_call", '{"id":1}')


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "*** Begin Patch"}', "*** Begin Patch"),
        ("*** Begin Patch", "*** Begin Patch"),
        ('{"input": 5}', '{"input": 5}'),
    ],
)
def test_a_foreign_call_of_a_custom_tool_is_unwrapped(arguments: str, text: str) -> None:
    request = ask(tools=[{"type": "custom", "name": "patch"}])
    item = answered(request, ToolCall(id="c", name="patch", arguments=arguments))
    assert item["type"] == "custom_tool_call"
    assert item["input"] == text
    assert item["id"].startswith("ctc_")


def test_functions_from_elsewhere_are_not_strict() -> None:
    """Unsaid, strict is true in this API and false in every other."""
    tool = Tool(name="f", parameters={"type": "object", "properties": {"x": {}}})
    message = Message(role="user", parts=[])
    for strict, written in ((None, False), (False, False), (True, True)):
        tool.strict = strict
        request = Request(model="m", messages=[message], tools=[tool, Tool(name="bare")])
        tools = json.loads(PROTOCOL.encode_request(request, ModelProfile()).body)["tools"]
        assert tools[0]["strict"] is written
        assert tools[1]["parameters"] == {"type": "object", "properties": {}}
    assert (
        "strict"
        not in json.loads(
            PROTOCOL.encode_request(
                ask(tools=[{"type": "function", "name": "f"}]), ModelProfile()
            ).body
        )["tools"][0]
    )


def test_other_providers_hosted_tools_are_dropped_with_their_choice() -> None:
    request = Request(
        model="m",
        messages=[Message(role="user", parts=[])],
        tools=[Tool(name="search", kind="hosted", protocol="anthropic_messages", config={})],
        tool_choice=ToolChoice(mode="required"),
    )
    encoded = PROTOCOL.encode_request(request, ModelProfile())
    assert {"tools", "tool_choice"}.isdisjoint(json.loads(encoded.body))
    assert [note.path for note in encoded.notes] == ["tools.0", "tool_choice"]
