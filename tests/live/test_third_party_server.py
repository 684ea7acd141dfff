"""The gateway before a server that is not ours: llm-katan, which speaks three vendors' protocols.

Our own stand-in is as strict as we understand the vendors to be; this one was written by others, with
other misunderstandings. It checks the keys and echoes what it was told.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest
from google import genai

from tests.support.gateway import Gateway, free_port

TOKEN = "sk-gw-third-party-0123456789"
MODEL = "echo-model"
BASES = {"openai_chat": "/v1", "anthropic_messages": "", "gemini_generate": ""}
START_SECONDS = 30.0
MARK = "pomegranate"

upstreams = pytest.mark.parametrize("upstream_name", BASES)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The root URL of a running llm-katan."""
    folder: Path = tmp_path_factory.mktemp("third-party")
    port = free_port()
    command = [
        *(sys.executable, "-c", "from llm_katan.cli import main; main()"),
        *("--model", MODEL, "--backend", "echo", "--host", "127.0.0.1", "--port", str(port)),
        *("--providers", "openai,anthropic,vertexai"),
        *("--stats-file", str(folder / "stats.json"), "--max-concurrent", "4"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_up(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def third_party_gateway(server: str) -> Iterator[Gateway]:
    """A gateway with one channel per protocol of the server."""
    channels = [
        {
            "name": protocol,
            "type": "custom",
            "protocol": protocol,
            "base_url": server + base,
            "api_key": "any-key-will-do",
            # Its Gemini side wants a bearer token, as Vertex AI does, beside any other header.
            "headers": {"authorization": "Bearer any"} if protocol == "gemini_generate" else {},
            "models": [f"{protocol}/{MODEL}"],
            "aliases": {f"{protocol}/{MODEL}": MODEL},
        }
        for protocol, base in BASES.items()
    ]
    config = {"channels": channels, "tokens": [{"name": "third party", "key": TOKEN}]}
    with Gateway(config) as running:
        yield running


@upstreams
@pytest.mark.parametrize("stream", [False, True])
def test_chat(third_party_gateway: Gateway, upstream_name: str, stream: bool) -> None:
    client = openai.OpenAI(base_url=f"{third_party_gateway.url}/v1", api_key=TOKEN, max_retries=0)
    asked = {
        "model": f"{upstream_name}/{MODEL}",
        "messages": [{"role": "user", "content": f"Say {MARK}."}],
        "max_tokens": 200,
    }
    if stream:
        chunks = [c for c in client.chat.completions.create(**asked, stream=True) if c.choices]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    else:
        answer = client.chat.completions.create(**asked)
        text = answer.choices[0].message.content or ""
        assert answer.usage
        assert answer.usage.prompt_tokens > 0
    assert MARK in text


@upstreams
@pytest.mark.parametrize("stream", [False, True])
def test_responses(third_party_gateway: Gateway, upstream_name: str, stream: bool) -> None:
    client = openai.OpenAI(base_url=f"{third_party_gateway.url}/v1", api_key=TOKEN, max_retries=0)
    model = f"{upstream_name}/{MODEL}"
    if stream:
        with client.responses.stream(model=model, input=f"Say {MARK}.") as events:
            events.until_done()
            text = events.get_final_response().output_text
    else:
        text = client.responses.create(model=model, input=f"Say {MARK}.").output_text
    assert MARK in text


@upstreams
@pytest.mark.parametrize("stream", [False, True])
def test_messages(third_party_gateway: Gateway, upstream_name: str, stream: bool) -> None:
    client = anthropic.Anthropic(base_url=third_party_gateway.url, api_key=TOKEN, max_retries=0)
    messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": f"Say {MARK}."}]
    model = f"{upstream_name}/{MODEL}"
    if stream:
        with client.messages.stream(model=model, max_tokens=200, messages=messages) as events:
            answer: anthropic.types.Message = events.get_final_message()
    else:
        answer = client.messages.create(model=model, max_tokens=200, messages=messages)
    assert MARK in "".join(block.text for block in answer.content if block.type == "text")
    assert answer.stop_reason


@upstreams
@pytest.mark.parametrize("stream", [False, True])
def test_generate_content(third_party_gateway: Gateway, upstream_name: str, stream: bool) -> None:
    client = genai.Client(api_key=TOKEN, http_options={"base_url": third_party_gateway.url})
    model = f"{upstream_name}/{MODEL}"
    if stream:
        chunks = client.models.generate_content_stream(model=model, contents=f"Say {MARK}.")
        text = "".join(chunk.text or "" for chunk in chunks)
    else:
        text = client.models.generate_content(model=model, contents=f"Say {MARK}.").text or ""
    assert MARK in text


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')}")
