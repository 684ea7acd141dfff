"""The billing part of Hugging Face's task API, and its errors, over a socket."""

from __future__ import annotations

import datetime
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.live.administered import AS_ADMIN, admin
from tests.live.money import MODEL, NANO_PER_TOKEN, Shop, shop
from tests.live.raw import Reply, ask, request_body

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "hugging-face-billing.md"
COST = "/hf/tasks/billing/cost"
USAGE = "/hf/tasks/billing/usage"
BILLING = "/hf/billing"
PRICES = {
    # As in the document.
    "gpt-3.5-turbo": {"input": "0.50", "output": "1.50"},
    "odd": {"input": "0.0375", "output": 0},
    "per-request": {"input": 1, "output": 1, "request": "0.01"},
    "long": {"input": 1, "output": 1, "tiers": [{"above": 1000, "input": 2, "output": 8}]},
    MODEL: {"input": 1, "output": 1},
}
UNPRICED = "unpriced"
# What this machine serves is free, but for providers that sell by way of it.
CHANNEL = {"type": "openrouter", "models": [*PRICES, UNPRICED], "prices": PRICES}
ITEM = {
    "task": "text-generation",
    "model": "gpt-3.5-turbo",
    "input_tokens": 100,
    "output_tokens": 50,
}


@pytest.fixture(scope="module")
def store() -> Iterator[Shop]:
    """One shop for the tests of this module; each has users of its own."""
    with shop(channel=CHANNEL) as one:
        yield one


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return request.node.name[:80]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def costs(one: Shop, key: str, *items: dict[str, Any]) -> Reply:
    return ask(one.gateway, "POST", COST, {"requests": [*items]}, bearer(key))


def usage(one: Shop, key: str, query: str = "") -> Reply:
    return ask(one.gateway, "GET", f"{USAGE}{query}", None, bearer(key))


def served(one: Shop, key: str, path: str = "/v1/chat/completions", **fields: Any) -> Reply:
    """A request that is charged."""
    protocol = "openai_completions" if path == "/v1/completions" else "openai_chat"
    body = {**request_body(protocol, MODEL), "max_tokens": 50, **fields}
    reply = ask(one.gateway, "POST", path, body, bearer(key))
    assert reply.status == 200, reply.body
    return reply


def failure(reply: Reply) -> tuple[int, str]:
    """Status and type of an error, which has the documented shape."""
    assert reply.headers["content-type"] == "application/json"
    assert set(reply.json) == {"error", "error_type", "message"}
    assert all(isinstance(text, str) and text for text in reply.json.values())
    assert reply.headers["x-request-id"] in reply.json["message"]
    return reply.status, reply.json["error_type"]


@pytest.mark.row("S4-23")
@pytest.mark.row("S4-24")
def test_the_documented_request_costs_125000_nano_usd(store: Shop, name: str) -> None:
    key = store.key(name, "default")
    reply = costs(store, key, ITEM, ITEM | {"model": "odd", "task": "embedding"})
    answer = json.loads(reply.body, parse_float=Decimal)
    first = {**ITEM, "cost_nano_usd": 125_000, "cost_usd": Decimal("0.000125")}
    # 100 tokens at 37.5 nano-USD; the 50 others are free.
    second = {"cost_nano_usd": 3_750, "cost_usd": Decimal("0.00000375")}
    assert answer == {
        "total_cost_nano_usd": 128_750,
        "costs": [first, {**ITEM, "model": "odd", "task": "embedding", **second}],
        "currency": "USD",
    }
    assert b"0.00000375" in reply.body  # plain digits, as the documentation writes them


def test_the_documents_example_is_true(store: Shop, name: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    asked, told = re.findall(r"```json\n(.*?)```", text, re.DOTALL)[:2]
    key = store.key(name, "default")
    assert ask(store.gateway, "POST", COST, asked.encode(), bearer(key)).json == json.loads(told)


@pytest.mark.parametrize(
    ("model", "read", "written", "nano"),
    [
        ("odd", 1, 0, 38),  # 37.5, rounded up
        ("odd", 3, 0, 113),  # 112.5: rounded up once, not for each token
        ("odd", 0, 0, 0),
        ("per-request", 10, 10, 10_020_000),
        ("long", 1_000, 1, 1_001_000),
        ("long", 1_001, 1, 2_010_000),
        ("gpt-3.5-turbo", 10**9, 10**9, 2 * 10**12),
    ],
)
def test_costs_are_whole_and_rounded_up_once(
    store: Shop, model: str, read: int, written: int, nano: int
) -> None:
    key = store.key(f"{model} {read}", "default")
    item = ITEM | {"model": model, "input_tokens": read, "output_tokens": written}
    answer = costs(store, key, item, item).json
    assert [one["cost_nano_usd"] for one in answer["costs"]] == [nano, nano]
    assert answer["total_cost_nano_usd"] == 2 * nano


def test_what_is_asked_for_is_what_is_charged(store: Shop, name: str) -> None:
    key = store.key(name, "default")
    reply = served(store, key)
    used = reply.json["usage"]
    item = ITEM | {
        "model": MODEL,
        "input_tokens": used["prompt_tokens"],
        "output_tokens": used["completion_tokens"],
    }
    told = costs(store, key, item).json["total_cost_nano_usd"]
    assert told == int(reply.headers["dragoman-cost-nano-usd"])


def test_no_price_is_null_with_a_warning_and_never_zero(store: Shop, name: str) -> None:
    key = store.key(name, "default")
    unpriced = ITEM | {"model": UNPRICED}
    answer = costs(store, key, unpriced, ITEM, unpriced).json
    assert [one["cost_nano_usd"] for one in answer["costs"]] == [None, 125_000, None]
    assert [one["cost_usd"] for one in answer["costs"]] == [None, 0.000125, None]
    assert answer["total_cost_nano_usd"] == 125_000
    (warning,) = answer["warnings"]
    assert UNPRICED in warning


def test_ten_thousand_at_once_and_not_one_more(store: Shop, name: str) -> None:
    key = store.key(name, "default")
    answer = costs(store, key, *[ITEM] * 10_000).json
    assert len(answer["costs"]) == 10_000
    assert answer["total_cost_nano_usd"] == 10_000 * 125_000
    refused = costs(store, key, *[ITEM] * 10_001)
    assert failure(refused) == (400, "BadRequest")
    assert "'requests'" in refused.json["error"]
    assert costs(store, key).json == {"total_cost_nano_usd": 0, "costs": [], "currency": "USD"}


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ('"input_tokens": -1', "requests.1.input_tokens"),
        ('"input_tokens": 1.5', "requests.1.input_tokens"),
        ('"input_tokens": 1e400', "requests.1.input_tokens"),
        ('"input_tokens": 1e2', "requests.1.input_tokens"),
        (f'"output_tokens": 1{"0" * 400}', "requests.1.output_tokens"),
        ('"output_tokens": 1000000001', "requests.1.output_tokens"),
        ('"output_tokens": null', "requests.1.output_tokens"),
        ('"output_tokens": "50"', "requests.1.output_tokens"),
        ('"output_tokens": true', "requests.1.output_tokens"),
        ('"model": ""', "requests.1.model"),
        ('"model": 7', "requests.1.model"),
        ('"task": "telepathy"', "requests.1.task"),
        ('"task": null', "requests.1.task"),
    ],
)
def test_nonsense_is_refused_with_the_fields_name(store: Shop, raw: str, field: str) -> None:
    key = store.key(field + raw[:60], "default")
    item = json.dumps(ITEM)
    wrong = f"{item[:-1]}, {raw}}}"  # of two members of one name the last counts
    reply = ask(
        store.gateway, "POST", COST, f'{{"requests": [{item}, {wrong}]}}'.encode(), bearer(key)
    )
    assert failure(reply) == (400, "BadRequest")
    assert f"'{field}'" in reply.json["error"]
    assert f"field: {field}" in reply.json["message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not valid JSON"),
        (b"[]", "Expected `object`"),
        (b"{}", "`requests`"),
        (b'{"requests": null}', "'requests'"),
        (b'{"requests": {}}', "'requests'"),
        (b'{"requests": [{}]}', "`task`"),
        (
            b'{"requests": [{"task": "embedding", "model": "m", "input_tokens": 1}]}',
            "`output_tokens`",
        ),
        (b'{"requests": [NaN]}', "not valid JSON"),
        (b"[" * 5_000, "Expected `object`"),
        (b'{"requests": [{"task": "\xff"}]}', "not valid"),
    ],
    ids=range(10),
)
def test_what_is_no_request_is_refused(store: Shop, body: bytes, said: str) -> None:
    key = store.key(said + str(len(body)), "default")
    reply = ask(store.gateway, "POST", COST, body, bearer(key))
    assert failure(reply) == (400, "BadRequest")
    assert said in reply.json["error"]


@pytest.mark.row("S4-25")
@pytest.mark.row("S4-26")
@pytest.mark.row("S4-27")
@pytest.mark.row("S4-53")
def test_usage_is_the_users_own_newest_first_and_up_to_this_moment(store: Shop, name: str) -> None:
    user = store.user(name)
    laptop, phone = store.key(f"{name} laptop", name), store.key(f"{name} phone", name)
    assert usage(store, laptop).json == {
        "records": [],
        "total_records": 0,
        "total_cost_nano_usd": 0,
    }
    served(store, store.key(f"{name} other", "default"))  # is nobody's business here
    replies = [served(store, laptop), served(store, phone, "/v1/completions"), served(store, phone)]
    answer = usage(store, laptop).json
    expected = [
        {
            "request_id": reply.headers["x-request-id"],
            "task": task,
            "model": MODEL,
            "input_tokens": reply.json["usage"]["prompt_tokens"],
            "output_tokens": reply.json["usage"]["completion_tokens"],
            "cost_nano_usd": reply.json["usage"]["total_tokens"] * NANO_PER_TOKEN,
            "user_id": str(user),
        }
        for reply, task in zip(
            reversed(replies), ("conversational", "text-generation", "conversational"), strict=True
        )
    ]
    moments = [datetime.datetime.fromisoformat(one.pop("timestamp")) for one in answer["records"]]
    assert moments == sorted(moments, reverse=True)
    assert all(moment.tzinfo is datetime.UTC for moment in moments)
    assert answer == {
        "records": expected,
        "total_records": 3,
        "total_cost_nano_usd": sum(one["cost_nano_usd"] for one in expected),
    }


@pytest.mark.row("S4-25")
def test_usage_comes_in_pages(store: Shop, name: str) -> None:
    store.user(name)
    key = store.key(name, name)
    sent = [served(store, key).headers["x-request-id"] for _ in range(3)][::-1]
    totals = usage(store, key).json
    for query, expected in (
        ("?limit=2", sent[:2]),
        ("?limit=2&offset=2", sent[2:]),
        ("?offset=1&limit=1", sent[1:2]),
        ("?offset=3", []),
        ("?offset=1000000000", []),
    ):
        page = usage(store, key, query).json
        assert [one["request_id"] for one in page["records"]] == expected
        assert page["total_records"] == totals["total_records"] == 3
        assert page["total_cost_nano_usd"] == totals["total_cost_nano_usd"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=1.5",
        "limit=1e2",
        "limit=",
        "limit=ten",
        "limit=%EF%BC%91",
        "limit=" + "9" * 5_000,
        "offset=-1",
        "offset=x",
        "offset=1000000001",
    ],
    ids=range(12),
)
def test_a_page_that_cannot_be_is_refused_with_the_fields_name(store: Shop, query: str) -> None:
    key = store.key(query[:60], "default")
    reply = usage(store, key, f"?{query}")
    assert failure(reply) == (400, "BadRequest")
    assert query.partition("=")[0] in reply.json["error"]


def test_usage_tells_what_a_prepaid_account_could_not_pay_too(store: Shop, name: str) -> None:
    # One output token is held for, as the client says, and the upstream writes more.
    user = store.user(name, usd="0.000035")
    key = store.key(name, name)
    reply = served(store, key, max_tokens=1)
    cost = int(reply.headers["dragoman-cost-nano-usd"])
    assert cost > 35_000
    assert store.balance(user) == 0
    answer = usage(store, key).json
    assert [one["cost_nano_usd"] for one in answer["records"]] == [cost]
    assert (answer["total_records"], answer["total_cost_nano_usd"]) == (1, cost)
    # Who is out of money may still ask what it went for.
    refused = ask(
        store.gateway,
        "POST",
        "/v1/chat/completions",
        request_body("openai_chat", MODEL),
        bearer(key),
    )
    assert refused.status == 402
    assert usage(store, key).json == answer


def test_usage_without_a_price_is_null(store: Shop, name: str) -> None:
    store.user(name)
    key = store.key(name, name)
    served(store, key, model=UNPRICED)
    answer = usage(store, key).json
    assert [one["cost_nano_usd"] for one in answer["records"]] == [None]
    assert (answer["total_records"], answer["total_cost_nano_usd"]) == (1, 0)


@pytest.mark.row("S4-56")
def test_hugging_face_is_told_what_its_requests_cost(store: Shop, name: str) -> None:
    key = store.key(name, "default")
    replies = [served(store, key) for _ in range(2)]
    others = served(store, store.key(f"{name} other", _user(store, f"{name} other")))
    unpriced = served(store, key, model=UNPRICED)
    ids = [one.headers["inference-id"] for one in (*replies, others, unpriced)]
    usage(store, key)  # by then the books have them
    body = {"requestIds": [*ids, "unknown", ids[0]]}
    answer = ask(store.gateway, "POST", BILLING, body, bearer(key)).json
    assert sorted(answer["requests"], key=lambda one: ids.index(one["requestId"])) == [
        {
            "requestId": reply.headers["inference-id"],
            "costNanoUsd": int(reply.headers["dragoman-cost-nano-usd"]),
        }
        for reply in replies
    ]
    many = [f"{number:036}" for number in range(10_000)]
    assert ask(store.gateway, "POST", BILLING, {"requestIds": many}, bearer(key)).json == {
        "requests": []
    }
    refused = ask(store.gateway, "POST", BILLING, {"requestIds": [*many, "x"]}, bearer(key))
    assert failure(refused) == (400, "BadRequest")
    assert "'requestIds'" in refused.json["error"]


def _user(one: Shop, name: str) -> str:
    one.user(name)
    return name


def test_each_sees_the_price_of_the_channel_that_their_key_would_use(store: Shop) -> None:
    for number, (priority, dollars) in enumerate(((1, 3), (2, 1)), start=1):
        added = {
            "name": f"shared {number}",
            "type": "custom",
            "protocol": "openai_chat",
            "base_url": store.door.url,
            "api_key": "key-1",
            "models": ["shared"],
            "priority": priority,
            "prices": {"*": {"input": dollars, "output": dollars}},
        }
        made = admin(store.gateway, "POST", "/channels", added)
        assert made.status == 201, made.body
    item = ITEM | {"model": "shared"}
    for allowed, nano in (([], 450_000), (["shared 2"], 150_000)):
        key = store.key(f"key {allowed}", "default", allowed_channels=allowed)
        assert costs(store, key, item).json["total_cost_nano_usd"] == nano
    barred = store.key("barred", "default", allowed_channels=["shelf"])
    assert failure(costs(store, barred, item)) == (403, "Forbidden")


@pytest.mark.row("S4-39")
@pytest.mark.row("S4-40")
def test_every_documented_status_with_its_error(store: Shop, name: str) -> None:
    gateway = store.gateway
    key = store.key(name, "default", allowed_models=["gpt-3.5-turbo"])
    assert costs(store, key, ITEM).status == 200
    assert usage(store, key).status == 200

    assert failure(costs(store, key, ITEM | {"input_tokens": -1})) == (400, "BadRequest")
    assert failure(usage(store, key, "?limit=0")) == (400, "BadRequest")
    assert failure(usage(store, "sk-gw-nobodys-0123456789abcdef")) == (401, "Unauthorized")
    assert failure(ask(gateway, "POST", COST, b"{}", {})) == (401, "Unauthorized")

    forbidden = costs(store, key, ITEM, ITEM | {"model": "odd"})
    assert failure(forbidden) == (403, "Forbidden")
    assert "field: requests.1.model" in forbidden.json["message"]
    assert failure(ask(gateway, "GET", USAGE, None, AS_ADMIN)) == (403, "Forbidden")

    free = store.key(f"{name} free", "default")
    unknown = costs(store, free, ITEM, ITEM | {"model": "no-such-model"})
    assert failure(unknown) == (404, "NotFound")
    assert "field: requests.1.model" in unknown.json["message"]
    assert failure(ask(gateway, "POST", "/hf/levitation", b"{}", bearer(key))) == (
        404,
        "NotFound",
    )
    assert failure(ask(gateway, "GET", COST, None, bearer(key))) == (405, "MethodNotAllowed")
    too_large = ask(gateway, "POST", COST, b"{}", {**bearer(key), "content-length": "5000000"})
    assert failure(too_large) == (413, "PayloadTooLarge")

    limited = store.key(f"{name} limited", "default", limits={"requests_per_minute": 2})
    assert [costs(store, limited, ITEM).status, usage(store, limited).status] == [200, 200]
    for refused in (costs(store, limited, ITEM), usage(store, limited)):
        assert failure(refused) == (429, "TooManyRequests")
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert refused.headers["x-ratelimit-limit"] == "2"
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert int(refused.headers["x-ratelimit-reset"]) > 1_700_000_000
    assert served(store, free).status == 200


@pytest.mark.row("S4-39")
def test_a_defect_is_a_500_in_the_documented_shape() -> None:
    with shop() as one:
        key = one.key("key", "default")
        served(one, key)
        assert usage(one, key).status == 200
        # A time that is none: nothing but a damaged database has one.
        with closing(sqlite3.connect(one.gateway.folder / "data" / "dragoman.db")) as database:
            for (trigger,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'entries'"
            ).fetchall():
                database.execute(f'DROP TRIGGER "{trigger}"')
            database.execute("UPDATE entries SET at = 1e300")
            database.commit()
        broken = usage(one, key)
        assert failure(broken) == (500, "InternalServerError")
        assert "1e+300" not in broken.json["error"]
        assert costs(one, key, ITEM | {"model": MODEL}).status == 200


def test_without_keys_everybody_is_the_anonymous_user() -> None:
    with shop({"require_auth": False}) as one:
        served(one, one.key("key", "default"))
        body = {**request_body("openai_chat", MODEL), "max_tokens": 50}
        reply = ask(one.gateway, "POST", "/v1/chat/completions", body, {})
        answer = ask(one.gateway, "GET", USAGE, None, {}).json
        assert [record["request_id"] for record in answer["records"]] == [
            reply.headers["x-request-id"]
        ]
        assert ask(one.gateway, "POST", COST, {"requests": []}, {}).status == 200
