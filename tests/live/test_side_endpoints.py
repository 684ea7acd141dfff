"""Embeddings, token counts and legacy completions through the gateway, with the official SDKs; and
the examples of the README as they stand there."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from tests.support.gateway import BASES, TOKEN, Gateway
from tests.support.standin.script import GREETING, vector
from tests.support.standin.side import COUNTED_TOKENS
from tests.support.upstream import StandIn

EMBEDDING = ("openai_chat", "gemini_generate", "ollama_chat")
every_embedder = pytest.mark.parametrize("upstream_name", EMBEDDING)
every_upstream = pytest.mark.parametrize("upstream_name", BASES)


@pytest.fixture(scope="module")
def openai_sdk(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN, max_retries=0)


@pytest.fixture(scope="module")
def anthropic_sdk(gateway: Gateway) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=gateway.url, api_key=TOKEN, max_retries=0)


@pytest.fixture(scope="module")
def google_sdk(gateway: Gateway) -> genai.Client:
    return genai.Client(api_key=TOKEN, http_options=types.HttpOptions(base_url=gateway.url))


@every_embedder
@pytest.mark.parametrize("form", ["float", "base64"])
def test_openai_embeddings(openai_sdk: openai.OpenAI, upstream_name: str, form: Any) -> None:
    answer = openai_sdk.embeddings.create(
        model=f"{upstream_name}/embed", input=["one", "zwei 世界"], encoding_format=form
    )
    assert [one.index for one in answer.data] == [0, 1]
    if form == "float":  # asked for by name, base64 is handed on as it is
        assert [one.embedding for one in answer.data] == [vector("one"), vector("zwei 世界")]
    plain = openai_sdk.embeddings.create(model=f"{upstream_name}/embed", input="one")
    assert plain.data[0].embedding == vector("one")  # the SDK asked for base64 and decoded it


@every_embedder
def test_openai_embeddings_of_fewer_dimensions(
    openai_sdk: openai.OpenAI, upstream_name: str
) -> None:
    answer = openai_sdk.embeddings.create(model=f"{upstream_name}/embed", input="one", dimensions=3)
    assert answer.data[0].embedding == vector("one", 3)


@every_embedder
def test_gemini_embeddings(google_sdk: genai.Client, upstream_name: str) -> None:
    answer = google_sdk.models.embed_content(
        model=f"{upstream_name}/embed", contents=["one", "two"]
    )
    assert [one.values for one in answer.embeddings or ()] == [vector("one"), vector("two")]


@every_embedder
def test_ollama_embeddings(gateway: Gateway, upstream_name: str) -> None:
    answer = post(gateway, "/api/embed", {"model": f"{upstream_name}/embed", "input": "one"})
    assert answer["embeddings"] == [vector("one")]


@every_upstream
def test_anthropic_counts_tokens(anthropic_sdk: anthropic.Anthropic, upstream_name: str) -> None:
    """Exact where the upstream counts, an estimate elsewhere: clients need some number."""
    counted = anthropic_sdk.messages.count_tokens(
        model=f"{upstream_name}/text", messages=[{"role": "user", "content": "How many tokens?"}]
    )
    assert counted.input_tokens > 0
    if upstream_name in ("anthropic_messages", "gemini_generate"):
        assert counted.input_tokens == COUNTED_TOKENS


@every_upstream
def test_gemini_counts_tokens(google_sdk: genai.Client, upstream_name: str) -> None:
    counted = google_sdk.models.count_tokens(model=f"{upstream_name}/text", contents="How many?")
    assert counted.total_tokens
    if upstream_name in ("anthropic_messages", "gemini_generate"):
        assert counted.total_tokens == COUNTED_TOKENS


@every_upstream
def test_openai_counts_tokens(openai_sdk: openai.OpenAI, upstream_name: str) -> None:
    counted = openai_sdk.responses.input_tokens.count(
        model=f"{upstream_name}/text", input="How many?"
    )
    assert counted.input_tokens > 0


@every_upstream
def test_legacy_completions(openai_sdk: openai.OpenAI, upstream_name: str) -> None:
    model = f"{upstream_name}/text"
    whole = openai_sdk.completions.create(model=model, prompt="Say hello.", max_tokens=64)
    assert whole.choices[0].text == GREETING
    assert whole.usage
    assert whole.usage.total_tokens == 38
    chunks = openai_sdk.completions.create(
        model=model, prompt="Say hello.", stream=True, stream_options={"include_usage": True}
    )
    texts, usage = [], None
    for chunk in chunks:
        texts += [choice.text for choice in chunk.choices]
        usage = chunk.usage or usage
    assert "".join(texts) == GREETING
    assert usage
    assert usage.total_tokens == 38


@every_upstream
@pytest.mark.row("S2-89")
def test_the_openai_example(openai_sdk: openai.OpenAI, upstream_name: str) -> None:
    model = f"{upstream_name}/text"
    whole = openai_sdk.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Hello!"}]
    )
    assert whole.choices[0].message.content == GREETING
    stream = openai_sdk.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Hello!"}], stream=True
    )
    told = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert told == GREETING


@every_upstream
@pytest.mark.row("S2-90")
def test_the_anthropic_example(anthropic_sdk: anthropic.Anthropic, upstream_name: str) -> None:
    answer = anthropic_sdk.messages.create(
        model=f"{upstream_name}/text",
        max_tokens=1024,
        messages=[{"role": "user", "content": "Hello!"}],
    )
    assert answer.content[0].type == "text"
    assert answer.content[0].text == GREETING


@every_upstream
@pytest.mark.row("S2-91", "S2-93", "S2-94", "S2-95")
def test_the_raw_examples(gateway: Gateway, upstream: StandIn, upstream_name: str) -> None:
    """The bodies that the README sends with curl and httpx; Gemini's has no role."""
    model = f"{upstream_name}/text"
    hello: list[Any] = [{"role": "user", "content": "Hello!"}]
    chat = post(gateway, "/v1/chat/completions", {"model": model, "messages": hello})
    assert chat["choices"][0]["message"]["content"] == GREETING
    body = {"model": model, "max_tokens": 1024, "messages": hello}
    claude = post(gateway, "/v1/messages", body, {"x-api-key": TOKEN})
    assert claude["content"][0]["text"] == GREETING
    google = post(
        gateway,
        f"/v1beta/models/{model}:generateContent",
        {"contents": [{"parts": [{"text": "Hello!"}]}]},
        {"x-goog-api-key": TOKEN},
    )
    assert google["candidates"][0]["content"]["parts"][0]["text"] == GREETING
    assert len(upstream.requests) == 3


def post(
    gateway: Gateway, path: str, body: dict[str, Any], key: dict[str, str] | None = None
) -> Any:
    """The decoded answer of a raw request; raises HTTPError for anything but success."""
    headers = {"content-type": "application/json", **(key or {"authorization": f"Bearer {TOKEN}"})}
    if "x-api-key" in headers:
        headers["anthropic-version"] = "2023-06-01"
    request = urllib.request.Request(gateway.url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.loads(reply.read())
