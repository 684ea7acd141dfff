"""The demonstration upstream."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from dragoman.providers.demo import demo_reply
from dragoman.providers.demo_schema import instance
from dragoman.wire.http import HttpRequest
from dragoman.wire.sse import SSEReader


def call(path: str, body: Any = None, method: str = "POST") -> tuple[int, dict[str, str], bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = HttpRequest(method=method, url=f"demo:{path}", headers={}, body=data)
    status, headers, chunks = demo_reply(request)
    pieces = list(chunks)
    assert all(pieces), "an empty chunk means the end of the body"
    return status, dict(headers), b"".join(pieces)


def chat(text: Any = "Hello there", **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    status, _, body = call("/chat/completions", {"model": "echo", "messages": messages, **fields})
    assert status == 200, body
    answer: dict[str, Any] = json.loads(body)
    ChatCompletion.model_validate(answer, strict=True)
    return answer


def said(text: Any = "Hello there", **fields: Any) -> str:
    content = chat(text, **fields)["choices"][0]["message"]["content"]
    assert isinstance(content, str)
    return content


def streamed(**fields: Any) -> list[dict[str, Any]]:
    status, headers, body = call("/chat/completions", {"model": "echo", "stream": True, **fields})
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    events = [event.data for event in SSEReader().feed(body)]
    assert events.pop() == b"[DONE]"
    chunks = [json.loads(data or b"") for data in events]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    return chunks


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "day": {}},
            "required": ["city", "unit"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}


def test_it_says_back_what_the_user_said_last() -> None:
    answer = chat()
    choice = answer["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "Hello there"}
    assert choice["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    assert answer == chat()
    assert answer["id"] != chat("Hello you")["id"]


def test_a_stream_comes_word_by_word_and_says_the_same() -> None:
    messages = [{"role": "user", "content": "one  two\nthree"}]
    chunks = streamed(messages=messages, stream_options={"include_usage": True})
    pieces = [chunk["choices"][0]["delta"].get("content") for chunk in chunks[:-1]]
    assert pieces == ["", "one  ", "two\n", "three", None]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 6
    assert all("usage" not in chunk for chunk in streamed(messages=messages))


@pytest.mark.parametrize(
    ("text", "choice", "name"),
    [
        ("Please use a tool.", None, "get_weather"),
        ("Call the tool!", "auto", "get_weather"),
        ("use clock", None, "clock"),
        ("Now call the tool `clock`, please", None, "clock"),
        ("Hello", "required", "get_weather"),
        ("Hello", {"type": "function", "function": {"name": "clock"}}, "clock"),
        ("The clock stands still, and get_weather is a name", None, None),
        ("use a tool", "none", None),
    ],
)
def test_it_calls_a_tool_when_asked(text: str, choice: Any, name: str | None) -> None:
    fields = {} if choice is None else {"tool_choice": choice}
    answered = chat(text, tools=[WEATHER, CLOCK], **fields)["choices"][0]
    calls = answered["message"].get("tool_calls", [])
    assert [call["function"]["name"] for call in calls] == ([name] if name else [])
    assert answered["finish_reason"] == ("tool_calls" if name else "stop")
    if name == "get_weather":
        assert json.loads(calls[0]["function"]["arguments"]) == {"city": "text", "unit": "C"}


def test_a_tool_call_is_streamed_in_pieces() -> None:
    chunks = streamed(messages=[{"role": "user", "content": "use a tool"}], tools=[WEATHER, CLOCK])
    deltas = [chunk["choices"][0]["delta"].get("tool_calls", [{}])[0] for chunk in chunks]
    calls = [delta for delta in deltas if delta]
    assert calls[0]["id"].startswith("call_demo_")
    assert calls[0]["function"]["name"] == "get_weather"
    arguments = "".join(call["function"]["arguments"] for call in calls)
    assert json.loads(arguments) == {"city": "text", "unit": "C"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_it_tells_what_the_tools_answered() -> None:
    history = [
        {"role": "user", "content": "use a tool"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "noon"},
        {"role": "tool", "tool_call_id": "?", "content": [{"type": "text", "text": "rain"}]},
    ]
    answer = chat(messages=history, tools=[CLOCK], tool_choice="required")
    assert answer["choices"][0]["message"]["content"] == (
        "clock answered: noon\nThe tool answered: rain"
    )


def test_it_names_what_it_sees() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    sound = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
    assert said([{"type": "text", "text": "Look."}, image, sound, image]) == (
        "Look.\n(I see 2 images and a sound.)"
    )
    assert said([image]) == "(I see an image.)"
    assert chat([image])["usage"]["prompt_tokens"] == 10


@pytest.mark.parametrize(
    ("fields", "text", "finish"),
    [
        ({"max_tokens": 2}, "one two ", "length"),
        ({"max_completion_tokens": 3}, "one two three", "stop"),
        ({"stop": "two"}, "one ", "stop"),
        ({"stop": ["three", "two"]}, "one ", "stop"),
        ({"response_format": {"type": "json_object"}}, '{"echo":"one two three"}', "stop"),
        ({"response_format": {"type": "text"}}, "one two three", "stop"),
    ],
)
def test_limits_and_formats(fields: dict[str, Any], text: str, finish: str) -> None:
    choice = chat("one two three", **fields)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, finish)


def test_a_schema_is_filled_in() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    format = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert said("x", response_format=format) == '{"n":0}'


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, "text"),
        ({"type": "string", "minLength": 6, "maxLength": 7}, "text.."),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "number", "maximum": -1}, -1),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "null"}, None),
        ({"const": {"a": 1}}, {"a": 1}),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"type": "array", "items": {"type": "integer"}}, []),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 0),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"enum": [7]}}}, 7),
        (
            {
                "allOf": [
                    {"$ref": "#/$defs/A"},
                    {"properties": {"b": {"type": "integer"}}, "required": ["b"]},
                ],
                "$defs": {"A": {"properties": {"a": {"const": 1}}, "required": ["a"]}},
            },
            {"a": 1, "b": 0},
        ),
    ],
)
def test_instances(schema: dict[str, Any], value: Any) -> None:
    assert instance(schema) == value


def test_endless_schemas_end() -> None:
    properties = {name: {"$ref": "#"} for name in "abcdefgh"}
    endless = {"type": "object", "properties": properties, "required": list(properties)}
    assert set(instance(endless)) == set("abcdefgh")
    assert len(json.dumps(instance(endless))) < 100_000


def test_embeddings_are_small_unit_vectors_of_their_text() -> None:
    def embed(value: Any, **fields: Any) -> list[list[float]]:
        status, _, body = call("/embeddings", {"model": "echo", "input": value, **fields})
        assert status == 200
        answer = json.loads(body)
        CreateEmbeddingResponse.model_validate(answer, strict=True)
        return [item["embedding"] for item in answer["data"]]

    first, second = embed(["a", "b"])
    assert embed("a") == [first]
    assert first != second
    assert math.isclose(sum(x * x for x in first), 1, abs_tol=1e-4)
    assert [len(vector) for vector in embed([[1, 2], [3]], dimensions=3)] == [3, 3]
    assert len(embed([1, 2, 3])) == 1


def test_models_are_listed() -> None:
    status, _, body = call("/models", b"", "GET")
    assert (status, [model["id"] for model in json.loads(body)["data"]]) == (200, ["echo"])
    assert json.loads(call("/models/echo", b"", "GET")[2])["id"] == "echo"


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "code"),
    [
        ("/chat/completions", {"model": "gpt-6"}, 404, "model", "model_not_found"),
        ("/chat/completions", {}, 400, "model", None),
        ("/chat/completions", b"?", 400, None, None),
        ("/chat/completions", {"model": "echo"}, 400, "messages", None),
        ("/chat/completions", {"model": "echo", "messages": [1]}, 400, "messages.0", None),
        ("/embeddings", {"model": "echo"}, 400, "input", None),
        ("/embeddings", {"model": "echo", "input": []}, 400, "input", None),
        ("/embeddings", {"model": "echo", "input": "a", "dimensions": 0}, 400, "dimensions", None),
        ("/images", {"model": "echo"}, 404, None, "unknown_url"),
    ],
)
def test_mistakes_are_told_as_openai_tells_them(
    path: str, body: Any, status: int, param: str | None, code: str | None
) -> None:
    found, headers, data = call(path, body)
    error = json.loads(data)["error"]
    assert (found, error["param"], error["code"]) == (status, param, code)
    assert error["message"]
    assert headers["content-type"] == "application/json"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "function", "name", "content", "id", "schema", "properties"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {
            "model": st.just("echo"),
            "messages": st.lists(
                st.fixed_dictionaries(
                    {"role": st.sampled_from(["user", "tool", "assistant"])},
                    optional={
                        "content": anything,
                        "tool_calls": anything,
                        "tool_call_id": anything,
                    },
                ),
                min_size=1,
                max_size=3,
            ),
        },
        optional={
            "tools": anything,
            "tool_choice": anything,
            "stop": anything,
            "max_tokens": anything,
            "response_format": anything,
            "stream": st.booleans(),
            "stream_options": anything,
        },
    )
)
def test_odd_requests_get_an_answer(body: dict[str, Any]) -> None:
    assert call("/chat/completions", body)[0] == 200
