"""Vertex AI's OpenAI direct mode, and streams that are none."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator

import openai
import pytest

from tests.live.raw import ask
from tests.live.vertex_site import API_KEY, EXPRESS_KEY, MODEL, Site, accounts, serving
from tests.support.clients.base import TIME, WEATHER, Ask
from tests.support.google import Google
from tests.support.standin.script import (
    CONCLUSION,
    PREAMBLE,
    THOUGHT,
    TIME_TOKYO,
    WEATHER_PARIS,
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


# --- OpenAI direct mode ----------------------------------------------------------------------------


@pytest.mark.row("S1-22", "S1-38")
@pytest.mark.parametrize("stream", [False, True])
def test_direct_mode_takes_the_reasoning_out_of_the_text(site: Site, stream: bool) -> None:
    answer = site.chat.ask(Ask(DIRECT, "scenario=reasoning", stream=stream))
    assert (answer.reasoning, answer.text) == (THOUGHT, CONCLUSION)
    assert answer.output_tokens == 17
    place = "/v1/projects/one-project/locations/global"
    assert site.last.path == f"{place}/endpoints/openapi/chat/completions"
    assert site.last.body["model"] == f"google/{MODEL}"
    assert site.last.body["extra_body"]["google"] == {
        "thought_tag_marker": "vertex_think_tag",
        "thinking_config": {"include_thoughts": True},
    }


@pytest.mark.row("S1-22")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("scenario", "reasoning", "text"),
    [("blocks", "First.\n\nSecond.", "One. Two."), ("unclosed", "It never ends.", "")],
)
def test_several_blocks_and_one_without_an_end(
    site: Site, scenario: str, reasoning: str, text: str, stream: bool
) -> None:
    answer = site.chat.ask(Ask(DIRECT, f"scenario={scenario}", stream=stream))
    assert answer.text == text
    assert answer.reasoning.replace("\n", "") == reasoning.replace("\n", "")
    assert "think_tag" not in json.dumps(answer.turn)


@pytest.mark.row("S1-23")
@pytest.mark.parametrize("stream", [False, True])
def test_direct_mode_keeps_tool_calls(site: Site, stream: bool) -> None:
    tools = [WEATHER, TIME]
    thought = site.chat.ask(Ask(DIRECT, "scenario=reasoning-tools", tools=tools, stream=stream))
    assert thought.reasoning == THOUGHT
    assert [call.name for call in thought.calls] == [WEATHER_PARIS.name]
    question = Ask(DIRECT, "scenario=parallel-tools", tools=tools, stream=stream)
    answer = site.chat.ask(question)
    assert answer.text == PREAMBLE
    assert [call.arguments for call in answer.calls] == [
        json.loads(WEATHER_PARIS.arguments),
        json.loads(TIME_TOKYO.arguments),
    ]
    assert answer.finish == "tool_calls"
    second = site.chat.follow(question, answer, ["sunny", "noon"], "")
    assert second.text == "Tools: get_weather said sunny; get_time said noon."


def test_direct_mode_turns_the_effort_into_a_budget_and_keeps_the_clients_extras(
    site: Site,
) -> None:
    site.say(DIRECT, reasoning_effort="low")
    thinking = {"include_thoughts": True, "thinking_budget": 1024}
    assert site.last.body["extra_body"]["google"]["thinking_config"] == thinking
    site.say("gemini-3.5-flash-openai", reasoning_effort="high")
    thinking = {"include_thoughts": True, "thinking_level": "high"}
    assert site.last.body["extra_body"]["google"]["thinking_config"] == thinking
    extra = {"google": {"thinking_config": {"thinking_budget": 7}, "cached_content": "c/1"}}
    site.say(DIRECT, extra_body={"extra_body": extra})
    assert site.last.body["extra_body"]["google"] == {
        "thinking_config": {"thinking_budget": 7},
        "cached_content": "c/1",
        "thought_tag_marker": "vertex_think_tag",
    }


def test_direct_mode_answers_clients_of_other_protocols_too(site: Site) -> None:
    request = {
        "model": DIRECT,
        "max_tokens": 500,
        "messages": [{"role": "user", "content": "scenario=reasoning"}],
    }
    headers = {"x-api-key": API_KEY, "anthropic-version": "2023-06-01"}
    blocks = ask(site.gateway, "POST", "/v1/messages", request, headers).json["content"]
    assert [(one["type"], one.get("thinking") or one.get("text")) for one in blocks] == [
        ("thinking", THOUGHT),
        ("text", CONCLUSION),
    ]


def test_direct_modes_errors_keep_their_status(site: Site) -> None:
    site.google.failing["one"] = 503
    with pytest.raises(openai.InternalServerError, match="told to answer 503") as failed:
        site.say("gemini-2.5-pro-openai")
    assert failed.value.status_code == 503


# --- Streams that are none -------------------------------------------------------------------------


@pytest.mark.row("S1-24", "S1-25")
@pytest.mark.parametrize("model", [MODEL, DIRECT])
def test_fake_streaming_keeps_the_client_company_until_the_answer_is_there(
    google: Google, faking: Site, model: str
) -> None:
    google.hold = threading.Event()
    connection = http.client.HTTPConnection("127.0.0.1", faking.gateway.port, timeout=20)
    prompt = [{"role": "user", "content": "scenario=reasoning"}]
    request = {"model": model, "messages": prompt, "stream": True, "reasoning_effort": "high"}
    body = json.dumps(request)
    headers = {"content-type": "application/json", **AS_CLIENT}
    connection.request("POST", "/v1/chat/completions", body, headers)
    reply = connection.getresponse()
    assert reply.headers["content-type"].startswith("text/event-stream")
    waited = [reply.readline() for _ in range(6)]
    assert [line for line in waited if line.strip()] == [b": keep-alive\n"] * 3
    google.hold.set()
    lines = reply.read().decode().splitlines()
    connection.close()
    deltas = [
        json.loads(line[6:])["choices"][0]["delta"]
        for line in lines
        if line.startswith("data: {") and '"choices":[]' not in line
    ]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == THOUGHT
    assert "".join(delta.get("content") or "" for delta in deltas) == CONCLUSION
    assert lines[-2] == "data: [DONE]"
    assert faking.last.method == ("generateContent" if model == MODEL else "openapi")
    assert not faking.last.body.get("stream")


@pytest.mark.row("S1-24")
def test_fake_streaming_streams_tool_calls(faking: Site) -> None:
    question = Ask(MODEL, "scenario=parallel-tools", tools=[WEATHER, TIME], stream=True)
    answer = faking.chat.ask(question)
    assert [call.name for call in answer.calls] == [WEATHER_PARIS.name, TIME_TOKYO.name]
    assert faking.last.method == "generateContent"


@pytest.mark.row("S1-25")
def test_without_an_interval_no_keep_alives_are_sent(google: Google) -> None:
    (account,) = accounts(google)
    environ = {
        "GOOGLE_CREDENTIALS_JSON": account.json(google.token_uri),
        "FAKE_STREAMING": "true",
        "FAKE_STREAMING_INTERVAL": "0",
    }
    with serving(google, environ) as site:
        google.hold = threading.Event()
        threading.Timer(0.5, google.hold.set).start()
        request = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": True}
        reply = ask(site.gateway, "POST", "/v1/chat/completions", request, AS_CLIENT)
        assert b"keep-alive" not in reply.body
        assert b"[DONE]" in reply.body


@pytest.fixture(scope="module")
def faking(server: Google) -> Iterator[Site]:
    """Fake streaming, with a keep-alive every tenth of a second."""
    (account,) = accounts(server)
    environ = {
        "GOOGLE_CREDENTIALS_JSON": account.json(server.token_uri),
        "FAKE_STREAMING": "True",
        "FAKE_STREAMING_INTERVAL": "0.1",
    }
    with serving(server, environ) as site:
        yield site
