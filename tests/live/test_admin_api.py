"""The admin API of the real gateway process: what it changes is in force at once and outlives a
restart, with a configuration file and with the database alone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from tests.live.administered import ADMIN, ENVIRON, added, admin, chat
from tests.live.raw import ask
from tests.live.test_server import wait_for
from tests.support.gateway import Gateway, configuration
from tests.support.upstream import KEY, StandIn


@pytest.fixture(scope="module", params=["database", "file"])
def gateway(request: pytest.FixtureRequest, upstream_server: StandIn) -> Iterator[Gateway]:
    """One with a configuration file, one without."""
    config = configuration(upstream_server.url) if request.param == "file" else None
    with Gateway(config, environ=ENVIRON) as running:
        yield running


@pytest.fixture
def key(gateway: Gateway) -> Iterator[str]:
    """An ordinary key of this gateway's; revoked in the end."""
    made = admin(gateway, "POST", "/keys", {"name": f"test {time.monotonic_ns()}"})
    assert made.status == 201, made.body
    yield made.json["key"]
    admin(gateway, "DELETE", f"/keys/{made.json['document']['id']}")


@pytest.fixture
def channel(gateway: Gateway, upstream: StandIn) -> Iterator[int]:
    """A channel named ``added`` that serves ``brand-new``; removed in the end."""
    made = admin(gateway, "POST", "/channels", added(upstream))
    assert made.status == 201, made.body
    yield made.json["id"]
    admin(gateway, "DELETE", f"/channels/{made.json['id']}")


@pytest.mark.row("S2-39")
def test_a_channel_serves_the_next_request(gateway: Gateway, key: str, upstream: StandIn) -> None:
    assert chat(gateway, key, "brand-new").status == 404
    made = admin(gateway, "POST", "/channels", added(upstream))
    assert made.status == 201, made.body
    number = made.json["id"]
    assert (made.json["api_key"], made.json["editable"]) == ("***", True)
    assert chat(gateway, key, "brand-new").status == 200
    assert upstream.last.headers["authorization"] == f"Bearer {KEY}"

    assert admin(gateway, "PATCH", f"/channels/{number}", {"enabled": False}).status == 200
    assert chat(gateway, key, "brand-new").status == 503
    changed = admin(gateway, "PATCH", f"/channels/{number}", {"enabled": True, "api_key": "***"})
    assert changed.status == 200, changed.body
    assert chat(gateway, key, "brand-new").status == 200  # with the credential it had

    renamed = {"models": ["newer"], "aliases": {"newer": "text"}}
    assert admin(gateway, "PATCH", f"/channels/{number}", renamed).status == 200
    assert chat(gateway, key, "newer").status == 200
    assert chat(gateway, key, "brand-new").status == 404

    assert admin(gateway, "DELETE", f"/channels/{number}").status == 204
    assert chat(gateway, key, "newer").status == 404
    assert admin(gateway, "GET", f"/channels/{number}").status == 404


def test_a_channel_that_cannot_be_is_refused_with_every_reason(gateway: Gateway) -> None:
    body = {"name": "x", "type": "opneai", "timeout": "5", "priority": -1, "weigth": 2}
    reply = admin(gateway, "POST", "/channels", body)
    assert reply.status == 422
    assert reply.headers["content-type"] == "application/problem+json"
    paths = {one["path"] for one in reply.json["problems"]}
    assert paths >= {"timeout", "priority", "weigth"}
    assert "weight" in reply.body.decode()  # did you mean …?


def test_a_name_that_is_taken(gateway: Gateway, channel: int, upstream: StandIn) -> None:
    assert admin(gateway, "POST", "/channels", added(upstream)).status == 409


def test_what_the_environment_says_is_changed_there(upstream: StandIn) -> None:
    variables = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{upstream.url}/v1"}
    with Gateway(None, environ={**ENVIRON, **variables}) as gateway:
        (channel,) = admin(gateway, "GET", "/channels").json["channels"]
        assert (channel["source"], channel["editable"]) == ("environment", False)
        keys = admin(gateway, "GET", "/keys").json["keys"]
        (fixed,) = [one["id"] for one in keys if not one["editable"]]
        for path in (f"/channels/{channel['id']}", f"/keys/{fixed}"):
            for method, body in (("PATCH", {"name": "other"}), ("DELETE", None)):
                reply = admin(gateway, method, path, body)
                assert reply.status == 409, reply.body
                assert reply.json["type"].endswith("#not-editable")
        assert KEY not in json.dumps(channel)
        reply = admin(gateway, "PATCH", "/settings", {"port": 1})  # a flag says it
        assert reply.status == 409, reply.body
        assert "--port" in reply.json["detail"]


def test_high_availability_mode_at_run_time(gateway: Gateway, channel: int, key: str) -> None:
    assert chat(gateway, key, "no-such-model").status == 404
    told = admin(gateway, "PATCH", "/settings", {"high_availability_mode": True})
    assert told.status == 200, told.body
    assert told.json["values"]["high_availability_mode"] is True
    assert told.json["needs_restart"] == []
    assert chat(gateway, key, "no-such-model").status == 200
    told = admin(gateway, "PATCH", "/settings", {"high_availability_mode": None})
    assert told.json["values"]["high_availability_mode"] is False
    assert chat(gateway, key, "no-such-model").status == 404


@pytest.mark.row("S2-62")
@pytest.mark.row("S2-63")
@pytest.mark.row("S2-64")
def test_a_key_s_restrictions_are_met_by_the_next_request(
    gateway: Gateway, channel: int, upstream: StandIn
) -> None:
    other = admin(gateway, "POST", "/channels", {**added(upstream), "name": "other"}).json["id"]
    admin(gateway, "PATCH", f"/channels/{other}", {"models": ["other-model"], "aliases": None})
    made = admin(gateway, "POST", "/keys", {"name": "restricted"})
    text, number = made.json["key"], made.json["document"]["id"]
    assert chat(gateway, text, "brand-new").status == 200
    for change, status in (
        ({"allowed_models": ["other"]}, 403),
        ({"allowed_models": None}, 200),
        ({"allowed_channels": ["added"]}, 200),
        ({"allowed_channels": []}, 200),
        ({"enabled": False}, 401),
        ({"enabled": True}, 200),
        ({"allowed_channels": ["other"]}, 403),
        ({"allowed_channels": None, "expires_at": "2100-01-01"}, 200),
    ):
        reply = admin(gateway, "PATCH", f"/keys/{number}", change)
        assert reply.status == 200, reply.body
        assert chat(gateway, text, "brand-new").status == status, change
    assert admin(gateway, "PATCH", f"/keys/{number}", {"expires_at": "2020-01-01"}).status == 422
    assert admin(gateway, "DELETE", f"/keys/{number}").status == 204
    assert chat(gateway, text, "brand-new").status == 401
    assert admin(gateway, "DELETE", f"/channels/{other}").status == 204


def test_an_admin_key_opens_this_and_nothing_else(gateway: Gateway, key: str) -> None:
    assert chat(gateway, ADMIN, "brand-new").status == 403
    for path in ("/status", "/channels", "/requests"):
        reply = ask(gateway, "GET", f"/admin/api{path}", None, {"x-api-key": key})
        assert reply.status == 403


@pytest.mark.row("S2-72")
def test_a_restart_loses_nothing(gateway: Gateway, upstream: StandIn) -> None:
    channel = admin(gateway, "POST", "/channels", added(upstream)).json["id"]
    made = admin(gateway, "POST", "/keys", {"name": "lasting", "allowed_models": ["brand-new"]})
    key, number = made.json["key"], made.json["document"]["id"]
    second = admin(gateway, "POST", "/keys", {"name": "second boss", "admin": True}).json
    admin(gateway, "PATCH", "/settings", {"high_availability_mode": True, "queue_limit": 7})
    before = admin(gateway, "GET", f"/channels/{channel}").json
    entries = admin(gateway, "GET", "/audit?limit=10").json["entries"]

    gateway.restart()

    after = admin(gateway, "GET", f"/channels/{channel}").json
    assert {**after, "state": None} == {**before, "state": None}
    values = admin(gateway, "GET", "/settings").json["values"]
    assert (values["high_availability_mode"], values["queue_limit"]) == (True, 7)
    admin(gateway, "PATCH", "/settings", {"high_availability_mode": None, "queue_limit": None})
    assert chat(gateway, key, "brand-new").status == 200
    assert chat(gateway, key, "other").status == 403
    own = {"authorization": f"Bearer {second['key']}"}
    assert ask(gateway, "GET", "/admin/api/status", None, own).status == 200
    remembered = admin(gateway, "GET", "/audit?limit=200").json["entries"]
    assert [one for one in remembered if one in entries] == entries
    for one in (number, second["document"]["id"]):
        assert admin(gateway, "DELETE", f"/keys/{one}").status == 204
    assert admin(gateway, "DELETE", f"/channels/{channel}").status == 204


def test_the_audit_tells_who_changed_what(gateway: Gateway, channel: int) -> None:
    admin(gateway, "PATCH", f"/channels/{channel}", {"priority": 5, "api_key": "sk-canary-98765"})
    entries = admin(gateway, "GET", "/audit?limit=5").json["entries"]
    newest = entries[0]
    assert newest["action"].startswith("channel.")
    assert newest["via"] == "key"
    assert newest["address"] == "127.0.0.1"
    assert newest["changes"]["priority"] == [1, 5]
    assert "sk-canary-98765" not in json.dumps(entries)
    assert KEY not in json.dumps(entries)


def test_a_request_is_explained(gateway: Gateway, channel: int, key: str) -> None:
    request_id = chat(gateway, key, "brand-new").headers["x-request-id"]
    path = f"/requests/{request_id}"
    assert wait_for(lambda: admin(gateway, "GET", path).status == 200)
    told = admin(gateway, "GET", path).json
    assert (told["status"], told["outcome"], told["model"]) == (200, "ok", "brand-new")
    assert told["channel"] == "added"
    assert [(one["channel"], one["credential"], one["status"]) for one in told["tried"]] == [
        ("added", 1, 200)
    ]
    assert told["tried"][0]["ended_ms"] >= told["tried"][0]["began_ms"]
    assert told["usage"]["input"] > 0
    assert told["transcript"] is None
    listed = admin(gateway, "GET", "/requests?limit=5&channel=added").json["requests"]
    assert request_id in [one["id"] for one in listed]


def test_a_failure_is_explained(gateway: Gateway, upstream: StandIn, key: str) -> None:
    made = admin(
        gateway,
        "POST",
        "/channels",
        {**added(upstream), "aliases": {"brand-new": "error-500"}, "max_retries": 0},
    ).json
    try:
        reply = chat(gateway, key, "brand-new")
        assert reply.status == 502, gateway.logs()[-2000:]
        path = f"/requests/{reply.headers['x-request-id']}"
        assert wait_for(lambda: admin(gateway, "GET", path).status == 200)
        told = admin(gateway, "GET", path).json
        assert (told["status"], told["outcome"]) == (502, "error")
        assert told["tried"][0]["status"] == 500
        assert told["tried"][0]["error"]
        assert told["tried"][0]["verdict"]
        state = admin(gateway, "GET", f"/channels/{made['id']}/state").json
        assert state["total_errors"] >= 1
        assert state["in_flight"] == 0
    finally:
        admin(gateway, "DELETE", f"/channels/{made['id']}")


def test_trying_a_channel(gateway: Gateway, channel: int) -> None:
    told = admin(gateway, "POST", f"/channels/{channel}/test", {"model": "brand-new"}).json
    assert told["ok"] is True, told
    admin(gateway, "PATCH", f"/channels/{channel}", {"api_keys": ["sk-wrong-0123456789"]})
    told = admin(gateway, "POST", f"/channels/{channel}/test", {"model": "brand-new"}).json
    assert [one["credential"] for one in told["results"]] == [1, 2]
    told = admin(gateway, "POST", f"/channels/{channel}/reset").json
    assert told["healthy"] is True


def test_changes_under_load_lose_no_request(gateway: Gateway, channel: int, key: str) -> None:
    """ "Without pausing traffic": four clients ask all the while."""
    statuses: list[int] = []
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            statuses.append(chat(gateway, key, "brand-new").status)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for one in clients:
        one.start()
    try:
        for number in range(1, 16):
            for path, body in (
                (f"/channels/{channel}", {"weight": number, "priority": number}),
                ("/settings", {"queue_limit": 100 + number}),
            ):
                reply = admin(gateway, "PATCH", path, body)
                assert reply.status == 200, reply.body
    finally:
        over.set()
        for one in clients:
            one.join(20)
        admin(gateway, "PATCH", "/settings", {"queue_limit": None})
    assert len(statuses) > 15
    assert set(statuses) == {200}
    state = admin(gateway, "GET", f"/channels/{channel}/state").json
    assert (state["in_flight"], state["waiting"]) == (0, 0)
