"""The examples of the adapter from OpenAI's clients to Vertex AI, as its document has them, host, port and
key aside: real curl in a real shell, the ``.env`` as it is printed, a Google that checks signatures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from tests.live.vertex_site import EXPRESS_KEY
from tests.support.documents import dotenv, run
from tests.support.gateway import Gateway, free_port
from tests.support.google import Google
from tests.support.standin.script import GREETING

MODEL = "gemini-1.5-flash-latest"
EXPLAIN = """curl -X POST http://localhost:8050/v1/chat/completions \\
-H "Content-Type: application/json" \\
-H "Authorization: Bearer your_secure_api_key_here" \\
-d '{
"model": "gemini-1.5-flash-latest",
"messages": [
{"role": "system", "content": "You are a helpful coding assistant."},
{"role": "user", "content": "Explain the difference between lists and tuples in Python."}
],
"temperature": 0.7,
"max_tokens": 150
}'"""
SECRET = "documents-own-key-0123456789"


@pytest.fixture
def google() -> Iterator[Google]:
    with Google() as running:
        running.express_keys.add(EXPRESS_KEY)
        yield running


def one_line(google: Google, name: str, number: int) -> str:
    """A new service account's JSON."""
    account = google.account(name, number, projects=("your-gcp-project-id",))
    return json.dumps(json.loads(account.json(google.token_uri)))


def check_explained(running: Gateway, google: Google) -> None:
    said = run(running, EXPLAIN, your_secure_api_key_here=SECRET)
    assert said.status == 200, said.body
    answer = said.json
    assert (answer["object"], answer["choices"][0]["finish_reason"]) == ("chat.completion", "stop")
    assert answer["choices"][0]["message"]["content"] == GREETING
    sent = google.calls[-1].body
    assert sent["generationConfig"] == {"maxOutputTokens": 150, "temperature": 0.7}
    instruction = {"parts": [{"text": "You are a helpful coding assistant."}]}
    assert sent["systemInstruction"] == instruction


@pytest.mark.row("S1-3", "S1-4", "S1-5", "S1-9", "S1-18", "S1-19", "S1-31", "S1-42")
@pytest.mark.parametrize("method", ["express key", "content", "directory"])
def test_the_printed_env_file_with_each_method(google: Google, tmp_path: Path, method: str) -> None:
    one, two = (one_line(google, name, number) for number, name in enumerate(("one", "two")))
    (tmp_path / "one.json").write_text(one, encoding="utf-8")
    line, who = {
        "express key": (f'VERTEX_EXPRESS_API_KEY="{EXPRESS_KEY}" # Option 1', {EXPRESS_KEY}),
        "content": (f"GOOGLE_CREDENTIALS_JSON='{one}{two}' # Option 2", {"one", "two"}),
        "directory": (f'CREDENTIALS_DIR="{tmp_path}" # Option 3', {"one"}),
    }[method]
    running = Gateway(None, environ={"VERTEX_BASE_URL": google.url})
    dotenv(
        running,
        f"""API_KEY="{SECRET}" # REQUIRED
# --- Choose *ONE* primary credential method ---
{line}
# --- Optional Settings ---
ROUNDROBIN="true" # for service accounts
FAKE_STREAMING="false"
FAKE_STREAMING_INTERVAL="1.0"
GCP_PROJECT_ID="your-gcp-project-id"
GCP_LOCATION="us-central1"
""",
    )
    with running:
        check_explained(running, google)
        client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=SECRET)
        response = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        told = [chunk.choices[0].delta.content for chunk in response]
        assert "".join(filter(None, told)) == GREETING
        assert {call.who for call in google.calls} == who
        place = ("", "") if method == "express key" else ("your-gcp-project-id", "us-central1")
        assert {(call.project, call.location) for call in google.calls} == {place}
        assert "gemini-2.5-flash" in {model.id for model in client.models.list()}
        status = httpx.get(running.url)
        assert (status.status_code, status.json()["status"]) == (200, "ok")
        headers = {"authorization": "Bearer your_secure_api_key_here"}
        for sent in ({}, headers):
            assert httpx.get(f"{running.url}/v1/models", headers=sent).status_code == 401


@pytest.mark.row("S1-9", "S1-16", "S1-36")
def test_the_secrets_of_a_space_are_the_whole_configuration(google: Google) -> None:
    """A Space hands its secrets over as variables, and expects an answer at one port."""
    both = ",".join(one_line(google, name, number) for number, name in enumerate(("one", "two")))
    secrets = {"API_KEY": SECRET, "GOOGLE_CREDENTIALS_JSON": both, "ROUNDROBIN": "true"}
    place = {"LISTEN": "127.0.0.1", "PORT": str(free_port()), "VERTEX_BASE_URL": google.url}
    with Gateway(None, environ={**secrets, **place}) as running:
        for _ in range(4):
            check_explained(running, google)
    assert sorted(call.who for call in google.calls) == ["one", "one", "two", "two"]


@pytest.mark.row("S1-41")
def test_the_adapters_errors_are_openais(google: Google) -> None:
    environ = {"API_KEY": SECRET, "VERTEX_EXPRESS_API_KEY": EXPRESS_KEY}
    google.failing[EXPRESS_KEY] = 400
    with Gateway(None, environ={**environ, "VERTEX_BASE_URL": google.url}) as running:
        said = run(running, EXPLAIN, your_secure_api_key_here=SECRET)
        assert said.status == 400
        assert said.json["error"].keys() == {"message", "type", "param", "code"}
        refused = run(running, EXPLAIN)
        assert (refused.status, refused.json["error"]["type"]) == (401, "authentication_error")
