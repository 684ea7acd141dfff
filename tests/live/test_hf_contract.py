"""What Hugging Face's contract asks of every answer of a provider, over a socket: an id in each, the
list of models with prices, costs by the thousand."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from openai import OpenAI

from dragoman.protocols.hf_tasks.tasks import TASKS
from dragoman.server import routes
from tests.live.administered import AS_ADMIN
from tests.live.money import MODEL, Shop, shop
from tests.live.raw import Reply, ask, request_body
from tests.live.test_server import wait_for as _soon

BILLING = "/hf/billing"
PRICES = {
    "cents": {"input": "0.0375", "output": "12.5"},
    "long": {"input": 1, "output": 2, "tiers": [{"above": 1000, "input": 2, "output": 8}]},
    MODEL: {"input": 1, "output": 1},
}
UNPRICED = "unpriced"
SHIPPED = "openai/gpt-4o-mini"
CHANNEL = {
    # What this machine serves is free, but for providers that sell by way of it.
    "type": "openrouter",
    "models": [*PRICES, UNPRICED, SHIPPED],
    "prices": {**PRICES, SHIPPED: {"input": "0.1500", "output": "0.6"}},
}


@pytest.fixture(scope="module")
def store() -> Iterator[Shop]:
    """A shop whose models have prices of all kinds."""
    with shop(channel=CHANNEL) as one:
        yield one


@pytest.fixture
def key(store: Shop, request: pytest.FixtureRequest) -> dict[str, str]:
    """The headers of a key of its own."""
    return bearer(store.key(request.node.name[:80], "default"))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def listed(one: Shop, headers: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The list of models, by name; numbers as they are written."""
    body = ask(one.gateway, "GET", "/v1/models", None, headers).body
    return {row["id"]: row for row in json.loads(body, parse_float=Decimal)["data"]}


# -- Ids ---------------------------------------------------------------------------------------------

STREAMED = [
    ("/v1/chat/completions", "openai_chat"),
    ("/v1/completions", "openai_completions"),
    ("/v1/responses", "openai_responses"),
    ("/v1/messages", "anthropic_messages"),
    ("/api/chat", "ollama_chat"),
]


def every_route() -> list[tuple[str, str]]:
    """A method and a path for each route of the gateway's table, and those that it does not have."""
    paths = [("POST", f"/v1/{path}") for path in routes._POST if not path.startswith("api/")]
    paths += [("POST", f"/{path}") for path in routes._POST if path.startswith("api/")]
    paths += [("GET", f"/v1/{path}" if "/" not in path else f"/{path}") for path in routes._GET]
    paths += [("POST", f"/v1beta/models/{MODEL}:{verb}") for verb in routes._GEMINI_VERBS]
    paths += [(methods[0], f"/{path}") for path, (methods, *_) in routes._TASKS.items()]
    paths += [("GET", f"/v1/models/{MODEL}"), ("GET", "/v1beta/models"), ("GET", "/v1/models/none")]
    for task in TASKS:
        paths += [("POST", f"/hf/tasks/{task}"), ("POST", f"/hf/models/{MODEL}/pipeline/{task}")]
    paths += [("POST", f"/hf/models/{MODEL}"), ("POST", "/hf/tasks/run")]
    paths += [("GET", f"/hf/tasks/{path}") for path in ("models", "models/map")]
    paths += [("GET", path) for path in ("/", "/health", "/ready", "/api/hello", "/metrics")]
    paths += [("GET", "/admin"), ("GET", "/admin/api/keys"), ("GET", "/admin/api/openapi.json")]
    paths += [("POST", "/hf/nothing"), ("GET", "/nothing"), ("DELETE", "/v1/models")]
    return paths


def request_id(reply: Reply) -> str:
    """The id of an answer, which is a UUID."""
    text = reply.headers["inference-id"]
    assert str(uuid.UUID(text)) == text
    assert reply.headers.get("x-request-id", text) == text
    return text


@pytest.mark.row("S4-57")
def test_every_route_answers_with_an_id(store: Shop, key: dict[str, str]) -> None:
    seen = []
    statuses = set()
    for method, path in every_route():
        for headers in ({}, key, AS_ADMIN):
            for body in (b"", b"{", json.dumps(request_body("openai_chat", MODEL)).encode()):
                if method == "GET" and body:
                    continue
                reply = ask(store.gateway, method, path, body or None, headers)
                seen.append(request_id(reply))
                statuses.add(reply.status)
    assert len(set(seen)) == len(seen)
    assert statuses >= {200, 400, 401, 403, 404, 405}
    head = ask(store.gateway, "HEAD", "/v1/models", None, key)
    request_id(head)


@pytest.mark.row("S4-57")
@pytest.mark.parametrize(("path", "protocol"), STREAMED)
@pytest.mark.parametrize("stream", [True, False])
def test_every_protocol_answers_with_an_id(
    store: Shop, key: dict[str, str], path: str, protocol: str, stream: bool
) -> None:
    body = request_body(protocol, MODEL, stream=stream)
    reply = ask(store.gateway, "POST", path, body, key)
    assert reply.status == 200, reply.body
    request_id(reply)


def test_a_stream_of_geminis_has_an_id(store: Shop, key: dict[str, str]) -> None:
    body = request_body("gemini_generate", MODEL)
    path = f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
    reply = ask(store.gateway, "POST", path, body, key)
    assert reply.status == 200, reply.body
    request_id(reply)


# -- The list of models ------------------------------------------------------------------------------


@pytest.mark.row("S4-59")
def test_the_list_has_prices_and_context_lengths(store: Shop, key: dict[str, str]) -> None:
    rows = listed(store, key)
    assert rows["cents"]["pricing"] == {"input": Decimal("0.0375"), "output": Decimal("12.5")}
    assert rows["long"]["pricing"] == {"input": 1, "output": 2}
    assert rows[SHIPPED]["pricing"] == {"input": Decimal("0.15"), "output": Decimal("0.6")}
    assert rows[UNPRICED]["pricing"] is None
    assert rows[SHIPPED]["context_length"] == 128_000
    assert "context_length" not in rows["cents"]
    for row in rows.values():
        assert set(row) - {"context_length"} == {"id", "object", "created", "owned_by", "pricing"}
    shown = ask(store.gateway, "GET", "/v1/models/cents", None, key).json
    assert shown["pricing"] == {"input": 0.0375, "output": 12.5}


def test_openais_client_reads_the_list(store: Shop, key: dict[str, str]) -> None:
    client = OpenAI(
        base_url=f"{store.gateway.url}/v1",
        api_key=key["authorization"].removeprefix("Bearer "),
        _strict_response_validation=True,
    )
    models = {one.id: one for one in client.models.list()}
    assert set(models) == set(CHANNEL["models"])
    assert client.models.retrieve("cents").id == "cents"


def test_a_change_of_price_is_in_the_list_at_once(store: Shop, key: dict[str, str]) -> None:
    with shop(channel={"prices": {"*": {"input": 1, "output": 1}}}) as one:
        mine = bearer(one.key("key", "default"))
        assert listed(one, mine)[MODEL]["pricing"] == {"input": 1, "output": 1}
        config = json.loads(json.dumps(one.gateway.config))
        config["channels"][0]["prices"] = {"*": {"input": 3, "output": "4.5"}}
        one.gateway.rewrite(config)
        wanted = {"input": 3, "output": Decimal("4.5")}
        assert _soon(lambda: listed(one, mine)[MODEL]["pricing"] == wanted)


def test_of_several_channels_the_dearest_whose_turn_it_may_be() -> None:
    with shop() as one:
        config = json.loads(json.dumps(one.gateway.config))
        (first,) = config["channels"]
        for number, priority, price in ((2, 1, 5), (3, 2, 9)):
            prices = {"*": {"input": price, "output": price}}
            more = {"id": number, "name": f"shelf {number}", "priority": priority}
            config["channels"].append({**first, **more, "prices": prices})
        one.gateway.rewrite(config)
        free = bearer(one.key("free", "default"))
        assert _soon(lambda: listed(one, free)[MODEL]["pricing"] == {"input": 5, "output": 5})
        for allowed, price in ((["shelf"], 1), (["shelf 3"], 9), (["shelf", "shelf 3"], 1)):
            mine = bearer(one.key(f"{allowed}", "default", allowed_channels=allowed))
            assert listed(one, mine)[MODEL]["pricing"] == {"input": price, "output": price}
        barred = bearer(one.key("barred", "default", allowed_models=["other"]))
        assert listed(one, barred) == {}


# -- The billing endpoint ----------------------------------------------------------------------------


@pytest.mark.row("S4-56")
def test_ten_thousand_costs_in_one_call() -> None:
    with shop() as one:
        mine = bearer(one.key("key", "default"))
        body = {**request_body("openai_chat", MODEL), "max_tokens": 50}
        served = ask(one.gateway, "POST", "/v1/chat/completions", body, mine)
        assert ask(one.gateway, "GET", "/hf/tasks/billing/usage", None, mine).status == 200
        ids = _multiplied(one, 10_000)
        unknown = [str(uuid.uuid4()) for _ in range(2_500)]
        asked = [*ids[:7_500], *unknown]
        reply = ask(one.gateway, "POST", BILLING, {"requestIds": asked}, mine)
        cost = int(served.headers["dragoman-cost-nano-usd"])
        rows = reply.json["requests"]
        assert {row["requestId"] for row in rows} == set(ids[:7_500])
        assert {row["costNanoUsd"] for row in rows} == {cost}
        assert all(type(row["costNanoUsd"]) is int for row in rows)
        # Asked again, it is the same again.
        again = ask(one.gateway, "POST", BILLING, {"requestIds": asked}, mine)
        assert again.json == reply.json


@pytest.mark.row("S4-56")
def test_what_failed_or_has_no_price_is_left_out(store: Shop, key: dict[str, str]) -> None:
    failed = ask(
        store.gateway, "POST", "/v1/chat/completions", request_body("openai_chat", "none"), key
    )
    assert failed.status == 404
    streamed = ask(
        store.gateway,
        "POST",
        "/v1/chat/completions",
        request_body("openai_chat", MODEL, stream=True),
        key,
    )
    ids = [failed.headers["inference-id"], streamed.headers["inference-id"]]

    def bill() -> list[dict[str, Any]]:
        reply = ask(store.gateway, "POST", BILLING, {"requestIds": ids}, key)
        assert reply.status == 200
        rows: list[dict[str, Any]] = reply.json["requests"]
        return rows

    assert _soon(lambda: [row["requestId"] for row in bill()] == ids[1:])
    assert bill()[0]["costNanoUsd"] > 0
    assert ask(store.gateway, "POST", BILLING, {"requestIds": []}, key).json == {"requests": []}
    assert ask(store.gateway, "POST", BILLING, {"requestIds": ids}, {}).status == 401


def _multiplied(one: Shop, number: int) -> list[str]:
    """As many requests in the books as ``number``, all like the one that is there; their ids."""
    ids = [str(uuid.uuid4()) for _ in range(number)]
    with closing(sqlite3.connect(one.gateway.folder / "data" / "dragoman.db")) as database:
        cursor = database.execute("SELECT * FROM entries WHERE kind = 'usage'")
        names = [column[0] for column in cursor.description]
        (row,) = [dict(zip(names, values, strict=True)) for values in cursor]
        legs = database.execute("SELECT * FROM legs WHERE number = ?", (row["number"],))
        leg_names = [column[0] for column in legs.description]
        own_legs = [dict(zip(leg_names, values, strict=True)) for values in legs]
        (last,) = database.execute("SELECT max(number) FROM entries").fetchone()
        for place, request_id in enumerate(ids, start=last + 1):
            _insert(database, "entries", {**row, "number": place, "id": request_id})
            for leg in own_legs:
                _insert(database, "legs", {**leg, "number": place})
        database.commit()
    return ids


def _insert(database: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(row))
    database.execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
    )
