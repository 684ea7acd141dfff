"""Users, credits and the books over the admin API of the real gateway process, with a configuration file
and with the database alone."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.administered import AS_ADMIN, ENVIRON, added, admin, chat
from tests.live.raw import Reply, ask
from tests.live.test_server import wait_for
from tests.support.gateway import Gateway, configuration
from tests.support.upstream import StandIn

PRICES = {"brand-new": {"input": 1, "output": "2.5"}}


@pytest.fixture(scope="module", params=["database", "file"])
def gateway(request: pytest.FixtureRequest, upstream_server: StandIn) -> Iterator[Gateway]:
    """One with a configuration file, one without."""
    config = configuration(upstream_server.url) if request.param == "file" else None
    with Gateway(config, environ=ENVIRON) as running:
        yield running


@pytest.fixture
def channel(gateway: Gateway, upstream: StandIn) -> Iterator[str]:
    """A channel to Hugging Face (as far as the gateway knows) that serves ``brand-new``; its name."""
    made = admin(
        gateway,
        "POST",
        "/channels",
        {**added(upstream), "type": "huggingface", "prices": PRICES},
    )
    assert made.status == 201, made.body
    yield made.json["name"]
    admin(gateway, "DELETE", f"/channels/{made.json['id']}")


def new_user(gateway: Gateway, **fields: Any) -> dict[str, Any]:
    """A user of a new name."""
    made = admin(gateway, "POST", "/users", {"name": f"user {time.monotonic_ns()}", **fields})
    assert made.status == 201, made.body
    document: dict[str, Any] = made.json
    return document


def new_key(gateway: Gateway, user: dict[str, Any], **fields: Any) -> str:
    """The text of a key of that user's."""
    name = f"key {time.monotonic_ns()}"
    made = admin(gateway, "POST", "/keys", {"name": name, "user": user["name"], **fields})
    assert made.status == 201, made.body
    text: str = made.json["key"]
    return text


def credit(gateway: Gateway, user: dict[str, Any], key: str | None, **fields: Any) -> Reply:
    """A booking, with an Idempotency-Key if it is given."""
    headers = AS_ADMIN if key is None else {**AS_ADMIN, "idempotency-key": key}
    return ask(gateway, "POST", f"/admin/api/users/{user['id']}/credits", fields, headers)


def told(gateway: Gateway, user: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = admin(gateway, "GET", f"/users/{user['id']}").json
    return document


@pytest.mark.row("S2-61", "S2-64")
def test_a_user_s_switch_is_met_by_the_next_request(gateway: Gateway, channel: str) -> None:
    user = new_user(gateway)
    own = "sk-gw-" + "0wn" * 6 + str(time.monotonic_ns())
    assert new_key(gateway, user, key=own) == own
    other = new_key(gateway, user)
    assert other.startswith("sk-gw-")
    assert {chat(gateway, key, "brand-new").status for key in (own, other)} == {200}
    path = f"/users/{user['id']}"
    assert admin(gateway, "PATCH", path, {"enabled": False}).json["enabled"] is False
    for key in (own, other):
        refused = chat(gateway, key, "brand-new")
        assert refused.status == 401
        assert "user" in refused.error[0]
    assert admin(gateway, "PATCH", path, {"enabled": None}).status == 200
    assert chat(gateway, own, "brand-new").status == 200


@pytest.mark.row("S2-65")
def test_without_require_auth_the_anonymous_user_asks(gateway: Gateway, channel: str) -> None:
    def anonymous() -> int:
        return chat(gateway, "", "brand-new").status

    assert anonymous() == 401
    admin(gateway, "PATCH", "/settings", {"require_auth": False})
    try:
        assert anonymous() == 200
        admin(gateway, "PATCH", "/users/2", {"enabled": False})
        assert anonymous() == 401
    finally:
        admin(gateway, "PATCH", "/users/2", {"enabled": True})
        admin(gateway, "PATCH", "/settings", {"require_auth": None})
    assert anonymous() == 401


@pytest.mark.row("S3-34", "S4-53")
def test_usage_is_tracked_per_user_key_and_provider(gateway: Gateway, channel: str) -> None:
    user, bystander = new_user(gateway), new_user(gateway)
    keys = [new_key(gateway, user), new_key(gateway, user)]
    replies = [chat(gateway, key, "brand-new") for key in (*keys, keys[0])]
    assert [reply.status for reply in replies] == [200] * 3
    usage = [reply.json["usage"] for reply in replies]
    read = sum(one["prompt_tokens"] for one in usage)
    written = sum(one["completion_tokens"] for one in usage)
    cost = read * 1_000 + written * 2_500  # nano-USD a token: $1 and $2.50 a million

    def rows(by: str) -> list[dict[str, Any]]:
        query = f"/usage?bucket=hour&by={by}&user={user['id']}"
        found: list[dict[str, Any]] = admin(gateway, "GET", query).json["rows"]
        return found

    assert wait_for(lambda: sum(row["requests"] for row in rows("user")) == 3)
    assert {row["name"] for row in rows("user")} == {user["name"]}
    assert sum(row["input_tokens"] for row in rows("user")) == read
    assert sum(row["output_tokens"] for row in rows("user")) == written
    assert sum(row["cost_nano_usd"] for row in rows("user")) == cost
    assert {row["of"] for row in rows("provider")} == {"huggingface"}
    assert {row["of"] for row in rows("model")} == {"brand-new"}
    assert {row["of"] for row in rows("channel")} == {channel}
    by_key: dict[str, int] = {}
    for row in rows("key"):
        by_key[row["of"]] = by_key.get(row["of"], 0) + row["requests"]
    assert sorted(by_key.values()) == [1, 2]
    assert admin(gateway, "GET", f"/usage?user={bystander['id']}").json["rows"] == []

    (entry,) = admin(gateway, "GET", f"/ledger/{replies[0].headers['x-request-id']}").json[
        "entries"
    ]
    assert (entry["kind"], entry["user_id"]) == ("usage", user["id"])
    assert entry["usage"]["input"] == usage[0]["prompt_tokens"]
    listed = admin(gateway, "GET", f"/ledger?user={user['id']}&kind=usage&limit=2").json
    assert len(listed["entries"]) == 2
    assert sum(leg["amount_nano_usd"] for leg in listed["entries"][0]["legs"]) == 0
    rest = admin(gateway, "GET", f"/ledger?user={user['id']}&before={listed['next']}").json
    assert [one["id"] for one in rest["entries"]] == [entry["id"]]
    assert told(gateway, user)["spent"]["total"] == told(gateway, user)["spent"]["day"] != "0"
    assert told(gateway, user)["balance_nano_usd"] == -cost


def test_a_booking_is_in_force_at_once_and_made_once(gateway: Gateway, channel: str) -> None:
    user = new_user(gateway, prepaid=True)
    key = new_key(gateway, user)
    assert chat(gateway, key, "brand-new").status == 402
    fields: dict[str, Any] = {"kind": "topup", "amount_usd": "25", "reason": "invoice"}
    first = credit(gateway, user, "invoice-1", **fields)
    assert first.status == 201, first.body
    assert chat(gateway, key, "brand-new").status == 200
    again = credit(gateway, user, "invoice-1", **fields)
    assert (again.status, again.json) == (201, first.json)
    other = credit(gateway, user, "invoice-1", **{**fields, "amount_usd": 26})
    assert other.status == 422
    assert other.json["problems"][0]["path"] == "Idempotency-Key"
    bad = credit(gateway, user, "two words", **fields)
    assert (bad.status, bad.json["problems"][0]["path"]) == (422, "Idempotency-Key")

    shown = told(gateway, user)
    assert 0 < shown["balance_nano_usd"] < 25 * 10**9
    assert shown["available_nano_usd"] == shown["balance_nano_usd"]

    def statement() -> dict[str, Any]:
        page: dict[str, Any] = admin(gateway, "GET", f"/users/{user['id']}/statement").json
        return page

    assert wait_for(lambda: len(statement()["lines"]) == 2)
    page = statement()
    assert [line["kind"] for line in page["lines"]] == ["usage", "topup"]
    assert page["closing_nano_usd"] == shown["balance_nano_usd"]
    text = admin(gateway, "GET", f"/users/{user['id']}/statement?format=csv")
    assert text.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in text.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(text.body.decode())))
    assert [row["kind"] for row in rows] == ["topup", "usage"]
    newest = admin(gateway, "GET", "/audit?limit=200").json["entries"]
    assert [one["target"] for one in newest if one["action"] == "credit.topup"].count(
        f"{user['name']} (id {user['id']})"
    ) == 1


def test_a_trial_pays_until_it_is_ended(gateway: Gateway, channel: str) -> None:
    user = new_user(gateway, prepaid=True)
    key = new_key(gateway, user)
    path = f"/users/{user['id']}/trial"
    begun = admin(gateway, "POST", path, {"tokens": None})
    assert begun.status == 200, begun.body
    trial = begun.json["trial"]
    assert (trial["usd"], trial["tokens"], trial["requests"]) == ("10", None, 1000)
    assert chat(gateway, key, "brand-new").status == 200
    assert told(gateway, user)["balance_nano_usd"] == 0
    assert admin(gateway, "DELETE", path).json["trial"] is None
    assert chat(gateway, key, "brand-new").status == 402


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "at"),
    [
        ("POST", "/users", b'{"name":"x","limits":{"requests_per_minute":-1}}', 422, "limits."),
        ("POST", "/users", b'{"name":"x","limits":{"requests_per_minute":0.5}}', 422, "limits."),
        ("POST", "/users", b'{"name":"x","budget":{"day":null}}', 422, "budget.day"),
        ("POST", "/users", b'{"name":"x","budget":{"day":"1e400"}}', 422, "budget.day"),
        ("POST", "/users/1/credits", b'{"kind":"topup","amount_usd":"1e400"}', 422, "amount_usd"),
        ("POST", "/users/1/credits", b'{"kind":"topup","amount_usd":-1}', 422, "amount_usd"),
        ("POST", "/users/1/trial", b'{"requests":0}', 422, "requests"),
        ("PATCH", "/users/1", b'{"nmae":"x"}', 422, "nmae"),
        ("PATCH", "/settings", b'{"limits":{"tokens_per_day":1.5}}', 422, "limits."),
        ("GET", "/usage?bucket=week", None, 422, "bucket"),
        ("GET", "/ledger?limit=0", None, 422, "limit"),
        ("GET", "/users/999999", None, 404, ""),
        ("GET", "/users/999999/statement?format=csv", None, 404, ""),
        ("GET", "/ledger/no-such-entry", None, 404, ""),
        ("DELETE", "/users/1", None, 405, ""),
    ],
)
def test_what_cannot_be_is_refused_by_the_field_s_name(
    gateway: Gateway, method: str, path: str, body: bytes | None, status: int, at: str
) -> None:
    before = admin(gateway, "GET", "/audit?limit=1").json["entries"]
    headers = {**AS_ADMIN, "content-type": "application/json"}
    reply = ask(gateway, method, f"/admin/api{path}", body, headers)
    assert reply.status == status, reply.body
    if status == 422:
        assert reply.json["problems"][0]["path"].startswith(at)
    assert admin(gateway, "GET", "/audit?limit=1").json["entries"] == before


def test_a_number_beyond_every_number_is_refused(gateway: Gateway) -> None:
    body = b'{"kind":"topup","amount_usd":1e400}'
    headers = {**AS_ADMIN, "content-type": "application/json"}
    reply = ask(gateway, "POST", "/admin/api/users/1/credits", body, headers)
    assert reply.status == 422, reply.body
    assert reply.json["problems"][0]["path"] == "amount_usd"


def test_a_restart_loses_nothing(gateway: Gateway) -> None:
    user = new_user(gateway, limits={"tokens_per_day": 5}, budget={"month": "0.3"}, trial={})
    credit(gateway, user, None, kind="topup", amount_usd=0.1)
    before = told(gateway, user)
    gateway.restart()
    assert wait_for(lambda: told(gateway, user) == before), (told(gateway, user), before)
    assert (before["balance_usd"], before["budget"]) == ("0.1", {"month": "0.3"})
