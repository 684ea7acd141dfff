"""The door of the admin API, over a socket: sessions, foreign pages, bodies, draining, secrets."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.live.administered import ADMIN, AS_ADMIN, ENVIRON, added, admin, chat
from tests.live.raw import ask, request_body
from tests.live.test_server import open_request, wait_for
from tests.server.admin.bodies import BODY
from tests.support.gateway import TOKEN, Gateway, configuration
from tests.support.upstream import StandIn


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """One with nothing but its database."""
    with Gateway(None, environ=ENVIRON) as running:
        yield running


def test_a_browser_s_session(gateway: Gateway) -> None:
    host = f"127.0.0.1:{gateway.port}"
    page = {"origin": f"http://{host}", "host": host}
    signed = ask(gateway, "POST", "/admin/api/session", {"key": ADMIN}, page)
    assert signed.status == 201, signed.body
    cookie = signed.headers["set-cookie"]
    assert "HttpOnly" in cookie
    session = {**page, "cookie": cookie.split(";")[0]}
    assert ask(gateway, "GET", "/admin/api/status", None, session).status == 200
    change = {"queue_seconds": 9}
    assert ask(gateway, "PATCH", "/admin/api/settings", change, session).status == 403
    session["x-csrf-token"] = signed.json["csrf_token"]
    assert ask(gateway, "PATCH", "/admin/api/settings", change, session).status == 200
    assert admin(gateway, "GET", "/audit?limit=1").json["entries"][0]["via"] == "session"
    assert ask(gateway, "DELETE", "/admin/api/session", None, session).status == 204
    assert ask(gateway, "GET", "/admin/api/status", None, session).status == 401
    admin(gateway, "PATCH", "/settings", {"queue_seconds": None})


def test_cross_origin_rules_stop_at_the_door(gateway: Gateway) -> None:
    foreign = {"origin": "https://evil.example"}
    asks_first = {**foreign, "access-control-request-method": "PATCH"}
    assert "access-control-allow-origin" in ask(gateway, "GET", "/health", None, foreign).headers
    for reply in (
        ask(gateway, "GET", "/admin/api/status", None, {**AS_ADMIN, **foreign}),
        ask(gateway, "GET", "/admin/api/docs", None, foreign),
        ask(gateway, "OPTIONS", "/admin/api/settings", None, asks_first),
    ):
        assert not [name for name in reply.headers if name.startswith("access-control")]
        assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_over_a_socket(gateway: Gateway, announced: bool) -> None:
    body = b"x" * (1024 * 1024 + 1)
    length = f"content-length: {len(body)}" if announced else "transfer-encoding: chunked"
    head = (
        f"POST /admin/api/keys HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\n"
        f"content-type: application/json\r\n{length}\r\n\r\n"
    )
    data = body if announced else b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        sender = threading.Thread(target=_send, args=(connection, head.encode() + data))
        sender.start()
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")
    sender.join(10)


def _send(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # it hangs up, as it should
        connection.sendall(data)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODY)
def test_no_body_makes_it_fail(gateway: Gateway, upstream: StandIn, body: Any) -> None:
    channel = admin(gateway, "POST", "/channels", added(upstream)).json["id"]
    made = admin(gateway, "POST", "/keys", {"name": "victim"}).json["document"]["id"]
    try:
        for method, path in (
            ("POST", "/channels"),
            ("PATCH", f"/channels/{channel}"),
            ("POST", "/keys"),
            ("PATCH", f"/keys/{made}"),
        ):
            reply = ask(gateway, method, f"/admin/api{path}", json.dumps(body).encode(), AS_ADMIN)
            assert reply.status < 500, (method, path, reply.body)
            if reply.status == 201:
                number = reply.json.get("id") or reply.json["document"]["id"]
                assert admin(gateway, "DELETE", f"{path}/{number}").status == 204
    finally:
        admin(gateway, "DELETE", f"/keys/{made}")
        admin(gateway, "DELETE", f"/channels/{channel}")
    assert admin(gateway, "GET", "/status").status == 200


def test_a_draining_gateway_still_tells(upstream: StandIn) -> None:
    with Gateway(configuration(upstream.url), environ=ENVIRON) as gateway:
        assert admin(gateway, "GET", "/status").json["draining"] is False
        waiting = open_request(gateway, request_body("openai_chat", "openai_chat/stall"))
        assert wait_for(lambda: bool(upstream.requests))
        assert admin(gateway, "GET", "/status").json["active_requests"] == 1
        assert gateway._process is not None
        gateway._process.send_signal(signal.SIGTERM)
        assert wait_for(lambda: admin(gateway, "GET", "/status").json["draining"])
        assert admin(gateway, "POST", "/keys", {"name": "late"}).status == 503
        assert chat(gateway, TOKEN, "openai_chat/text").status == 503
        waiting.close()


def test_no_secret_comes_out(gateway: Gateway, upstream: StandIn) -> None:
    canary = "canary-0123456789abcdef"
    made = admin(
        gateway,
        "POST",
        "/channels",
        {
            **added(upstream),
            "api_key": f"sk-a-{canary}",
            "api_keys": [f"sk-b-{canary}"],
            "headers": {"x-extra": canary},
            "proxy_url": f"http://user:{canary}@127.0.0.1:9",
        },
    )
    assert made.status == 201, made.body
    number = made.json["id"]
    key = admin(gateway, "POST", "/keys", {"name": "canary", "key": f"sk-gw-{canary}"}).json
    try:
        chat(gateway, key["key"], "brand-new")
        admin(gateway, "POST", f"/channels/{number}/test")
        paths = (
            *("/channels", f"/channels/{number}", f"/channels/{number}/state", "/keys"),
            *("/settings", "/audit?limit=500", "/requests", "/status", "/models", "/providers"),
        )
        for path in paths:
            reply = admin(gateway, "GET", path)
            assert reply.status == 200, path
            assert canary not in reply.body.decode(), path
        assert canary not in gateway.logs()
    finally:
        admin(gateway, "DELETE", f"/channels/{number}")
        admin(gateway, "DELETE", f"/keys/{key['document']['id']}")
