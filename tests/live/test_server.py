"""What the process promises besides answering: leaving clients, draining, probes, prefixes, keys."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.live.raw import BEARER, ask, path_of, request_body
from tests.support.gateway import TOKEN, Gateway, configuration
from tests.support.upstream import StandIn

CHAT = "/v1/chat/completions"
STREAMED = request_body("openai_chat", "openai_chat/stall", stream=True)


def wait_for(condition: object, seconds: float = 5.0) -> bool:
    """Whether ``condition()`` becomes true in time."""
    assert callable(condition)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.01)
    return False


def open_request(gateway: Gateway, body: dict[str, object], path: str = CHAT) -> socket.socket:
    """Send a request over a bare socket and leave the answer to come."""
    data = json.dumps(body).encode()
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    connection.sendall(head.encode() + data)
    return connection


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "target", ["openai_chat", "anthropic_messages", "gemini_generate", "ollama_chat"]
)
def test_a_client_that_leaves_closes_the_upstream_within_a_second(
    gateway: Gateway, upstream: StandIn, target: str, stream: bool
) -> None:
    upstream.clear()
    body = request_body("openai_chat", f"{target}/stall", stream=stream)
    connection = open_request(gateway, body)
    assert wait_for(lambda: bool(upstream.requests))
    time.sleep(0.1)
    left = time.monotonic()
    connection.close()
    recorded = upstream.last
    assert recorded.left.wait(3)
    assert recorded.left_at is not None
    assert recorded.left_at - left < 1.0


def test_two_answers_over_one_connection(gateway: Gateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    for _ in range(3):
        body = json.dumps(request_body("openai_chat", "openai_chat/text")).encode()
        connection.request("POST", CHAT, body=body, headers=BEARER)
        response = connection.getresponse()
        assert response.status == 200
        response.read()
    connection.close()


@pytest.mark.row("S2-5")
def test_health_needs_no_key_and_no_upstream(gateway: Gateway) -> None:
    for path in ("/health", "/ready", "/"):
        reply = ask(gateway, "GET", path, headers={})
        assert reply.status == 200, path
        assert reply.json["status"] in ("ok", "ready")


@pytest.mark.parametrize("path", ["/", "/health", "/api/hello"])
def test_head_probes(gateway: Gateway, path: str) -> None:
    reply = ask(gateway, "HEAD", path, headers={})
    assert (reply.status, reply.body) == (200, b"")


def test_head_on_the_model_list(gateway: Gateway) -> None:
    reply = ask(gateway, "HEAD", "/v1/models")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.row("S2-66")
@pytest.mark.row("S2-67")
@pytest.mark.row("S2-68")
@pytest.mark.parametrize("protocol", ["openai_chat", "anthropic_messages", "gemini_generate"])
@pytest.mark.parametrize("carrier", ["bearer", "raw", "x-api-key", "x-goog-api-key", "query"])
def test_every_key_carrier_on_every_route(gateway: Gateway, protocol: str, carrier: str) -> None:
    headers = {
        "bearer": {"authorization": f"Bearer {TOKEN}"},
        "raw": {"authorization": TOKEN},
        "x-api-key": {"x-api-key": TOKEN},
        "x-goog-api-key": {"x-goog-api-key": TOKEN},
        "query": {},
    }[carrier]
    path = path_of(protocol, "openai_chat/text") + (f"?key={TOKEN}" if carrier == "query" else "")
    assert (
        ask(gateway, "POST", path, request_body(protocol, "openai_chat/text"), headers).status
        == 200
    )


@pytest.mark.parametrize(
    ("path", "headers", "field"),
    [
        ("/v1/models", {}, "object"),
        ("/models", {}, "object"),
        ("/v1/models?limit=1000", {"anthropic-version": "2023-06-01"}, "has_more"),
        ("/anthropic/v1/models?limit=1000", {}, "has_more"),
        ("/v1/models?pageSize=1000", {"x-goog-api-key": TOKEN}, "models"),
        ("/v1beta/models?pageSize=1000", {}, "models"),
        ("/gemini/v1beta/models?pageSize=1000", {}, "models"),
        ("/api/tags", {}, "models"),
    ],
)
@pytest.mark.row("S2-6")
def test_the_model_list_has_the_clients_form(
    gateway: Gateway, path: str, headers: dict[str, str], field: str
) -> None:
    reply = ask(gateway, "GET", path, headers={**BEARER, **headers})
    assert reply.status == 200
    assert field in reply.json
    assert b"openai_chat/" in reply.body


def test_one_model_and_an_unknown_one(gateway: Gateway) -> None:
    assert ask(gateway, "GET", "/v1/models/openai_chat/text").json["id"] == "openai_chat/text"
    assert ask(gateway, "GET", "/v1/models/nothing").status == 404


def test_pages_of_models_join_up(gateway: Gateway) -> None:
    everything = [m["id"] for m in ask(gateway, "GET", "/v1/models").json["data"]]
    seen: list[str] = []
    after = ""
    while True:
        page = ask(
            gateway,
            "GET",
            f"/v1/models?limit=7{after}",
            headers={**BEARER, "anthropic-version": "x"},
        ).json
        seen += [model["id"] for model in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after_id={page['last_id']}"
    assert seen == everything


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/openai/v1/chat/completions",
        "/v1beta/openai/chat/completions",
        "/v1/messages?beta=true",
        "/messages",
        "/anthropic/v1/messages",
    ],
)
def test_base_urls_with_and_without_version_and_prefix(gateway: Gateway, path: str) -> None:
    protocol = "anthropic_messages" if "messages" in path else "openai_chat"
    body = request_body(protocol, "openai_chat/text")
    assert ask(gateway, "POST", path, body).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/{m}:generateContent",
        "/v1beta/models/{m}:generateContent",
        "/models/{m}:generateContent",
        "/gemini/v1beta/models/{m}:generateContent",
        "/v1beta1/projects/p/locations/global/publishers/google/models/{m}:generateContent",
        "/v1beta1/publishers/google/models/{m}:generateContent",
    ],
)
@pytest.mark.row("S2-11")
def test_gemini_paths(gateway: Gateway, path: str) -> None:
    body = request_body("gemini_generate", "")
    reply = ask(gateway, "POST", path.format(m="anthropic_messages/text"), body)
    assert reply.status == 200
    assert reply.json["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.row("S2-12")
def test_gemini_streams_as_an_array_without_alt_sse(gateway: Gateway) -> None:
    path = "/v1beta/models/openai_chat/text:streamGenerateContent"
    reply = ask(gateway, "POST", path, request_body("gemini_generate", ""))
    assert reply.headers["content-type"] == "application/json"
    chunks = reply.json
    assert isinstance(chunks, list)
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


def test_a_websocket_on_responses_is_answered_426(gateway: Gateway) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(
            f"GET /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
            f"authorization: Bearer {TOKEN}\r\nsec-websocket-version: 13\r\n"
            f"sec-websocket-key: {key}\r\n\r\n".encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 426")


def test_one_request_is_never_two(gateway: Gateway) -> None:
    """Content-Length and Transfer-Encoding together: the classic smuggling form."""
    smuggled = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=2) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled
        )
        connection.settimeout(1)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except TimeoutError:
            pass
    assert answer.count(b"HTTP/1.1 ") == 1


def test_usage_is_hidden_from_a_client_that_did_not_ask(
    gateway: Gateway, upstream: StandIn
) -> None:
    upstream.clear()
    body = request_body("openai_chat", "openai_chat/text", stream=True)
    reply = ask(gateway, "POST", CHAT, body)
    assert upstream.last.json["stream_options"] == {"include_usage": True}
    assert b"prompt_tokens" not in reply.body
    body = request_body(
        "openai_chat", "openai_chat/text", stream=True, stream_options={"include_usage": True}
    )
    assert b"prompt_tokens" in ask(gateway, "POST", CHAT, body).body


@pytest.mark.parametrize("target", ["openai_chat", "anthropic_messages", "gemini_generate"])
def test_an_upstream_that_never_finishes_is_no_clean_end(gateway: Gateway, target: str) -> None:
    body = request_body("openai_chat", f"{target}/no-finish", stream=True)
    reply = ask(gateway, "POST", CHAT, body)
    assert b'"error"' in reply.body
    assert b"[DONE]" not in reply.body


@pytest.mark.row("S2-88")
def test_cross_origin_requests(gateway: Gateway) -> None:
    headers = {"origin": "http://page.test", "access-control-request-method": "POST"}
    reply = ask(gateway, "OPTIONS", CHAT, headers=headers)
    assert reply.status == 200
    assert reply.headers["access-control-allow-origin"] in ("*", "http://page.test")
    reply = ask(
        gateway,
        "POST",
        CHAT,
        request_body("openai_chat", "openai_chat/text"),
        {**BEARER, **headers},
    )
    assert "access-control-allow-origin" in reply.headers


@pytest.mark.row("S2-65")
@pytest.mark.row("S2-88")
def test_keys_and_cross_origin_answers_can_be_switched_off(upstream_server: StandIn) -> None:
    config = configuration(upstream_server.url)
    config["settings"] |= {"require_auth": False, "enable_cors": False}
    body = request_body("openai_chat", "openai_chat/text")
    with Gateway(config) as running:
        reply = ask(running, "POST", CHAT, body, {"origin": "http://page.test"})
        assert reply.status == 200
        assert "access-control-allow-origin" not in reply.headers
        assert ask(running, "POST", CHAT, body, {"x-api-key": "unknown-text"}).status == 200


def test_a_slow_reader_does_not_fill_the_gateways_memory(
    gateway: Gateway, upstream: StandIn
) -> None:
    """Backpressure: 200 streams that nobody reads leave the process about as large as it was."""
    before = resident(gateway)
    body = request_body("openai_chat", "anthropic_messages/text", stream=True)
    idle = [open_request(gateway, body) for _ in range(200)]
    time.sleep(1)
    grown = resident(gateway) - before
    for connection in idle:
        connection.close()
    assert grown < 60 * 1024 * 1024


def test_more_than_a_thousand_requests_at_once(gateway: Gateway) -> None:
    """The server once held the 1,025th request back until another had ended."""
    many = 1_300
    with files_allowed(many + 200):
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
            "content-length: 10\r\n\r\n{"
        ).encode()
        waiting = []
        try:
            for _ in range(many):
                connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=5)
                connection.sendall(head)
                waiting.append(connection)
            assert ask(gateway, "GET", "/health", headers={}).status == 200
        finally:
            for connection in waiting:
                connection.close()


@contextlib.contextmanager
def files_allowed(needed: int) -> Iterator[None]:
    """Raise this process's limit of open files for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        pytest.skip(f"the system allows no more than {hard} open files, the test needs {needed}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_sigterm_finishes_what_is_under_way(upstream_server: StandIn) -> None:
    with Gateway(configuration(upstream_server.url)) as running:
        answers: list[int] = []
        body = request_body("openai_chat", "openai_chat/slow", stream=True)
        thread = threading.Thread(
            target=lambda: answers.append(ask(running, "POST", CHAT, body).status)
        )
        upstream_server.clear()
        thread.start()
        assert wait_for(lambda: bool(upstream_server.requests))
        os.kill(running.pid, signal.SIGTERM)
        time.sleep(0.05)
        thread.join(10)
        assert answers == [200]
        assert running.stop() == 0
        assert "Traceback" not in running.logs()


def resident(gateway: Gateway) -> int:
    """Resident bytes of the gateway process."""
    with open(f"/proc/{gateway.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
