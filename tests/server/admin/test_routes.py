"""What the routes do, beyond whom they let in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dragoman.canonical.errors import UpstreamFailed
from dragoman.server.admin.contract import MASK, Filter
from dragoman.server.gateway import Gateway
from tests.server.admin.fake import NORMAL
from tests.server.admin.site import Reply, Site
from tests.support.upstream import KEY, StandIn

CANARY = "canary-0123456789abcdef"
FIRST = {
    "name": "first",
    "type": "openai",
    "api_key": f"sk-{CANARY}",
    "api_keys": [f"sk-other-{CANARY}"],
    "proxy_url": f"http://user:{CANARY}@proxy.example.com:8080",
    "headers": {"x-extra": CANARY},
    "models": "gpt-5, gpt-5-mini",
    "prices": {"gpt-5": {"input": 1, "output": 2}},
    "max_concurrency": 0,
}


def add(site: Site, **fields: Any) -> dict[str, Any]:
    reply = site.ask("POST", "/channels", {**FIRST, **fields})
    assert reply.status == 201, reply.body
    document: dict[str, Any] = reply.json
    return document


def problem(reply: Reply, status: int, slug: str) -> dict[str, Any]:
    """The problem document that is expected."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = reply.json
    assert document["type"] == f"/admin/api/docs#{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


def test_a_channel_from_making_to_forgetting(site: Site) -> None:
    reply = site.ask("POST", "/channels", FIRST)
    assert reply.status == 201
    assert reply.headers["location"] == "/admin/api/channels/1"
    assert [one.name for one in site.gateway.routing.channels] == ["first"]
    assert [one["name"] for one in site.ask("GET", "/channels").json["channels"]] == ["first"]

    changed = site.ask("PATCH", "/channels/1", {"priority": 7, "models": None}).json
    assert (changed["priority"], changed["models"]) == (7, [])
    assert site.gateway.routing.channels[0].priority == 7

    assert site.ask("DELETE", "/channels/1").status == 204
    assert site.gateway.routing.channels == ()
    problem(site.ask("GET", "/channels/1"), 404, "not-found")


def test_the_fields_reach_the_administration_as_they_were_sent(site: Site) -> None:
    """Neither a default nor a coercion of the documents' models comes between."""
    add(site)
    assert site.administration.entries[1] == FIRST


def test_secrets_go_in_and_never_come_out(site: Site) -> None:
    """The fake gives everything away; ``***`` is what leaves."""
    made = site.ask("POST", "/channels", FIRST)
    key = site.ask("POST", "/keys", {"name": "one's own", "key": f"sk-gw-{CANARY}"})
    assert key.json["key"] == f"sk-gw-{CANARY}"  # this once
    answers = [
        made,
        site.ask("GET", "/channels"),
        site.ask("GET", "/channels/1"),
        site.ask("PATCH", "/channels/1", {"priority": 2}),
        site.ask("GET", "/channels/1/state"),
        site.ask("GET", "/keys"),
        site.ask("PATCH", "/keys/one's own", {"strict": True}),
        site.ask("GET", "/settings"),
        site.ask("GET", "/audit"),
        site.ask("GET", "/status"),
        # A secret that strayed into the wrong field is not repeated either.
        site.ask("POST", "/channels", {"name": "x", "type": "openai", "priority": CANARY}),
        site.ask("POST", "/channels", {"name": "x", "type": "openai", "base_url": CANARY}),
        site.ask("POST", "/channels/1/test", {"model": {"key": CANARY}}),
        site.ask("POST", "/channels/1/test", {"credential": CANARY}),
        site.ask("POST", "/session", {"key": CANARY}),
        site.ask("POST", "/session", {"key": [CANARY]}),
        site.ask("GET", "/channels", None, {"authorization": f"Bearer {CANARY}"}),
    ]
    for answer in answers:
        assert CANARY not in answer.body.decode(), answer.body
        assert CANARY not in str(answer.headers)
    shown = site.ask("GET", "/channels/1").json
    assert (shown["api_key"], shown["api_keys"], shown["proxy_url"]) == (MASK, [MASK], MASK)
    assert shown["headers"] == {"x-extra": MASK}
    assert "internal" not in shown
    assert "digest" not in site.ask("GET", "/keys").json["keys"][0]


def test_the_live_state(site: Site) -> None:
    add(site)
    lane = site.gateway.fleet.lane(1)
    assert lane.limiter.take()
    lane.settle(
        lane.credentials[0], "gpt-5", UpstreamFailed("It fell over."), seconds=2.0, now=site.time
    )
    lane.credentials[1].cooldowns.bench("gpt-5", 60.0, site.time, "rate limited")
    for state in (site.ask("GET", "/channels/1/state").json, _first(site)["state"]):
        assert state["in_flight"] == 1
        assert state["mode"] == "adaptive"
        assert (state["total_requests"], state["total_errors"]) == (1, 1)
        assert (state["sample_count"], state["error_rate"]) == (1, 1.0)
        assert state["avg_response_time"] == 2.0
        assert state["last_error"] == "It fell over."
        assert [one["number"] for one in state["credentials"]] == [1, 2]
        bench = {"model": "gpt-5", "seconds": 60.0, "reason": "rate limited"}
        assert state["credentials"][1]["benches"] == [bench]
    counted = site.ask("GET", "/status").json
    assert counted["attempts"] == {"total": 1, "errors": 1, "in_flight": 1, "waiting": 0}


def test_a_reset_ends_cooldowns_and_circuits(site: Site) -> None:
    add(site)
    lane = site.gateway.fleet.lane(1)
    credential = lane.credentials[0]
    credential.cooldowns.bench("", 600.0, site.time, "credential refused")
    for _ in range(20):
        credential.circuit.failed(site.time)
    lane.credentials[1].cooldowns.bench("", 600.0, site.time, "credential refused")
    before = site.ask("GET", "/channels/1/state").json
    assert before["credentials"][0]["circuit"] == "open"
    assert before["healthy"] is False
    assert site.ask("GET", "/status").json["channels"]["healthy"] == 0

    after = site.ask("POST", "/channels/1/reset").json
    assert after["credentials"][0] == {
        "number": 1,
        "circuit": "closed",
        "opens_again": 0.0,
        "benches": [],
    }
    assert after["healthy"] is True
    problem(site.ask("POST", "/channels/2/reset"), 404, "not-found")


def test_trying_a_channel_out(site: Site, upstream: StandIn) -> None:
    base = {"name": "local", "type": "custom", "protocol": "openai_chat"}
    keys = {"api_key": KEY, "api_keys": ["sk-wrong-0123456789"]}
    channel = {**base, **keys, "base_url": f"{upstream.url}/v1"}
    assert site.ask("POST", "/channels", channel).status == 201

    told = site.ask("POST", "/channels/1/test").json
    assert [one["credential"] for one in told["results"]] == [1, 2]
    assert all(set(one) == RESULT for one in told["results"])

    told = site.ask("POST", "/channels/1/test", {"model": "text", "credential": 1}).json
    assert told["ok"] is True
    assert told["results"][0]["status"] == 200
    assert upstream.last.path.endswith("/chat/completions")

    told = site.ask("POST", "/channels/1/test", {"model": "error-401", "credential": 1}).json
    assert told["ok"] is False
    assert told["results"][0]["status"] == 401
    assert "key" in told["results"][0]["detail"]

    document = problem(site.ask("POST", "/channels/1/test", {"credential": 3}), 422, "refused")
    assert document["problems"][0]["path"] == "credential"
    problem(site.ask("POST", "/channels/2/test"), 404, "not-found")


RESULT = {"credential", "ok", "status", "milliseconds", "detail"}


def test_a_test_says_what_is_wrong_with_the_address(site: Site) -> None:
    channel = {"name": "nowhere", "type": "custom", "protocol": "openai_chat"}
    site.ask("POST", "/channels", {**channel, "base_url": "http://127.0.0.1:9/v1"})
    told = site.ask("POST", "/channels/1/test").json
    assert told["results"][0]["credential"] == 0
    assert told["results"][0]["status"] is None
    assert "base URL" in told["results"][0]["detail"]


def test_a_key_is_shown_once(site: Site) -> None:
    made = site.ask("POST", "/keys", {"name": "bob", "allowed_models": ["gpt-5"]})
    text = made.json["key"]
    assert text.startswith("sk-gw-")
    assert made.json["document"]["allowed_models"] == ["gpt-5"]
    assert text not in site.ask("GET", "/keys").body.decode()
    problem(site.ask("POST", "/keys", {"name": "bob"}), 409, "name-taken")


def test_a_key_is_changed_and_revoked_at_once(site: Site) -> None:
    changed = site.ask("PATCH", "/keys/alice", {"enabled": False}).json
    assert changed["enabled"] is False
    assert "disabled" in site.ask("GET", "//v1/models", None, _bearer(NORMAL)).body.decode()
    assert site.ask("DELETE", "/keys/alice").status == 204
    assert "revoked" in site.ask("GET", "//v1/models", None, _bearer(NORMAL)).body.decode()
    problem(site.ask("DELETE", "/keys/nobody"), 404, "not-found")


def test_settings(site: Site) -> None:
    told = site.ask("PATCH", "/settings", {"high_availability_mode": True}).json
    assert told["values"]["high_availability_mode"] is True
    assert told["sources"]["high_availability_mode"] == "database"
    assert site.ask("GET", "/settings").json == told
    told = site.ask("PATCH", "/settings", {"port": 0, "prot": 1, "log_level": "loud"})
    named = {one["path"] for one in problem(told, 422, "refused")["problems"]}
    assert named == {"port", "prot", "log_level"}


def test_the_audit_is_paged(site: Site) -> None:
    for number in range(5):
        site.ask("PATCH", "/settings", {"queue_limit": number})
    first = site.ask("GET", "/audit?limit=2").json
    assert [one["id"] for one in first["entries"]] == [5, 4]
    second = site.ask("GET", f"/audit?limit=2&before={first['next']}").json
    assert [one["id"] for one in second["entries"]] == [3, 2]
    last = site.ask("GET", f"/audit?limit=2&before={second['next']}").json
    assert ([one["id"] for one in last["entries"]], last["next"]) == ([1], None)


def test_the_request_log_is_filtered_and_paged(site: Site) -> None:
    query = (
        "?limit=3&since=2026-11-20T12:00:00Z&until=1800000000&channel=second&key=alice"
        "&model=gpt-5&outcome=ok&before=request-0"
    )
    page = site.ask("GET", f"/requests{query}").json
    assert site.administration.wanted == Filter(
        limit=3,
        before="request-0",
        since=1_795_176_000.0,
        until=1_800_000_000.0,
        channel="second",
        key="alice",
        model="gpt-5",
        outcome="ok",
    )
    assert [one["id"] for one in page["requests"]] == ["request-1", "request-2", "request-3"]
    assert page["next"] == "request-3"
    assert all(one["transcript"] is None for one in page["requests"])
    assert site.ask("GET", "/requests").json["next"] is None


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "since=yesterday", "outcome=fine", "chanel=x", "before="],
)
def test_a_query_that_makes_no_sense(site: Site, query: str) -> None:
    reply = site.ask("GET", f"/requests?{query}")
    if query == "before=":
        assert reply.status == 200  # nothing to go on from
        return
    named = problem(reply, 422, "refused")["problems"]
    assert [one["path"] for one in named] == [query.partition("=")[0]]


def test_a_request_is_explained(site: Site) -> None:
    told = site.ask("GET", "/requests/request-1").json
    assert told["started_at"] == "2026-11-20T12:00:01.250Z"
    assert [one["verdict"] for one in told["tried"]] == ["failure", "success"]
    assert told["tried"][0]["credential"] == 2
    assert told["skipped"][0]["reason"] == "circuit open"
    assert told["notes"] == [
        {"path": "settings.seed", "action": "dropped", "detail": "unknown there"}
    ]
    assert told["usage"]["input"] == 10
    assert told["cost_nano_usd"] == 1_500
    assert told["transcript"] == {"request": '{"model":"gpt-5"}', "answer": "\ufffd{}"}
    assert (told["status"], told["outcome"], told["queued_ms"]) == (200, "ok", 0.0)
    problem(site.ask("GET", "/requests/request-99"), 404, "not-found")


def test_status_models_and_providers(site: Site) -> None:
    add(site)
    add(site, name="second", enabled=False)
    site.gateway.totals.count("ok")
    status = site.ask("GET", "/status").json
    assert status["version"]
    assert status["uptime_seconds"] >= 0
    assert status["draining"] is False
    assert status["active_requests"] == 0  # this one is not a client's
    assert status["channels"] == {"total": 2, "enabled": 1, "healthy": 1}
    assert status["requests"] == {"ok": 1, "error": 0, "broken": 0, "left": 0}
    models = site.ask("GET", "/models").json["models"]
    assert models == [
        {"id": "gpt-5", "channels": ["first"]},
        {"id": "gpt-5-mini", "channels": ["first"]},
    ]
    providers = {one["id"]: one for one in site.ask("GET", "/providers").json["providers"]}
    assert providers["openai"]["protocols"]["openai_chat"].startswith("https://")


def test_a_draining_gateway_still_tells_but_changes_nothing(site: Site) -> None:
    signed = site.sign_in()
    _drain(site.gateway)
    assert site.ask("GET", "/status").json["draining"] is True
    assert site.ask("GET", "/keys", None, {"cookie": signed.cookie}).status == 200
    reply = site.ask("POST", "/keys", {"name": "late"})
    problem(reply, 503, "draining")
    assert reply.headers["retry-after"] == "1"


def _drain(gateway: Gateway) -> None:
    async def drain() -> None:
        gateway.drain()

    asyncio.run(drain())


def _first(site: Site) -> dict[str, Any]:
    document: dict[str, Any] = site.ask("GET", "/channels").json["channels"][0]
    return document


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_prices(site: Site) -> None:
    add(site, models="gpt-4o, gpt-5, brand-new")
    add(site, name="second", models="gpt-4o", prices={"*": {"request": "0.01"}})
    add(site, name="off", models="gpt-4o", enabled=False)

    shown = site.ask("GET", "/prices").json
    assert (shown["total"], shown["unpriced"]) == (4, 1)
    by_name = {(one["channel"], one["model"]): one for one in shown["prices"]}
    own = by_name["first", "gpt-5"]
    assert own["rates"] == {"input": "1", "output": "2"}
    assert (own["priced"], own["source"], own["channel_id"]) == (True, "operator", 1)
    shipped = by_name["first", "gpt-4o"]
    assert shipped["rates"]["cache_read"] == "1.25"
    assert shipped["source"].startswith("genai-prices ")
    assert shipped["as_of"] >= "2026-01-01"
    assert by_name["second", "gpt-4o"]["rates"] == {"input": "0", "output": "0", "request": "0.01"}
    nobody = by_name["first", "brand-new"]
    assert (nobody["priced"], nobody["source"], nobody["rates"]) == (False, "", {})

    def names(query: str) -> list[tuple[str, str]]:
        found = site.ask("GET", f"/prices?{query}").json["prices"]
        return [(one["channel"], one["model"]) for one in found]

    assert names("channel=second") == names("channel=2") == [("second", "gpt-4o")]
    assert names("model=GPT-4") == [("first", "gpt-4o"), ("second", "gpt-4o")]
    assert names("model=elsewhere") == []
    assert names("unpriced=true") == [("first", "brand-new")]
    assert len(names("unpriced=false")) == 3
    assert names("limit=1&offset=1") == [("first", "gpt-5")]


@pytest.mark.parametrize(
    ("price", "path"),
    [
        ({"input": -1}, "prices.gpt-5.input"),
        ({"cache_read": "1e400"}, "prices.gpt-5.cache_read"),
        ({"output": None}, "prices.gpt-5.output"),
        ({"cached": 1}, "prices.gpt-5.cached"),
        ({"tiers": [{"above": 0}]}, "prices.gpt-5.tiers.0.above"),
    ],
)
def test_a_price_that_is_none_is_refused_by_its_name(
    site: Site, price: dict[str, Any], path: str
) -> None:
    add(site)
    reply = site.ask("PATCH", "/channels/1", {"prices": {"gpt-5": price}})
    told = problem(reply, 422, "refused")
    assert any(one["path"].startswith(path) for one in told["problems"]), told["problems"]
    assert site.ask("GET", "/channels/1").json["prices"] == FIRST["prices"]


def test_a_price_comes_back_as_it_was_written(site: Site) -> None:
    add(site)
    price = {"input": "0.15", "output": 0.6, "tiers": [{"above": 1000, "input": 0.3}]}
    for _ in range(2):
        shown = site.ask("PATCH", "/channels/1", {"prices": {"gpt-5": price}}).json
        assert shown["prices"] == {"gpt-5": price}
