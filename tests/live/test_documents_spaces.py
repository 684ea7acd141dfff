"""The examples of the gateway to Hugging Face Spaces, as its document has them, host, port and key aside:
real curl in a real shell, the OpenAI SDK, real Gradio apps behind a SOCKS 5 proxy with a password, and the
environment variables that it names."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from dragoman.providers.catalog import load_catalog
from tests.support.documents import Printed, own_providers, run
from tests.support.gateway import Gateway, free_port
from tests.support.gradio_server import GradioServer
from tests.support.proxies import PProxy, RunningProxy

TOKEN = "hf_your_token"
MODEL_CONFIG = """MODEL_CONFIG = {
    "your-model-name": {
        "space": "team/reasoner",
        "flags": "11"                     # as its API says
    },
    "used-up": {"space": "team/quota", "flags": "40"},
    "failing": {"space": "team/broken", "flags": "40"},
    "wrong": {"space": "team/tuned", "flags": "11"},
}"""
ADDED = {"your-model-name", "used-up", "failing", "wrong"}
BUILT_IN = [
    *("gpt-oss-20b", "gemma-3-12b", "gemma-2-9b", "gemma-2-2b", "gemma-3-270m", "qwen2.5-3b")
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GradioServer]:
    with GradioServer(tmp_path_factory.mktemp("gradio")) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    with PProxy(tmp_path_factory.mktemp("proxy"), user="user", password="pass") as running:
        yield running


@pytest.fixture(scope="module")
def gateway(server: GradioServer, proxy: RunningProxy) -> Iterator[Gateway]:
    """As documented it asks for no key of its own: the caller's token is the Space's. Only the Hub's
    address is not the document's."""
    environ = {
        "LISTEN": "127.0.0.1",
        "PORT": str(free_port()),
        "USE_PROXY": "True",
        "PROXY_URL": proxy.url(),
        "MODEL_CONFIG": MODEL_CONFIG,
        "DRAGOMAN_REQUIRE_AUTH": "false",
    }
    running = Gateway(None, environ=environ)
    own_providers(running, at_hub(server.url))
    with running:
        yield running


def at_hub(url: str) -> str:
    """The provider's own row, quirks and all, at another Hub."""
    built_in = load_catalog()["gradio"].quirks["builtin_spaces"]
    assert isinstance(built_in, dict)
    spaces = "".join(
        f"{json.dumps(name)} = {{ space = {json.dumps(one['space'])}, flags = '{one['flags']}' }}\n"
        for name, one in built_in.items()
    )
    return f'[gradio.quirks]\nhub = "{url}"\n[gradio.quirks.builtin_spaces]\n{spaces}'


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN, max_retries=0) as made:
        yield made


def posted(gateway: Gateway, body: dict[str, Any], token: str = TOKEN) -> Printed:
    """The documented request with curl."""
    return run(
        gateway,
        f"""curl -X POST http://localhost:8000/v1/chat/completions \\
  -H "Authorization: Bearer {token}" \\
  -H "Content-Type: application/json" \\
  -d '{json.dumps(body)}'""",
    )


def question(model: str, content: str = "Hello", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


@pytest.mark.row("S0-1", "S0-3", "S0-4", "S0-15", "S0-31", "S0-36", "S0-41", "S0-52")
def test_the_curl_example(gateway: Gateway, server: GradioServer, proxy: RunningProxy) -> None:
    server.tokens()
    before = proxy.relay.carried
    said = run(
        gateway,
        """curl -X POST http://localhost:8000/v1/chat/completions \\
  -H "Authorization: Bearer hf_xxxx" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-oss-20b",
    "messages": [{"role": "user", "content": "Hello"}],
    "stream": false
  }'""",
    )
    assert (said.status, said.content_type) == (200, "application/json")
    answer = said.json
    assert answer["id"].startswith("chatcmpl-")
    assert len(answer["id"]) > 20
    assert answer["created"] > 1_700_000_000
    assert (answer["object"], answer["model"]) == ("chat.completion", "gpt-oss-20b")
    (choice,) = answer["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert choice["message"]["role"] == "assistant"
    assert json.loads(choice["message"]["content"])[0] == "Hello"
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert set(server.tokens()) == {"hf_xxxx"}
    assert proxy.relay.carried > before


@pytest.mark.row("S0-5", "S0-12", "S0-17", "S0-31", "S0-51")
def test_the_python_client(client: openai.OpenAI, server: GradioServer) -> None:
    """The example looks at the first choice of every chunk, so each must have one."""
    server.tokens()
    response = client.chat.completions.create(
        model="gemma-2-9b", messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    said = [chunk.choices[0].delta.content for chunk in response]
    assert json.loads("".join(filter(None, said)))[0] == "Hello"
    assert set(server.tokens()) == {TOKEN}


@pytest.mark.row("S0-5", "S0-12")
def test_a_stream_ends_with_done(gateway: Gateway) -> None:
    said = posted(gateway, question("gemma-2-2b", stream=True))
    assert said.content_type.startswith("text/event-stream")
    assert said.events[-1] == "[DONE]"
    assert {chunk["object"] for chunk in said.chunks} == {"chat.completion.chunk"}
    (answer_id,) = {chunk["id"] for chunk in said.chunks}
    assert answer_id.startswith("chatcmpl-")
    choices = [chunk["choices"][0] for chunk in said.chunks]
    assert "".join(one["delta"].get("content") or "" for one in choices) == "You said: Hello"
    assert choices[-1]["finish_reason"] == "stop"


@pytest.mark.row("S0-6", "S0-7", "S0-8", "S0-9", "S0-10", "S0-11", "S0-13")
def test_the_whole_documented_request(gateway: Gateway) -> None:
    body = {
        "model": "gemma-2-9b",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Hello"},
        ],
        "max_tokens": 2000,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 50,
        "repetition_penalty": 1.0,
        "stream": False,
        "reasoning_effort": "medium",
    }
    for change, expected in (
        ({}, ["Hello", "You are a helpful assistant", 2000, 0.7, 0.9, 50, 1.0]),
        (
            {
                "max_tokens": 7,
                "temperature": 0.2,
                "top_p": 0.3,
                "top_k": 9,
                "repetition_penalty": 1.5,
            },
            ["Hello", "You are a helpful assistant", 7, 0.2, 0.3, 9, 1.5],
        ),
    ):
        said = posted(gateway, {**body, **change})
        assert said.status == 200, said.body
        heard = json.loads(said.json["choices"][0]["message"]["content"])
        system = heard[1]
        assert [heard[0], system[:27], *heard[2:]] == expected
        assert "medium" in system


@pytest.mark.row("S0-38")
def test_it_listens_where_it_is_told_and_nowhere_else(gateway: Gateway) -> None:
    socket.create_connection(("127.0.0.1", gateway.port), 5).close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", gateway.port), 5)


@pytest.mark.row("S0-2")
def test_the_list_of_models_is_open(gateway: Gateway) -> None:
    said = run(gateway, "curl http://localhost:8000/v1/models")
    assert (said.status, said.json["object"]) == (200, "list")
    assert {*BUILT_IN, *ADDED} <= {model["id"] for model in said.json["data"]}


@pytest.mark.row("S0-21", "S0-23", "S0-28")
def test_a_model_that_was_added(client: openai.OpenAI) -> None:
    response = client.chat.completions.create(
        model="your-model-name",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        max_tokens=99,
        temperature=0.5,
    )
    content = response.choices[0].message.content
    assert content is not None
    assert json.loads(content) == ["Hello", "Be brief.", 99, 0.5]


# -- The documented error codes ---------------------------------------------------------------------


@pytest.mark.row("S0-32", "S0-45")
@pytest.mark.parametrize("token", ["hf_bad", ""], ids=["invalid", "missing"])
def test_401_is_got_round_by_going_without_a_token(
    gateway: Gateway, server: GradioServer, token: str
) -> None:
    """Only where nobody gets in without one, it is told (``test_gradio``)."""
    server.tokens()
    said = posted(gateway, question("gemma-2-2b"), token)
    assert said.status == 200
    assert said.json["choices"][0]["message"]["content"] == "You said: Hello"
    assert "" in server.tokens()


@pytest.mark.row("S0-46", "S0-50")
def test_429_when_the_quota_is_used_up(client: openai.OpenAI, server: GradioServer) -> None:
    with pytest.raises(openai.RateLimitError, match="exceeded your GPU quota") as failed:
        client.chat.completions.create(**question("used-up", "always"))
    assert failed.value.response.headers["retry-after"] == "3723"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (question("gemma-2-9b", temperature="hot"), "temperature"),
        ({"model": "gemma-2-9b"}, "messages"),
        pytest.param(question("wrong"), "flags", marks=pytest.mark.row("S0-30")),
    ],
    ids=["temperature", "messages", "flags"],
)
def test_400_for_what_cannot_be_asked(gateway: Gateway, body: dict[str, Any], words: str) -> None:
    said = posted(gateway, body)
    assert said.status == 400
    assert words in said.json["error"]["message"]


@pytest.mark.row("S0-48")
def test_500_when_the_model_fails(gateway: Gateway) -> None:
    said = posted(gateway, question("failing"))
    assert said.status == 500
    assert said.json["error"].keys() == {"message", "type", "param", "code"}
