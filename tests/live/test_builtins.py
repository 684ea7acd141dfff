"""The built-in platforms through a gateway: configured in two lines, with an API key or a refresh
token."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest

from tests.live.administered import AS_ADMIN, ENVIRON, admin
from tests.live.raw import Reply, ask
from tests.support.gateway import TOKEN, Gateway
from tests.support.platform import SAID, THOUGHT, Platform

ROW_OF = {
    "glm": "zhipu",
    "kimi": "moonshot",
    "deepseek": "deepseek",
    "qwen": "alibaba-cloud",
    "minimax": "minimax",
}
CHOSEN = {
    "glm": "glm-5.3",
    "kimi": "kimi-k3",
    "deepseek": "deepseek-v4-pro",
    "qwen": "qwen3-max",
    "minimax": "MiniMax-M3",
}
NAMES = [
    pytest.param(name, marks=pytest.mark.row(row))
    for name, row in zip(ROW_OF, ("S2-26", "S2-27", "S2-28", "S2-29", "S2-30"), strict=True)
]
MESSAGES: Any = [{"role": "user", "content": "Weather in Rome?"}]


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform() as running:
        yield running


def prepared(platform: Platform, config: dict[str, Any] | None) -> Gateway:
    """A gateway whose built-ins live at the stand-in."""
    gateway = Gateway(config, environ=ENVIRON)
    (gateway.folder / "data").mkdir(mode=0o700)
    text = "".join(
        f'[{row}]\nprotocols.openai_chat = "{platform.url}/{name}/v1"\n'
        for name, row in ROW_OF.items()
    )
    (gateway.folder / "data" / "providers.toml").write_text(text, encoding="utf-8")
    return gateway


def configuration(*channels: dict[str, Any]) -> dict[str, Any]:
    return {
        "settings": {"require_auth": True},
        "channels": [
            {"id": number, "name": f"channel {number}", **channel}
            for number, channel in enumerate(channels, 1)
        ],
        "tokens": [{"id": 1, "name": "test", "key": TOKEN}],
    }


@contextlib.contextmanager
def client_of(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN, max_retries=0) as made:
        yield made


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def listed(gateway: Gateway) -> set[str]:
    with client_of(gateway) as client:
        return {model.id for model in client.models.list()}


@pytest.mark.row("S2-31")
@pytest.mark.parametrize("name", NAMES)
def test_a_channel_of_a_type_and_a_key_answers_every_client(name: str, platform: Platform) -> None:
    model = CHOSEN[name]
    config = configuration({"type": f"builtin:{name}", "api_key": "key"})
    with prepared(platform, config) as gateway, client_of(gateway) as client:
        answer: Any = client.chat.completions.create(
            model=model, messages=MESSAGES, reasoning_effort="high", max_completion_tokens=90
        )
        message = answer.choices[0].message
        assert (message.reasoning_content, message.content) == (THOUGHT, SAID)
        sent = platform.chats[-1]
        assert (sent.name, sent.credential, sent.body["model"]) == (name, "key", model)
        limit = "max_completion_tokens" if name in ("kimi", "minimax") else "max_tokens"
        assert sent.body[limit] == 90

        said, thought = "", ""
        stream: Any = client.chat.completions.create(model=model, messages=MESSAGES, stream=True)
        for chunk in stream:
            for choice in chunk.choices:
                said += choice.delta.content or ""
                thought += getattr(choice.delta, "reasoning_content", None) or ""
        assert (thought, said) == (THOUGHT, SAID)

        with anthropic.Anthropic(base_url=gateway.url, api_key=TOKEN, max_retries=0) as claude:
            reply = claude.messages.create(
                model=model,
                max_tokens=4000,
                messages=MESSAGES,
                thinking={"type": "enabled", "budget_tokens": 2000},
            )
            blocks: dict[str, Any] = {block.type: block for block in reply.content}
            assert blocks["thinking"].thinking == THOUGHT
            assert blocks["text"].text == SAID


@pytest.mark.row("S2-33")
def test_models_fill_in_by_themselves(platform: Platform) -> None:
    """From the platform's list where it has one, else from the row."""
    platform.listed["glm"] = ["glm-9", "glm-9-air"]
    config = configuration(
        {"type": "builtin:glm", "api_key": "key", "models": []},
        {"type": "builtin:qwen", "api_key": "key"},
    )
    with prepared(platform, config) as gateway:
        until(lambda: "glm-9-air" in listed(gateway), "the live list never came")
        models = listed(gateway)
        assert {"glm-9", "qwen3-max", "qwen-plus"} <= models
        assert "glm-5.3" not in models
        with client_of(gateway) as client:
            client.chat.completions.create(model="glm-9", messages=MESSAGES)
            assert platform.chats[-1].name == "glm"
            client.chat.completions.create(model="qwen-plus", messages=MESSAGES)
            assert platform.chats[-1].name == "qwen"


@pytest.mark.row("S2-30")
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_under_status_200_is_one(stream: bool, platform: Platform) -> None:
    platform.say["minimax"] = {"base_resp": {"status_code": 1008, "status_msg": "no balance"}}
    models = ["MiniMax-M3"]
    config = configuration(
        {"type": "builtin:minimax", "api_key": "key", "models": models, "priority": 1},
        {"type": "builtin:glm", "api_key": "key", "models": models, "priority": 2},
    )
    with prepared(platform, config) as gateway:
        body = {"model": "MiniMax-M3", "messages": MESSAGES, "stream": stream}
        reply = ask(gateway, "POST", "/v1/chat/completions", body)
        assert reply.status == 200
        assert reply.headers["dragoman-channel"] == "channel 2"
        assert [chat.name for chat in platform.chats] == ["minimax", "glm"]
        state = admin(gateway, "GET", "/channels/1/state").json
        assert "no balance" in state["last_error"]
        assert state["credentials"][0]["benches"]


# -- Refresh tokens ---------------------------------------------------------------------------------


def signed_in(platform: Platform, **more: Any) -> dict[str, Any]:
    return {
        "type": "builtin:kimi",
        "api_key": "refresh-0",
        "oauth": {"token_url": f"{platform.url}/token", "client_id": "ours"},
        "models": ["kimi-k3"],
        "max_concurrency": 50,
        **more,
    }


def chat(gateway: Gateway, model: str = "kimi-k3") -> Reply:
    return ask(gateway, "POST", "/v1/chat/completions", {"model": model, "messages": MESSAGES})


@contextlib.contextmanager
def at_home(kind: str, platform: Platform, *channels: dict[str, Any]) -> Iterator[Gateway]:
    """A gateway with these channels in a configuration file, or in the database."""
    if kind == "file":
        with prepared(platform, configuration(*channels)) as gateway:
            yield gateway
        return
    gateway = prepared(platform, None)
    (gateway.folder / ".env").write_text(f"API_KEY={TOKEN}\n", encoding="utf-8")
    with gateway:
        for entry in configuration(*channels)["channels"]:
            made = ask(gateway, "POST", "/admin/api/channels", _without_id(entry), AS_ADMIN)
            assert made.status == 201, made.body
        yield gateway


def _without_id(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "id"}


@pytest.mark.row("S2-32")
@pytest.mark.parametrize("kind", ["file", "database"])
def test_a_rotated_refresh_token_outlives_the_gateway(kind: str, platform: Platform) -> None:
    platform.valid = set()
    with at_home(kind, platform, signed_in(platform)) as gateway:
        with ThreadPoolExecutor(12) as pool:
            replies = list(pool.map(lambda _: chat(gateway), range(12)))
        assert {reply.status for reply in replies} == {200}
        assert len(platform.token_requests) == 1  # however many wait for it
        assert platform.token_requests[0] == {
            "grant_type": "refresh_token",
            "refresh_token": "refresh-0",
            "client_id": "ours",
        }
        assert {one.credential for one in platform.chats} == {"access-1"}

        os.kill(gateway.pid, signal.SIGKILL)
        gateway.restart()
        assert chat(gateway).status == 200
        assert platform.token_requests[-1]["refresh_token"] == "refresh-1"
        newest = admin(gateway, "GET", "/audit?limit=1").json["entries"][0]
        assert (newest["actor"], newest["action"]) == ("gateway", "channel.change")
        told = gateway.logs() + json.dumps(admin(gateway, "GET", "/channels").json)
        told += json.dumps(admin(gateway, "GET", "/audit").json)
        for secret in ("refresh-0", "refresh-1", "refresh-2", "access-1", "access-2"):
            assert secret not in told


@pytest.mark.row("S2-32")
def test_an_access_token_that_is_revoked_early_is_replaced_unnoticed(platform: Platform) -> None:
    with at_home("file", platform, signed_in(platform, models=["kimi-k3", "embed"])) as gateway:
        assert chat(gateway).status == 200
        platform.valid = set()
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: chat(gateway), range(8)))
        assert {reply.status for reply in replies} == {200}
        assert len(platform.token_requests) == 2
        platform.valid = set()
        embedded = ask(gateway, "POST", "/v1/embeddings", {"model": "embed", "input": "x"})
        assert embedded.status == 200
        assert len(platform.token_requests) == 3


@pytest.mark.row("S2-32")
def test_trying_a_channel_out_loses_no_token(platform: Platform) -> None:
    platform.listed["kimi"] = ["kimi-k3"]
    with at_home("file", platform, signed_in(platform)) as gateway:
        assert chat(gateway).status == 200
        platform.valid = set()  # the access token that the gateway remembers is worth nothing
        tried = admin(gateway, "POST", "/channels/1/test", {}).json
        assert tried["ok"], tried
        assert len(platform.token_requests) == 2
        # A process of its own: it refreshes by itself, and leaves the new token to the gateway.
        done = subprocess.run(
            [
                *(sys.executable, "-m", "dragoman", "channels", "test", "channel 1"),
                *("--config", str(gateway.folder / "config.json")),
                *("--data-dir", str(gateway.folder / "data")),
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd=gateway.folder,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert [one["refresh_token"] for one in platform.token_requests[2:]] == ["refresh-2"]
        until(lambda: chat(gateway).status == 200, "the gateway never took the new token")
        written = json.loads((gateway.folder / "config.json").read_text(encoding="utf-8"))
        assert written["channels"][0]["api_key"] == platform.refresh_token


@pytest.mark.row("S2-32")
def test_a_revoked_refresh_token_benches_the_channel_and_says_why(platform: Platform) -> None:
    platform.valid, platform.refresh_token = {"key"}, "somebody-elses"
    with at_home(
        "file",
        platform,
        signed_in(platform, priority=1, models=["kimi-k3", "only-here"]),
        {"type": "builtin:glm", "api_key": "key", "models": ["kimi-k3"], "priority": 2},
    ) as gateway:
        reply = chat(gateway, "only-here")
        assert reply.status == 502
        message, _ = reply.error
        assert "The token endpoint refuses the refresh token (invalid_grant): sign in" in message
        assert "refresh-0" not in message
        taken_over = chat(gateway)
        assert (taken_over.status, taken_over.headers["dragoman-channel"]) == (200, "channel 2")
        assert len(platform.token_requests) == 1  # the bench holds
        state = admin(gateway, "GET", "/channels/1/state").json
        assert state["credentials"][0]["benches"][0]["model"] == ""  # all of it is left alone
        assert "invalid_grant" in state["last_error"]
        # A new sign-in mends it.
        platform.refresh_token = "refresh-new"
        changed = ask(
            gateway, "PATCH", "/admin/api/channels/1", {"api_key": "refresh-new"}, AS_ADMIN
        )
        assert changed.status == 200
        assert chat(gateway, "only-here").status == 200
