"""What reaches Vertex AI in its native protocol, and what comes back; and the endings of model names."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from google.genai import types

from tests.live.raw import ask
from tests.live.vertex_site import API_KEY, EXPRESS_KEY, MODEL, Site, accounts, serving
from tests.support.clients.base import TIME, WEATHER, Ask
from tests.support.clients.gemini import GeminiGenerate
from tests.support.google import Google
from tests.support.standin import side
from tests.support.standin.script import (
    CONCLUSION,
    GREETING,
    PNG,
    THOUGHT,
    TIME_TOKYO,
    WEATHER_PARIS,
    vector,
)

DIRECT = f"{MODEL}-openai"
AS_CLIENT = {"authorization": f"Bearer {API_KEY}"}


@pytest.fixture(scope="module")
def server() -> Iterator[Google]:
    with Google() as google:
        google.express_keys.add(EXPRESS_KEY)
        google.account("one", 1)
        yield google


@pytest.fixture
def google(server: Google) -> Google:
    server.clear()
    return server


@pytest.fixture(scope="module")
def _site(server: Google) -> Iterator[Site]:
    (account,) = accounts(server)
    environ = {"GOOGLE_CREDENTIALS_JSON": account.json(server.token_uri)}
    with serving(server, environ) as site:
        yield site


@pytest.fixture
def site(google: Google, _site: Site) -> Site:
    """One account, and nothing else."""
    return _site


# --- The native protocol ---------------------------------------------------------------------------


@pytest.mark.row("S1-1", "S1-21", "S1-26", "S1-27")
def test_a_chat_completion_becomes_generate_content(site: Site) -> None:
    answer = site.openai.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": "You are a helpful coding assistant."},
            {"role": "user", "content": "Explain lists."},
        ],
        temperature=0.7,
        max_tokens=150,
    )
    assert answer.choices[0].message.content == GREETING
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 38
    assert site.last.method == "generateContent"
    assert site.last.body == {
        "contents": [{"role": "user", "parts": [{"text": "Explain lists."}]}],
        "systemInstruction": {"parts": [{"text": "You are a helpful coding assistant."}]},
        "generationConfig": {"maxOutputTokens": 150, "temperature": 0.7},
    }


@pytest.mark.row("S1-20")
def test_a_stream_is_streamed_from_google(site: Site) -> None:
    pieces = [
        chunk.choices[0].delta.content
        for chunk in site.say(stream=True)
        if chunk.choices and chunk.choices[0].delta.content
    ]
    assert "".join(pieces) == GREETING
    assert len(pieces) > 3
    assert site.last.method == "streamGenerateContent"


@pytest.mark.row("S1-28")
@pytest.mark.parametrize("stream", [False, True])
def test_tools_and_their_results(site: Site, stream: bool) -> None:
    question = Ask(MODEL, "scenario=parallel-tools", tools=[WEATHER, TIME], stream=stream)
    first = site.chat.ask(question)
    assert [call.name for call in first.calls] == [WEATHER_PARIS.name, TIME_TOKYO.name]
    assert first.calls[0].arguments == json.loads(WEATHER_PARIS.arguments)
    assert first.finish == "tool_calls"
    second = site.chat.follow(question, first, ["sunny", "noon"], "")
    assert second.text == "Tools: get_weather said sunny; get_time said noon."


@pytest.mark.row("S1-28")
@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("none", {"mode": "NONE"}),
        ("auto", {"mode": "AUTO"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "get_weather"}},
            {"mode": "ANY", "allowedFunctionNames": ["get_weather"]},
        ),
    ],
)
def test_tool_choice(site: Site, choice: Any, config: dict[str, Any]) -> None:
    function = {"name": "get_weather", "parameters": WEATHER.schema}
    site.say(tools=[{"type": "function", "function": function}], tool_choice=choice)
    assert site.last.body["toolConfig"] == {"functionCallingConfig": config}


@pytest.mark.row("S1-29")
def test_images_arrive_whole(site: Site) -> None:
    answer = site.chat.ask(Ask(MODEL, "scenario=image", images=[PNG, PNG]))
    assert answer.text == "2 intact image(s)."


@pytest.mark.row("S1-6", "S1-42")
def test_the_curl_example_of_the_adapter_works_as_it_is(site: Site) -> None:
    body = """{
    "model": "gemini-1.5-flash-latest",
    "messages": [
    {"role": "system", "content": "You are a helpful coding assistant."},
    {"role": "user", "content": "Explain the difference between lists and tuples in Python."}
    ],
    "temperature": 0.7,
    "max_tokens": 150
    }"""
    command = ["curl", "-sS", "-X", "POST", f"{site.gateway.url}/v1/chat/completions"]
    command += ["-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {API_KEY}"]
    done = subprocess.run([*command, "-d", body], capture_output=True, timeout=30, check=True)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == GREETING
    assert site.last.model == "gemini-3.5-flash-lite", "1.5 is no more"


@pytest.mark.row("S1-6")
def test_retired_names_reach_what_took_their_place_with_the_facts_of_that(site: Site) -> None:
    site.say("gemini-1.5-pro", max_tokens=60_000)
    assert site.last.model == "gemini-3.5-flash"
    assert site.last.body["generationConfig"]["maxOutputTokens"] == 60_000


@pytest.mark.row("S1-41")
@pytest.mark.parametrize("status", [400, 429, 503])
def test_googles_errors_become_openai_errors_with_their_status(site: Site, status: int) -> None:
    site.google.failing["one"] = status
    request = {"model": f"gemini-error-{status}", "messages": [{"role": "user", "content": "hi"}]}
    reply = ask(site.gateway, "POST", "/v1/chat/completions", request, AS_CLIENT)
    assert reply.status == status
    error = reply.json["error"]
    assert error["message"] == f"The stand-in was told to answer {status}."
    assert error.keys() == {"message", "type", "param", "code"}


@pytest.mark.row("S1-3")
def test_the_root_says_that_it_runs_and_asks_for_no_key(site: Site) -> None:
    reply = ask(site.gateway, "GET", "/", headers={})
    assert (reply.status, reply.json["status"]) == (200, "ok")


@pytest.mark.row("S1-2")
def test_models_are_listed_with_their_variants_for_those_with_a_key(site: Site) -> None:
    listed = {model.id: model for model in site.openai.models.list()}
    flash = [name for name in listed if name.startswith(f"{MODEL}-") and "lite" not in name]
    endings = {"search", "nothinking", "max", "openai", "openaisearch"}
    assert {name.removeprefix(f"{MODEL}-") for name in flash} == endings
    assert {MODEL, "gemini-2.5-pro", "gemini-3.5-flash", "gemini-3-pro-image-4k"} <= listed.keys()
    assert not {name for name in listed if "1.5" in name or "encrypt" in name}
    assert listed[MODEL].owned_by == "vertex"
    refused = ask(site.gateway, "GET", "/v1/models", headers={"authorization": "Bearer wrong"})
    assert refused.status == 401


@pytest.mark.row("S1-2")
def test_what_only_an_account_reaches_is_not_listed_without_one(google: Google) -> None:
    with serving(
        google, {"VERTEX_EXPRESS_API_KEY": f"{EXPRESS_KEY}, AQ.another-key-0123456789"}
    ) as site:
        listed = {model.id for model in site.openai.models.list()}
        assert {MODEL, f"{MODEL}-search"} <= listed
        assert DIRECT not in listed
        assert site.who_answers(3) == {EXPRESS_KEY: 3}, "the first of several that is well"
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            site.say(DIRECT)


def test_the_gemini_sdk_speaks_through_and_counts_tokens(site: Site) -> None:
    client = GeminiGenerate(site.gateway.url, API_KEY)
    for stream in (False, True):
        answer = client.ask(Ask(MODEL, "scenario=reasoning", think=True, stream=stream))
        assert (answer.text, answer.reasoning) == (CONCLUSION, THOUGHT)
    count = client.sdk.models.count_tokens(model=MODEL, contents="How many?")
    assert count.total_tokens == side.COUNTED_TOKENS
    assert site.last.path.endswith(f"/publishers/google/models/{MODEL}:countTokens")


def test_anthropic_clients_count_with_their_system_prompt(site: Site) -> None:
    request = {
        "model": MODEL,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "hi"}],
    }
    headers = {"x-api-key": API_KEY, "anthropic-version": "2023-06-01"}
    reply = ask(site.gateway, "POST", "/v1/messages/count_tokens", request, headers)
    assert reply.json == {"input_tokens": side.COUNTED_TOKENS}
    assert site.last.body.keys() == {"contents", "systemInstruction"}


def test_embeddings_are_predictions(site: Site) -> None:
    answer = site.openai.embeddings.create(
        model="text-embedding-005", input=["a", "b"], dimensions=4, encoding_format="float"
    )
    assert [one.embedding for one in answer.data] == [vector("a", 4), vector("b", 4)]
    assert site.last.path.endswith("/publishers/google/models/text-embedding-005:predict")


# --- Endings ---------------------------------------------------------------------------------------


@pytest.mark.row("S1-38")
def test_search_adds_googles_search(site: Site) -> None:
    function = {"name": "get_weather", "parameters": WEATHER.schema}
    site.say(f"{MODEL}-search", tools=[{"type": "function", "function": function}])
    assert site.last.model == MODEL
    assert site.last.body["tools"][-1] == {"googleSearch": {}}
    assert len(site.last.body["tools"]) == 2
    site.say(f"{MODEL}-openaisearch")
    assert site.last.body["web_search_options"] == {}


@pytest.mark.row("S1-38")
@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("gemini-2.5-flash-nothinking", {"thinkingBudget": 0, "includeThoughts": False}),
        ("gemini-2.5-pro-nothinking", {"thinkingBudget": 128, "includeThoughts": True}),
        ("gemini-2.5-flash-max", {"thinkingBudget": 24_576, "includeThoughts": True}),
        ("gemini-2.5-pro-max", {"thinkingBudget": 32_768, "includeThoughts": True}),
        ("gemini-3.5-flash-nothinking", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-3.5-flash-max", {"thinkingLevel": "HIGH", "includeThoughts": True}),
    ],
)
def test_endings_for_thinking_go_before_what_the_client_says(
    site: Site, model: str, thinking: dict[str, Any]
) -> None:
    site.say(model, reasoning_effort="low")
    assert site.last.body["generationConfig"]["thinkingConfig"] == thinking
    assert site.last.model == model.rpartition("-")[0]


def test_an_ending_that_does_not_suit_the_model_is_a_400(site: Site) -> None:
    for model in ("gemini-2.0-pro-exp-nothinking", "gemini-3-pro-image-max", f"{MODEL}-4k"):
        with pytest.raises(openai.BadRequestError):
            site.say(model)
    assert site.google.calls == []


def test_image_sizes(site: Site) -> None:
    site.say("gemini-3-pro-image-4k")
    config = site.last.body["generationConfig"]
    assert config == {"responseModalities": ["TEXT", "IMAGE"], "imageConfig": {"imageSize": "4K"}}


def test_endings_work_for_gemini_clients_in_either_spelling(site: Site) -> None:
    body = {
        "contents": [{"parts": [{"text": "hi"}]}],
        "generation_config": {"thinking_config": {"thinking_budget": 5, "include_thoughts": False}},
        "tools": [{"google_search": {}}],
    }
    for ending in ("max", "search"):
        path = f"/v1beta/models/{MODEL}-{ending}:generateContent"
        assert ask(site.gateway, "POST", path, body, {"x-goog-api-key": API_KEY}).status == 200
    thinking, search = (call.body for call in site.google.calls)
    config = {"thinkingBudget": 24_576, "includeThoughts": True}
    assert thinking["generation_config"]["thinking_config"] == config
    assert search["tools"] == [{"google_search": {}}]


@pytest.mark.parametrize("ending", ["-encrypt", "-encrypt-full", "-auto"])
def test_endings_that_disguise_prompts_are_refused(site: Site, ending: str) -> None:
    with pytest.raises(openai.NotFoundError, match="disguise the prompt"):
        site.say(f"{MODEL}{ending}")
    assert site.google.calls == []


def test_what_an_ending_changes_is_noted(site: Site) -> None:
    request = {"model": f"{MODEL}-search", "messages": [{"role": "user", "content": "hi"}]}
    reply = ask(site.gateway, "POST", "/v1/chat/completions", request, AS_CLIENT)
    assert reply.headers["dragoman-translation"] == "emulated=1"
    assert reply.headers["dragoman-model"] == f"{MODEL}-search"


# --- Safety settings -------------------------------------------------------------------------------


def test_safety_settings_are_the_upstreams_unless_the_operator_says_otherwise(
    google: Google, site: Site
) -> None:
    site.say()
    assert "safetySettings" not in site.last.body
    (account,) = accounts(google)
    environ = {
        "GOOGLE_CREDENTIALS_JSON": account.json(google.token_uri),
        "VERTEX_SAFETY_SETTINGS": "block_none",
    }
    with serving(google, environ) as safe:
        safe.say()
        settings = safe.last.body["safetySettings"]
        assert {one["threshold"] for one in settings} == {"BLOCK_NONE"}
        assert len({one["category"] for one in settings}) == 4
        safe.say(DIRECT)
        assert safe.last.body["extra_body"]["google"]["safety_settings"] == settings
        own = types.SafetySetting(
            category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
            threshold=types.HarmBlockThreshold.BLOCK_ONLY_HIGH,
        )
        client = GeminiGenerate(safe.gateway.url, API_KEY)
        client.sdk.models.generate_content(
            model=MODEL,
            contents="hi",
            config=types.GenerateContentConfig(safety_settings=[own]),
        )
        assert [one["threshold"] for one in safe.last.body["safetySettings"]] == ["BLOCK_ONLY_HIGH"]
