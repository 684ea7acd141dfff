"""The examples of the gateway with one address for every dialect, as its document has them, host, port
and key aside: real curl in a real shell, the SDKs themselves, the configuration as it is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.support.documents import run
from tests.support.gateway import Gateway
from tests.support.standin.script import GREETING
from tests.support.upstream import KEY, StandIn

TOKEN = "sk-gw-documents-0123456789abcdef"
NARROW = "sk-gw-documents-narrow-0123456789"
CONFIG = """
{
  "settings": {
    "host": "0.0.0.0",
    "port": 3000,
    "require_auth": true,
    "enable_fallback": true,
    "enable_cors": true,
    "high_availability_mode": false,
    "auto_start": false
  },
  "channels": [
    {
      "id": 1,
      "name": "OpenAI",
      "type": "openai",
      "base_url": "https://api.openai.com/v1",
      "api_key": "sk-...",
      "models": ["gpt-4o", "gpt-4o-mini"],
      "enabled": true,
      "priority": 1,
      "timeout": 60,
      "max_retries": 3,
      "proxy_enabled": false,
      "proxy_url": "",
      "max_concurrency": null,
      "min_concurrency": 1,
      "max_adaptive_concurrency": 100,
      "response_time_low": 1.0,
      "response_time_high": 5.0,
      "error_rate_threshold": 0.1,
      "increase_step": 2,
      "decrease_factor": 0.8,
      "stats_window_size": 100,
      "cooldown_seconds": 5.0
    }
  ],
  "tokens": [
    {
      "id": 1,
      "name": "My Token",
      "key": "sk-gw-...",
      "enabled": true,
      "allowed_channels": [],
      "allowed_models": []
    }
  ]
}
"""


def printed(upstream: StandIn) -> Any:
    """The configuration with the stand-in for OpenAI, and with keys for the dots."""
    text = CONFIG.replace("https://api.openai.com/v1", f"{upstream.url}/v1")
    return json.loads(text.replace('"sk-..."', f'"{KEY}"').replace("sk-gw-...", TOKEN))


def extended(upstream: StandIn) -> Any:
    """The same with a channel of each documented type, and a token that may do little."""
    config = printed(upstream)
    others = [
        ("Anthropic", "anthropic", "", ["claude-sonnet-4-20250514"], True),
        ("Gemini", "gemini", "", ["gemini-pro"], True),
        ("Ollama", "ollama", "", ["llama3"], True),
        ("Own", "custom", "/v1", ["own-model"], True),
        ("Resting", "openai", "/v1", ["resting-model"], False),
    ]
    for number, (name, kind, path, models, enabled) in enumerate(others, start=2):
        channel = {**config["channels"][0], "id": number, "name": name, "type": kind}
        channel |= {"base_url": upstream.url + path, "models": models, "enabled": enabled}
        if kind == "custom":
            channel["protocol"] = "openai_chat"  # a field of ours
        config["channels"].append(channel)
    narrow = {**config["tokens"][0], "id": 2, "name": "Narrow", "key": NARROW}
    narrow |= {"allowed_channels": [1, 2], "allowed_models": ["gpt-4o", "gemini-pro"]}
    config["tokens"].append(narrow)
    return config


@pytest.fixture(scope="module")
def shared(upstream_server: StandIn) -> Iterator[Gateway]:
    with Gateway(extended(upstream_server)) as running:
        yield running


@pytest.fixture
def gateway(shared: Gateway, upstream: StandIn) -> Gateway:
    """One address for every provider; the upstream has seen nothing yet."""
    assert upstream.requests == []
    return shared


@pytest.mark.row("S2-69", "S2-70", "S2-71", "S2-86")
def test_the_printed_configuration_is_all_it_takes(upstream: StandIn) -> None:
    """A file and nothing else: no container, no database of somebody's own."""
    with Gateway(printed(upstream)) as running:
        client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=TOKEN)
        assert [model.id for model in client.models.list()] == ["gpt-4o", "gpt-4o-mini"]
        answer = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello!"}]
        )
        assert answer.choices[0].message.content == GREETING
        assert upstream.last.path == "/v1/chat/completions"
        assert upstream.last.json["model"] == "gpt-4o-mini"
        assert "warning" not in running.logs().lower()


@pytest.mark.row("S2-1", "S2-2", "S2-7", "S2-89")
def test_connecting_the_openai_sdk(gateway: Gateway, upstream: StandIn) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN)
    response = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hello!"}]
    )
    assert response.choices[0].message.content == GREETING
    assert upstream.last.headers["authorization"] == f"Bearer {KEY}"
    assert TOKEN not in str(upstream.last.headers)


@pytest.mark.row("S2-2", "S2-8", "S2-89")
def test_streaming_with_the_openai_sdk(gateway: Gateway) -> None:
    """The example looks at the first choice of every chunk, so each must have one."""
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN)
    response = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hello!"}], stream=True
    )
    said = [chunk.choices[0].delta.content for chunk in response]
    assert "".join(filter(None, said)) == GREETING
    assert len(said) > 3


@pytest.mark.filterwarnings("ignore:The model 'claude-sonnet:DeprecationWarning")  # the example's
@pytest.mark.row("S2-1", "S2-3", "S2-9", "S2-22", "S2-90")
def test_the_anthropic_sdk(gateway: Gateway, upstream: StandIn) -> None:
    client = anthropic.Anthropic(base_url=gateway.url, api_key=TOKEN)
    response = client.messages.create(
        model="claude-sonnet-4-20250514",
        max_tokens=1024,
        messages=[{"role": "user", "content": "Hello!"}],
    )
    assert response.content[0].type == "text"
    assert response.content[0].text == GREETING
    assert (upstream.last.path, upstream.last.headers["x-api-key"]) == ("/v1/messages", KEY)


@pytest.mark.filterwarnings("ignore:The model 'claude-sonnet:DeprecationWarning")
@pytest.mark.row("S2-92")
def test_the_variables_of_claude_code(
    gateway: Gateway, upstream: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its requests are replayed in ``test_captures``; here are its variables, which the SDK reads too."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", gateway.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", TOKEN)
    with anthropic.Anthropic().messages.stream(
        model="claude-sonnet-4-20250514",
        max_tokens=1024,
        messages=[{"role": "user", "content": "Hello!"}],
    ) as stream:
        assert "".join(stream.text_stream) == GREETING
    assert upstream.last.path == "/v1/messages"


@pytest.mark.row("S2-1", "S2-4", "S2-11", "S2-23", "S2-91")
def test_gemini_with_httpx(gateway: Gateway, upstream: StandIn) -> None:
    response = httpx.post(
        f"{gateway.url}/v1beta/models/gemini-pro:generateContent",
        headers={"x-goog-api-key": TOKEN},
        json={"contents": [{"parts": [{"text": "Hello!"}]}]},
    )
    assert response.status_code == 200
    (candidate,) = response.json()["candidates"]
    assert candidate["content"] == {"role": "model", "parts": [{"text": GREETING}]}
    assert upstream.last.path == "/v1beta/models/gemini-pro:generateContent"


@pytest.mark.row("S2-8", "S2-66", "S2-93")
def test_curl_in_openais_format(gateway: Gateway) -> None:
    said = run(
        gateway,
        """curl http://localhost:3000/v1/chat/completions \\
  -H "Authorization: Bearer your-token" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Hello!"}],
    "stream": true
  }'""",
        **{"your-token": TOKEN},
    )
    assert (said.status, said.content_type.partition(";")[0]) == (200, "text/event-stream")
    assert said.events[-1] == "[DONE]"
    assert {chunk["object"] for chunk in said.chunks} == {"chat.completion.chunk"}
    choices = [chunk["choices"][0] for chunk in said.chunks]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == GREETING
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]


@pytest.mark.row("S2-10", "S2-67", "S2-94")
def test_curl_in_anthropics_format(gateway: Gateway) -> None:
    said = run(
        gateway,
        """curl http://localhost:3000/v1/messages \\
  -H "x-api-key: your-token" \\
  -H "anthropic-version: 2023-06-01" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "claude-sonnet-4-20250514",
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "Hello!"}],
    "stream": true
  }'""",
        **{"your-token": TOKEN},
    )
    assert (said.status, said.content_type.partition(";")[0]) == (200, "text/event-stream")
    kinds = [event["type"] for event in said.chunks]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    named = [line[7:] for line in said.body.splitlines() if line.startswith("event: ")]
    assert named == kinds
    deltas = [event["delta"] for event in said.chunks if event["type"] == "content_block_delta"]
    assert "".join(delta["text"] for delta in deltas) == GREETING


@pytest.mark.row("S2-11", "S2-68", "S2-95")
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_curl_in_geminis_format(gateway: Gateway, streamed: bool) -> None:
    """The document prints the plain call, and says that streaming is supported."""
    command = """curl "http://localhost:3000/v1beta/models/gemini-pro:generateContent" \\
  -H "x-goog-api-key: your-token" \\
  -H "Content-Type: application/json" \\
  -d '{
    "contents": [{"parts": [{"text": "Hello!"}]}]
  }'"""
    if streamed:
        command = command.replace(":generateContent", ":streamGenerateContent?alt=sse")
    said = run(gateway, command, **{"your-token": TOKEN})
    assert said.status == 200
    answers = said.chunks if streamed else [said.json]
    assert (len(answers) > 1) is streamed
    candidates = [answer["candidates"][0] for answer in answers]
    parts = [part for one in candidates for part in one.get("content", {}).get("parts", [])]
    assert "".join(part.get("text", "") for part in parts) == GREETING
    assert candidates[-1]["finishReason"] == "STOP"


@pytest.mark.row("S2-1", "S2-24", "S2-25")
@pytest.mark.parametrize(
    "model",
    ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-20250514", "gemini-pro", "llama3", "own-model"],
)
def test_every_type_of_channel_answers_every_dialect_at_one_address(
    gateway: Gateway, model: str
) -> None:
    hello = [{"role": "user", "content": "Hello!"}]
    answers = [
        httpx.post(gateway.url + path, headers={"x-api-key": TOKEN}, json=body)
        for path, body in (
            ("/v1/chat/completions", {"model": model, "messages": hello}),
            ("/v1/messages", {"model": model, "max_tokens": 99, "messages": hello}),
            (f"/v1beta/models/{model}:generateContent", {"contents": [{"parts": [{"text": "H"}]}]}),
        )
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    chat, claude, gemini = (answer.json() for answer in answers)
    assert chat["choices"][0]["message"]["content"] == GREETING
    assert claude["content"][0]["text"] == GREETING
    assert gemini["candidates"][0]["content"]["parts"][0]["text"] == GREETING


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_an_answer_without_an_id_gets_one(gateway: Gateway, streamed: bool) -> None:
    """Ollama gives none, and the documented form of an answer has one."""
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN)
    ids = set()
    for _ in range(2):
        asked: Any = {"model": "llama3", "messages": [{"role": "user", "content": "Hi"}]}
        answer = client.chat.completions.create(**asked, stream=streamed)
        pieces = list(answer) if streamed else [answer]
        assert min(one.created for one in pieces) > 1_700_000_000
        ids |= {one.id for one in pieces}
    assert len(ids) == 2
    assert all(len(one) > 20 and one.startswith("chatcmpl-") for one in ids)
    body = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "model": "llama3"}
    reply = httpx.post(f"{gateway.url}/v1/messages", headers={"x-api-key": TOKEN}, json=body)
    assert reply.json()["id"].startswith("msg_")
    assert reply.json()["id"] != "msg_unnamed"


@pytest.mark.row("S2-5")
def test_the_health_check(gateway: Gateway, upstream: StandIn) -> None:
    health = httpx.get(f"{gateway.url}/health")
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert upstream.requests == []


@pytest.mark.row("S2-62", "S2-63", "S2-65")
@pytest.mark.parametrize(
    ("key", "model", "status", "kind"),
    [
        ("sk-gw-nobodys", "gpt-4o", 401, openai.AuthenticationError),
        (NARROW, "gpt-4o-mini", 403, openai.PermissionDeniedError),
        (NARROW, "gemini-pro", 403, openai.PermissionDeniedError),  # the model, but not its channel
        (TOKEN, "resting-model", 503, openai.InternalServerError),
    ],
)
def test_what_a_token_may_not_and_what_is_switched_off(
    gateway: Gateway,
    upstream: StandIn,
    key: str,
    model: str,
    status: int,
    kind: type[openai.APIStatusError],
) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0)
    with pytest.raises(kind) as refused:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}])
    assert refused.value.status_code == status
    assert isinstance(refused.value.body, dict)
    assert {"message", "type", "code"} <= refused.value.body.keys()
    assert upstream.requests == []
