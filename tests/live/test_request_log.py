"""The request log of the real gateway: what ``dragoman explain`` tells of real requests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.gateway import TOKEN, Gateway
from tests.support.upstream import KEY, StandIn

PROMPT = "canary-4711: what nobody is to read"


def configuration(upstream: str, **settings: Any) -> dict[str, Any]:
    shared = {"api_key": KEY, "max_retries": 0, "base_url": f"{upstream}/v1"}
    return {
        "settings": settings,
        "channels": [
            {"id": 1, "name": "hugging", "type": "huggingface", "models": _MODELS, **shared},
            {
                **shared,
                **{"id": 2, "name": "backup", "type": "custom", "protocol": "openai_chat"},
                **{"models": ["error-503"], "aliases": {"error-503": "text"}, "priority": 2},
            },
        ],
        "tokens": [{"id": 1, "name": "laptop", "key": TOKEN}],
    }


_MODELS = ["error-503", "error-401", "text"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def gateway(upstream: StandIn, data: Path) -> Iterator[Gateway]:
    with Gateway(configuration(upstream.url), ["--data-dir", str(data)]) as running:
        yield running


def ask(gateway: Gateway, data: Path, model: str, **fields: Any) -> tuple[int, str]:
    """Status and id of one request, which is in the log."""
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], **fields}
    request = urllib.request.Request(
        f"{gateway.url}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"authorization": f"Bearer {TOKEN}", "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
            status, request_id = answer.status, answer.headers["x-request-id"]
    except urllib.error.HTTPError as error:
        with error:
            error.read()
            status, request_id = error.code, error.headers["x-request-id"]
    until = time.monotonic() + 20
    with contextlib.closing(sqlite3.connect(data / "dragoman.db")) as database:
        query = "SELECT count(*) FROM requests WHERE id = ?"
        while database.execute(query, [request_id]).fetchone() == (0,):
            assert time.monotonic() < until, "it is not logged"
            time.sleep(0.02)
    return status, request_id


def dragoman(data: Path, *words: str) -> str:
    """What the command line says beside the gateway."""
    done = subprocess.run(
        [sys.executable, "-m", "dragoman", *words, "--data-dir", str(data)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=data.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.row("S3-35")
def test_the_log_tells_why_a_request_failed_and_what_saved_another(
    gateway: Gateway, data: Path
) -> None:
    status, saved = ask(gateway, data, "error-503", stream=True)
    assert status == 200
    record = json.loads(dragoman(data, "explain", saved, "--json"))
    assert (record["status"], record["outcome"], record["channel"]) == (200, "ok", "backup")
    assert (record["key_name"], record["model"], record["stream"]) == ("laptop", "error-503", True)
    first, second = record["tried"]
    assert (first["channel"], first["status"], first["verdict"]) == ("hugging", 503, "failure")
    assert "The stand-in was told to answer 503." in first["error"]
    assert (second["channel"], second["status"], second["error"]) == ("backup", 200, None)
    assert first["ended_ms"] <= second["began_ms"] < record["first_content_ms"]

    status, refused = ask(gateway, data, "error-401")
    assert status == 502
    told = dragoman(data, "explain", refused)
    assert "✗ 502 last tried: hugging" in told
    assert "the client was told:" in told
    assert "✗ hugging, credential 1: error-401 as openai_chat, status 401" in told
    assert "[credential refused]" in told

    _, past = ask(gateway, data, "error-503")
    told = dragoman(data, "explain", past)
    assert "– hugging: credential refused" in told
    assert "✗ hugging" not in told

    listed = json.loads(dragoman(data, "requests", "--outcome", "error", "--json"))
    assert [one["id"] for one in listed] == [refused]


def test_neither_prompts_nor_secrets_are_kept(gateway: Gateway, data: Path) -> None:
    _, request_id = ask(gateway, data, "text")
    assert "log_prompts" in dragoman(data, "explain", request_id, "--transcript")
    for canary in (PROMPT, TOKEN, KEY):
        assert canary not in dragoman(data, "explain", request_id, "--json", "--transcript")
        for file in filter(Path.is_file, data.rglob("*")):
            assert canary.encode() not in file.read_bytes()


def test_prompts_are_kept_for_whom_wants_them_but_sealed(upstream: StandIn, data: Path) -> None:
    config = configuration(upstream.url, log_prompts=True)
    with Gateway(config, ["--data-dir", str(data)]) as gateway:
        _, request_id = ask(gateway, data, "text")
        told = dragoman(data, "explain", request_id, "--transcript")
        assert PROMPT in told.partition("\nPrompt\n")[2].partition("\nAnswer\n")[0]
        assert '"choices"' in told.partition("\nAnswer\n")[2]
        assert PROMPT not in dragoman(data, "explain", request_id)
        assert PROMPT not in dragoman(data, "requests", "--json")
        for file in filter(Path.is_file, data.rglob("*")):
            assert PROMPT.encode() not in file.read_bytes()


def test_what_was_logged_outlives_a_sudden_end(gateway: Gateway, data: Path) -> None:
    _, request_id = ask(gateway, data, "text")
    before = dragoman(data, "explain", request_id)
    os.kill(gateway.pid, signal.SIGKILL)
    assert dragoman(data, "explain", request_id) == before


def test_the_last_requests_before_an_orderly_end_are_logged(gateway: Gateway, data: Path) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN)
    ids = []
    for _ in range(5):
        answer = client.chat.completions.with_raw_response.create(
            model="text", messages=[{"role": "user", "content": PROMPT}]
        )
        ids.append(answer.headers["x-request-id"])
    assert gateway.stop() == 0
    listed = json.loads(dragoman(data, "requests", "--json"))
    assert [one["id"] for one in listed] == ids[::-1]
