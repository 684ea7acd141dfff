"""The rows meet the codecs: quirks are understood, and the demonstration upstream is too."""

from __future__ import annotations

import json

import pytest

from dragoman.canonical.collect import collect
from dragoman.canonical.parts import CacheHint, Reasoning, Text, ToolCall, ToolResult
from dragoman.canonical.request import (
    Message,
    OutputFormat,
    ReasoningConfig,
    Request,
    Settings,
    Tool,
    ToolChoice,
)
from dragoman.canonical.response import FinishReason, Response
from dragoman.canonical.signature import Origin
from dragoman.protocols.base import all_events
from dragoman.protocols.registry import protocol, protocols
from dragoman.providers.catalog import load_catalog
from dragoman.providers.demo import demo_reply
from dragoman.providers.profiles import model_rows, profile_for
from dragoman.providers.provider import Provider
from dragoman.wire.http import HttpRequest

ROWS = load_catalog()
NAMES = ["some-model", *(row.match[0].strip("*").split("[")[0] + "-x" for row in model_rows())]
LOOK = Tool(name="look", parameters={"type": "object", "properties": {}}, strict=True)
RICH = Request(
    model="public",
    messages=[
        Message(role="system", parts=[Text(text="Be brief.", cache=CacheHint())]),
        Message(role="user", parts=[Text(text="Look.")]),
        Message(
            role="assistant",
            parts=[Reasoning(text="I shall."), ToolCall(id="call.1/x", name="look")],
        ),
        Message(role="tool", parts=[ToolResult(call_id="call.1/x", content=[Text(text="Seen.")])]),
    ],
    tools=[LOOK, Tool(name="shell", kind="custom")],
    tool_choice=ToolChoice(mode="required"),
    parallel_tool_calls=False,
    settings=Settings(
        max_output_tokens=500_000, temperature=0.5, top_p=0.9, top_k=5, stop=["a", "b"], seed=1
    ),
    output=OutputFormat(kind="json_schema", name="n", schema={"type": "object"}),
    reasoning=ReasoningConfig(mode="on", effort="xhigh"),
    stream=True,
)


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_every_row_can_be_written_for(row: Provider) -> None:
    for name in row.protocols:
        if name not in protocols():
            continue
        for model in NAMES:
            profile = profile_for(row, protocol=name, model=model)
            encoded = protocol(name).encode_request(RICH, profile)
            assert isinstance(json.loads(encoded.body), dict)
            noted = {note.path.partition(".")[0] for note in encoded.notes}
            for dropped in profile.drops & {"tool_choice", "output", "reasoning"}:
                assert dropped in noted


DEMO = ROWS["demo"]
CHAT = protocol("openai_chat")


def ask(text: str, *, stream: bool, tools: list[Tool] | None = None) -> Response:
    """The demonstration's answer, by way of the codec."""
    request = Request(
        model="echo",
        messages=[Message(role="user", parts=[Text(text=text)])],
        tools=tools or [],
        stream=stream,
    )
    profile = profile_for(DEMO, protocol="openai_chat", model="echo")
    url = DEMO.protocols["openai_chat"] + CHAT.endpoint("echo", stream)
    body = CHAT.encode_request(request, profile).body
    status, _, chunks = demo_reply(HttpRequest(method="POST", url=url, headers={}, body=body))
    assert status == 200
    origin = Origin("openai_chat", "demo", "echo")
    if stream:
        return collect(all_events(CHAT.stream_decoder(origin), chunks))
    return CHAT.decode_response(b"".join(chunks), origin)


@pytest.mark.parametrize("stream", [False, True])
def test_the_demonstration_is_understood(stream: bool) -> None:
    response = ask("To be or not", stream=stream)
    [choice] = response.choices
    assert choice.parts == [Text(text="To be or not")]
    assert choice.finish is not None
    assert choice.finish.reason is FinishReason.STOP
    assert response.usage is not None
    assert (response.usage.total_input, response.usage.total_output) == (4, 4)


@pytest.mark.parametrize("stream", [False, True])
def test_the_demonstrations_tool_calls_are_understood(stream: bool) -> None:
    [choice] = ask("use a tool", stream=stream, tools=[LOOK]).choices
    [call] = choice.parts
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("look", "{}")
    assert choice.finish is not None
    assert choice.finish.reason is FinishReason.TOOL_CALLS


def test_the_demonstrations_errors_are_understood() -> None:
    body = b'{"model":"gpt","messages":[]}'
    request = HttpRequest(method="POST", url="demo:/chat/completions", headers={}, body=body)
    status, headers, chunks = demo_reply(request)
    error = CHAT.decode_error(status, dict(headers), b"".join(chunks))
    assert (error.status, error.code) == (404, "model_not_found")
