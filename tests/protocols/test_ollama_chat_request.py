"""Ollama's chat requests as clients send them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Media, Reasoning, Text, ToolCall, ToolResult
from dragoman.canonical.request import ReasoningConfig, Request
from dragoman.protocols.base import ModelProfile, Target
from dragoman.protocols.ollama_chat import PROTOCOL

FIXTURES = Path(__file__).parents[1] / "fixtures" / "ollama_chat"
HELLO = [{"role": "user", "content": "Hello"}]


def decode(body: bytes | dict[str, Any]) -> Request:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROTOCOL.decode_request(PROTOCOL.parse_request(data, Target()))


def test_a_whole_request_is_understood() -> None:
    request = decode((FIXTURES / "request.json").read_bytes())

    assert request.model == "qwen3:8b"
    assert request.stream  # absent means on
    system, question, answer, first, second, _ = request.messages
    assert system.role == "system"
    assert isinstance(question.parts[1], Media)
    assert question.parts[1].media_type == "image/png"
    reasoning, warm, cloudy = answer.parts
    assert reasoning == Reasoning(text="A city. I need the weather.")
    assert isinstance(warm, ToolCall)
    assert isinstance(cloudy, ToolCall)
    assert (warm.id, warm.arguments) == ("call_ab12cd34", '{"city": "New York", "unit": "C"}')
    assert cloudy.id == "call_2_1"
    assert first.parts == [
        ToolResult(call_id="call_ab12cd34", name="get_temperature", content=[Text(text="22")])
    ]
    assert isinstance(second.parts[0], ToolResult)
    assert second.parts[0].call_id == "call_2_1"
    assert [tool.name for tool in request.tools] == ["get_temperature", "get_conditions"]
    assert request.output is not None
    assert request.output.kind == "json_schema"
    settings = request.settings
    assert (settings.max_output_tokens, settings.top_k, settings.stop) == (256, 20, ["\n\n"])
    assert request.reasoning == ReasoningConfig(mode="on", visible=True)
    assert request.extensions == {
        "ollama_chat": {
            "keep_alive": "10m",
            "truncate": False,
            "options": {"min_p": 0.05, "num_ctx": 8192},
        }
    }


def test_parsing_says_what_routing_needs() -> None:
    parsed = PROTOCOL.parse_request((FIXTURES / "request.json").read_bytes(), Target())
    assert (parsed.model, parsed.stream, parsed.max_output_tokens) == ("qwen3:8b", True, 256)
    assert parsed.include_usage


@pytest.mark.parametrize("stream", [True, False, None])
def test_streaming_is_on_unless_switched_off(stream: bool | None) -> None:
    assert decode({"model": "m", "messages": HELLO, "stream": stream}).stream is (
        stream is not False
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": HELLO}, "model"),
        ({"model": "", "messages": HELLO}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": "hi"}, "messages"),
        ({"model": "m", "messages": [{"role": "user", "content": []}]}, "messages.0.content"),
        ({"model": "m", "messages": HELLO, "options": {"seed": "x"}}, "options.seed"),
        ({"model": "m", "messages": HELLO, "think": 3}, "think"),
        ({"model": "m", "messages": HELLO, "format": 1}, "format"),
        (
            {
                "model": "m",
                "messages": [{"tool_calls": [{"function": {"name": "f", "arguments": 1}}]}],
            },
            "messages.0.tool_calls.0.function.arguments",
        ),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        PROTOCOL.parse_request(json.dumps(body).encode(), Target())
    # msgspec cannot say which item of a list it was in.
    assert (caught.value.param or "").replace("...", "0") == param


@given(st.binary(max_size=60))
def test_nonsense_is_an_invalid_request(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"later":"\xff"}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"later":' + b"[" * 5000,
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"later":1e999}',
    ],
)
def test_nonsense_in_unknown_fields_is_an_invalid_request(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode(body)


def test_results_without_ids_find_their_calls() -> None:
    calls: list[Any] = [{"function": {"name": name, "arguments": {}}} for name in ("a", "b", "a")]
    results = [{"role": "tool", "content": "x", "tool_name": name} for name in ("a", "a", "b")]
    nameless = {"role": "tool", "content": "stray"}
    request = decode({"model": "m", "messages": [{"tool_calls": calls}, *results, nameless]})
    found = [message.parts[0] for message in request.messages[1:]]
    assert [part.call_id for part in found if isinstance(part, ToolResult)] == [
        "call_0_0",
        "call_0_2",
        "call_0_1",
        "call_4_result",
    ]


def test_passing_on_changes_the_model_alone() -> None:
    body = b'{ "future":1.50, "model" : "public", "messages":[ {"role":"user","content":"x"} ] }'
    parsed = PROTOCOL.parse_request(body, Target())
    same = PROTOCOL.repeat_request(parsed, ModelProfile(model="public"))
    other = PROTOCOL.repeat_request(parsed, ModelProfile(model="qwen3:8b"))
    assert same.body == body
    assert other.body == (
        b'{"future":1.50,"model":"qwen3:8b","messages":[ {"role":"user","content":"x"} ]}'
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
names = st.sampled_from(["look", "sum", "now"])
extras = st.fixed_dictionaries({}, optional={"future": json_values, "x_more": json_values})


def objects(
    required: dict[str, Any], optional: dict[str, Any]
) -> st.SearchStrategy[dict[str, Any]]:
    fields = st.fixed_dictionaries(required, optional=optional)
    return st.tuples(fields, extras).map(lambda pair: pair[0] | pair[1])


calls = objects(
    {
        "function": objects(
            {"name": names},
            {"arguments": st.dictionaries(st.text(max_size=3), json_values, max_size=2)},
        )
    },
    {"id": st.sampled_from(["c1", "c2"]), "type": st.just("function")},
)
turns = objects(
    {"role": st.sampled_from(["system", "user", "assistant", "developer", "control"])},
    {
        "content": st.none() | st.text(max_size=6),
        "thinking": st.text(max_size=4),
        "images": st.lists(st.sampled_from(["iVBORw0KGgo=", "/9j/4AAQ", "AAAA"]), max_size=2),
        "tool_calls": st.none() | st.lists(calls, max_size=2),
        "tool_name": names,
    },
)
results = objects(
    {"role": st.just("tool"), "content": st.text(max_size=6)},
    {"tool_name": names, "tool_call_id": st.sampled_from(["c1", "c9"]), "thinking": st.text()},
)
tools = objects(
    {
        "type": st.just("function"),
        "function": objects(
            {"name": names},
            {
                "description": st.text(max_size=4),
                "parameters": st.dictionaries(st.text(max_size=3), json_values, max_size=2),
            },
        ),
    },
    {},
) | objects({"type": st.just("retrieval")}, {"index": st.integers(0, 3)})
numbers = st.floats(-2, 2, allow_nan=False) | st.none()
bodies = objects(
    {"model": st.just("qwen3:8b"), "messages": st.lists(turns | results, min_size=1, max_size=4)},
    {
        "tools": st.none() | st.lists(tools, max_size=2),
        "format": st.sampled_from(["", "json", "yaml", None, {"type": "object"}]),
        "think": st.sampled_from([True, False, None, "low", "max", "unheard-of"]),
        "stream": st.booleans(),
        "logprobs": st.booleans(),
        "top_logprobs": st.integers(0, 20),
        "keep_alive": st.sampled_from(["5m", -1, 0]),
        "options": objects(
            {},
            {
                "num_predict": st.integers(-2, 9),
                "temperature": numbers,
                "top_p": numbers,
                "top_k": st.integers(0, 9),
                "seed": st.integers(),
                "stop": st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=2),
                "presence_penalty": numbers,
                "frequency_penalty": numbers,
                "min_p": numbers,
                "mirostat": st.integers(0, 2),
            },
        ),
    },
)


@given(bodies)
def test_nothing_is_lost_on_the_way_through_the_canonical_form(body: dict[str, Any]) -> None:
    request = decode(body)
    encoded = PROTOCOL.encode_request(request, ModelProfile())
    assert decode(encoded.body) == request
    assert not [note for note in encoded.notes if note.action == "dropped"]
