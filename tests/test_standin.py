"""The stand-in upstream is true to the vendors: their own SDKs, pointed straight at it, agree."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import anthropic
import openai
import pytest
from google import genai

from tests.support.clients.anthropic import AnthropicMessages
from tests.support.clients.base import ANSWER_SCHEMA, TIME, WEATHER, Ask, Client, Failed
from tests.support.clients.gemini import GeminiGenerate
from tests.support.clients.openai_chat import OpenAIChat
from tests.support.clients.openai_responses import OpenAIResponses
from tests.support.standin.script import (
    CONCLUSION,
    GREETING,
    PNG,
    PREAMBLE,
    REFUSAL,
    STRUCTURED,
    THOUGHT,
    vector,
)
from tests.support.upstream import KEY, StandIn

CLIENTS = [OpenAIChat, OpenAIResponses, AnthropicMessages, GeminiGenerate]
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


@pytest.fixture(params=CLIENTS, ids=[client.protocol for client in CLIENTS])
def client(request: pytest.FixtureRequest, upstream: StandIn) -> Client:
    made: Client = request.param(upstream.url, KEY)
    return made


@both_ways
@pytest.mark.parametrize("scenario", ["text", "shredded", "slow"])
def test_text(client: Client, stream: bool, scenario: str, upstream: StandIn) -> None:
    answer = client.ask(Ask(scenario, "Hello", system="Be kind.", stream=stream))
    assert answer.text == GREETING
    assert (answer.input_tokens, answer.output_tokens) == (21, 17)
    assert answer.finish in ("stop", "completed", "end_turn", "STOP")
    assert len(upstream.requests) == 1


@both_ways
@pytest.mark.parametrize("scenario", ["tools", "parallel-tools"])
def test_tools(client: Client, stream: bool, scenario: str) -> None:
    question = Ask(scenario, "Weather and time?", tools=[WEATHER, TIME], stream=stream)
    called = client.ask(question)
    assert called.text == PREAMBLE
    found = [(call.name, call.arguments) for call in called.calls]
    wanted: list[Any] = [("get_weather", {"city": "Paris", "unit": "c"})]
    results = ["18 degrees"]
    if scenario == "parallel-tools":
        wanted.append(("get_time", {"zone": "Asia/Tokyo", "short": True}))
        results.append("09:30")
    assert found == wanted
    told = client.follow(question, called, results, "")
    assert told.text.startswith("Tools: get_weather said 18 degrees")
    assert ("09:30" in told.text) == (len(results) == 2)


@both_ways
def test_reasoning_comes_back(client: Client, stream: bool) -> None:
    question = Ask("reasoning", "2+2?", think=True, stream=stream)
    answer = client.ask(question)
    assert (answer.reasoning, answer.text) == (THOUGHT, CONCLUSION)
    proofs = 0 if client.protocol == "openai_chat" else 1
    second = client.follow(question, answer, [], "Sure?")
    assert second.text == f"Came back: {proofs} signatures, 1 thoughts."


@both_ways
def test_reasoning_with_tools(client: Client, stream: bool) -> None:
    question = Ask("reasoning-tools", "Weather?", tools=[WEATHER], think=True, stream=stream)
    called = client.ask(question)
    assert called.reasoning == THOUGHT
    assert "18 degrees" in client.follow(question, called, ["18 degrees"], "").text


@both_ways
def test_structured_and_image(client: Client, stream: bool) -> None:
    answer = client.ask(Ask("structured", schema=ANSWER_SCHEMA, stream=stream))
    assert json.loads(answer.text) == STRUCTURED
    assert "2 intact" in client.ask(Ask("image", images=[PNG, PNG], stream=stream)).text
    with pytest.raises(Failed, match="none arrived"):
        client.ask(Ask("image", stream=stream))


@both_ways
def test_endings(client: Client, stream: bool) -> None:
    assert client.ask(Ask("length", stream=stream)).finish in (
        "length",
        "max_output_tokens",
        "max_tokens",
        "MAX_TOKENS",
    )
    refused = client.ask(Ask("refusal", stream=stream))
    assert refused.refusal == REFUSAL or refused.finish == "SAFETY"
    cached = client.ask(Ask("cached-usage", stream=stream))
    assert (cached.input_tokens, cached.cached_tokens) == (1000, 800)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503, 529])
@both_ways
def test_errors(client: Client, status: int, stream: bool) -> None:
    with pytest.raises(Failed, match="stand-in was told") as caught:
        client.ask(Ask(f"error-{status}", stream=stream))
    assert caught.value.status == status
    if status == 429 and client.protocol != "gemini_generate":
        assert caught.value.headers["retry-after"] == "7"


def test_broken_streams_reach_the_sdk_as_errors(client: Client, upstream: StandIn) -> None:
    network = (openai.OpenAIError, anthropic.AnthropicError, Failed, ConnectionError, OSError)
    for scenario in ("cut", "error-midway"):
        with pytest.raises(Exception) as caught:
            client.ask(Ask(scenario, stream=True))
        assert isinstance(caught.value, network) or "httpx" in type(caught.value).__module__


def test_a_stalled_stream_records_who_left(upstream: StandIn) -> None:
    sdk = openai.OpenAI(base_url=f"{upstream.url}/v1", api_key=KEY, max_retries=0)
    messages: Any = [{"role": "user", "content": "hi"}]
    stream = sdk.chat.completions.create(model="stall", messages=messages, stream=True)
    next(iter(stream))
    stream.close()
    assert upstream.last.left.wait(2)


BAD_REQUESTS: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/chat/completions", {"messages": []}, "too short"),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "top_k": 1}, "top_k"),
    (
        "/v1/chat/completions",
        {"messages": [{"role": "tool", "tool_call_id": "a", "content": "x"}]},
        "preceding",
    ),
    ("/v1/responses", {"input": [{"role": "user", "content": "x", "name": "n"}]}, "input[0]"),
    (
        "/v1/responses",
        {"input": [{"type": "function_call_output", "call_id": "a", "output": "x"}]},
        "No tool call",
    ),
    ("/v1/messages", {"messages": [{"role": "user", "content": "x"}]}, "max_tokens"),
    (
        "/v1/messages",
        {"max_tokens": 9, "messages": [{"role": "assistant", "content": "x"}]},
        "user",
    ),
    ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": ""}]}, "non-empty"),
    ("/v1beta/models/text:generateContent", {"contents": []}, "contents"),
    (
        "/v1beta/models/text:generateContent",
        {"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]},
        "valid role",
    ),
    ("/v1beta/models/text:generateContent", {"contents": [{"parts": [{"txt": "x"}]}]}, "txt"),
    ("/api/chat", {"messages": [{"role": "developer", "content": "x"}]}, "developer"),
    ("/api/chat", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "str"),
]


@pytest.mark.parametrize(("path", "body", "said"), BAD_REQUESTS)
def test_wrong_requests_are_refused(
    upstream: StandIn, path: str, body: dict[str, Any], said: str
) -> None:
    if "generateContent" not in path:
        body = {"model": "text", **body}
    status, answer = post(upstream, path, body)
    assert status == 400
    assert said in json.dumps(answer)


def test_ollama_chat_and_stream(upstream: StandIn) -> None:
    body = {"model": "text", "messages": [{"role": "user", "content": "x"}], "stream": False}
    status, answer = post(upstream, "/api/chat", body)
    assert status == 200
    assert answer["message"]["content"] == GREETING
    request = _request(upstream, "/api/chat", {**body, "stream": True})
    with urllib.request.urlopen(request, timeout=10) as reply:
        lines = [json.loads(line) for line in reply]
    assert "".join(line["message"]["content"] for line in lines) == GREETING
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]


def test_side_endpoints(upstream: StandIn) -> None:
    sdk = openai.OpenAI(base_url=f"{upstream.url}/v1", api_key=KEY, max_retries=0)
    assert sdk.embeddings.create(model="embed", input="one").data[0].embedding == vector("one")
    assert sdk.completions.create(model="text", prompt="x").choices[0].text == GREETING
    chunks = sdk.completions.create(model="text", prompt="x", stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == GREETING
    assert "text" in [model.id for model in sdk.models.list()]
    claude = anthropic.Anthropic(base_url=upstream.url, api_key=KEY, max_retries=0)
    messages: Any = [{"role": "user", "content": "x"}]
    assert claude.messages.count_tokens(model="text", messages=messages).input_tokens == 14
    assert "text" in [model.id for model in claude.models.list()]
    google = genai.Client(
        api_key=KEY, http_options={"base_url": upstream.url, "api_version": "v1beta"}
    )
    assert google.models.count_tokens(model="text", contents="x").total_tokens == 14
    vectors = google.models.embed_content(model="embed", contents=["one", "two"]).embeddings
    assert [one.values for one in vectors or ()] == [vector("one"), vector("two")]
    assert post(upstream, "/api/embed", {"model": "embed", "input": ["one"]})[1]["embeddings"] == [
        vector("one")
    ]


def _request(upstream: StandIn, path: str, body: dict[str, Any]) -> urllib.request.Request:
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {KEY}",
        "x-goog-api-key": KEY,
        "anthropic-version": "2023-06-01",
    }
    return urllib.request.Request(upstream.url + path, json.dumps(body).encode(), headers)


def post(upstream: StandIn, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """(status, decoded answer) of a raw request."""
    try:
        with urllib.request.urlopen(_request(upstream, path, body), timeout=10) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
