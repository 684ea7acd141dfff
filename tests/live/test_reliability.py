"""What docs/reliability.md promises of a gateway that serves while things go wrong around it.

``DRAGOMAN_OUTAGE_SECONDS=60 pytest -s tests/live/test_reliability.py -k away`` is the long outage.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from psycopg.conninfo import conninfo_to_dict

from dragoman.engine.tasks import spawn
from dragoman.store.journal import Journal
from tests.live.administered import admin
from tests.live.money import MODEL, NANO_PER_TOKEN, Shop, shop
from tests.live.raw import Reply, ask, request_body
from tests.live.routes import settles
from tests.support.flexible_upstream import OK, TEXT, Hold
from tests.support.flexible_upstream import Reply as Upstream
from tests.support.forwarder import Forwarder
from tests.support.gateway import free_port
from tests.support.journals import SMALL, end, released
from tests.support.load import Told, ask_once
from tests.support.postgres import SERVER, fresh_database, sql
from tests.support.standin.script import pieces

OUTAGE_SECONDS = float(os.environ.get("DRAGOMAN_OUTAGE_SECONDS", "2"))
CHAT = "/v1/chat/completions"
NARROW = "narrow"
"""A model whose only channel takes one request at a time."""


@pytest.fixture(scope="module")
def store() -> Iterator[Shop]:
    """One shop for the tests of this module; each has users of its own."""
    with shop(more={NARROW: {"models": [NARROW], "max_concurrency": 1}}) as one:
        yield one


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return request.node.name[-60:]


def chat(one: Shop, key: str, **fields: Any) -> Reply:
    body = {**request_body("openai_chat", MODEL), "max_tokens": 50, **fields}
    return ask(one.gateway, "POST", CHAT, body, {"authorization": f"Bearer {key}"})


# The database is away.


class Ordeal(NamedTuple):
    """A shop, how its database goes away and comes back, and a look into its books."""

    shop: Shop
    away: Callable[[], object]
    back: Callable[[], object]
    query: Callable[[str], list[Any]]


@contextlib.contextmanager
def locked_file() -> Iterator[Ordeal]:
    """A shop on SQLite, and how another program locks its file and lets it go."""
    with shop() as one:
        path = one.gateway.folder / "data" / "dragoman.db"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            yield Ordeal(
                one,
                lambda: _run(other, "BEGIN IMMEDIATE"),
                lambda: _run(other, "ROLLBACK"),
                lambda statement: _run(other, statement),
            )


def _run(database: sqlite3.Connection, statement: str) -> list[Any]:
    return database.execute(statement).fetchall()


def behind_a_forwarder(
    away: Callable[[Forwarder], None], back: Callable[[Forwarder], None]
) -> Callable[[], Any]:
    """A shop on PostgreSQL, and how the way there is lost and found."""

    @contextlib.contextmanager
    def begun() -> Iterator[Ordeal]:
        where = conninfo_to_dict(SERVER)
        with (
            fresh_database() as url,
            Forwarder(str(where["host"]), int(where.get("port", 5432))) as way,
        ):
            user = conninfo_to_dict(url)["user"]
            near = f"postgresql://{user}@127.0.0.1:{way.port}/{url.rpartition('/')[2]}"
            with shop(arguments=("--database-url", near)) as one:
                yield Ordeal(
                    one,
                    lambda: away(way),
                    lambda: back(way),
                    lambda statement: sql(url, statement),
                )

    return begun


OUTAGES = {
    "sqlite-locked": locked_file,
    "postgresql-frozen": behind_a_forwarder(Forwarder.freeze, Forwarder.thaw),
    "postgresql-gone": behind_a_forwarder(Forwarder.stop, Forwarder.start),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_database_that_is_away_stops_no_known_key_and_loses_nothing(
    outage: str, record_property: Callable[[str, object], None]
) -> None:
    told = Told()
    before: list[float] = []
    during: list[float] = []
    with OUTAGES[outage]() as (one, away, back, query):
        user = one.user("rich", usd="1000")
        key = one.key("rich's", "rich")

        async def work() -> None:
            seconds = before
            async with aiohttp.ClientSession() as session:

                async def client(n: int) -> None:
                    while True:
                        n += 1
                        begun = time.monotonic()
                        await ask_once(
                            session, one.gateway.url, key, told, model=MODEL, stream=bool(n % 2)
                        )
                        seconds.append(time.monotonic() - begun)

                clients = [spawn(client(n), "client") for n in range(4)]
                await asyncio.sleep(0.5)
                away()
                seconds = during
                await asyncio.sleep(OUTAGE_SECONDS)
                back()
                for task in clients:
                    task.cancel()
                await asyncio.wait(clients)

        asyncio.run(work())
        assert set(told.statuses) == {200}
        assert during

        def booked() -> dict[str, int]:
            return dict(query("SELECT id, cost FROM entries WHERE kind = 'usage'"))

        assert settles(lambda: booked().keys() >= told.served.keys(), 60)
        costs = booked()
        for request_id, tokens in told.served.items():
            assert costs[request_id] == tokens * NANO_PER_TOKEN
        assert settles(lambda: one.held(user) == 0)
        assert settles(lambda: one.balance(user) == 1000 * 10**9 - sum(booked().values()))
        assert one.gateway.stop() == 0
        assert "DOES NOT ADD UP" not in one.gateway.logs()
    figures = {
        "outage": f"{OUTAGE_SECONDS:g} s",
        "served and booked": len(told.served),
        "p50 and p99 before": _shape(before),
        "during": _shape(during),
    }
    for what, figure in figures.items():
        record_property(what, figure)
    print(f"\n{outage}:", ", ".join(f"{what} {figure}" for what, figure in figures.items()))


def _shape(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100) if len(seconds) > 1 else seconds * 99
    return f"{cuts[49] * 1000:.0f}/{cuts[98] * 1000:.0f} ms"


# The disk is full.


@pytest.fixture
def crowded() -> Iterator[Shop]:
    """A shop on a small disk, on which the journal's first segment is nearly nothing and the next does
    not fit."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux may mount a small disk")
    mounted: list[Path] = []

    def mount(place: Path) -> None:
        command = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(place)]
        if (done := subprocess.run(command, check=False, capture_output=True)).returncode:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.decode().strip()}")
        mounted.append(place)
        journal = Journal.open(place / "journal", segment_bytes=SMALL)
        journal.append(released("before"))
        end(journal)

    with shop(prepare=mount) as one:
        try:
            yield one
        finally:
            one.gateway.stop()
            for place in mounted:
                subprocess.run(["umount", "--lazy", str(place)], check=False)


def test_a_full_disk_stops_admission_and_nothing_else(crowded: Shop) -> None:
    one = crowded
    user = one.user("rich", usd="1000")
    key = one.key("rich's", "rich")
    place = one.gateway.folder / "data"
    hold = Hold()
    one.door.reply = Upstream(hold=hold, hold_after=3)
    connection = http.client.HTTPConnection("127.0.0.1", one.gateway.port, timeout=60)
    _send(connection, key, MODEL, stream=True)
    under_way = connection.getresponse()
    one.door.reply = OK
    other = place / "something else"
    with other.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert not shutil.disk_usage(place).free

    served = 0
    while (reply := chat(one, key)).status == 200:
        served += 1
        assert served < 2_000, "the disk is full, and yet there is room for everybody"
    assert reply.status == 503, reply.body
    assert "journal" in reply.json["error"]["message"] or "books" in str(reply.json)
    hold.release()
    rest = under_way.read()
    assert rest.endswith(b"data: [DONE]\n\n")
    connection.close()
    command = ["mount", "-o", "remount,size=80m", str(place)]
    subprocess.run(command, check=True, capture_output=True)
    assert settles(lambda: chat(one, key).status == 200, 30)
    request_id = under_way.headers["x-request-id"]
    assert settles(lambda: one.booked(request_id) != [], 30)
    (entry,) = one.booked(request_id)
    assert entry["outcome"] == "ok"
    assert one.held(user) == 0
    assert one.gateway.stop() == 0
    with contextlib.closing(sqlite3.connect(place / "dragoman.db")) as books:
        query = "SELECT COUNT(*), SUM(cost) FROM entries WHERE kind = 'usage'"
        booked, cost = books.execute(query).fetchone()
        query = "SELECT balance FROM accounts WHERE name = ?"
        (left,) = books.execute(query, (f"credit:{user}",)).fetchone()
    assert booked >= served + 2
    assert left == 1000 * 10**9 - cost


def _send(connection: http.client.HTTPConnection, key: str, model: str, *, stream: bool) -> None:
    body = {**request_body("openai_chat", model), "max_tokens": 50, "stream": stream}
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    connection.request("POST", CHAT, json.dumps(body), headers)


# Attempts that fail, and clients that leave.


@pytest.mark.parametrize("how", ["usage-then-break", "break"])
def test_the_client_pays_for_the_answer_and_the_operator_for_what_failed_before(how: str) -> None:
    second = {"prices": {"*": {"input": 2, "output": 2}}}
    with shop(channel={"priority": 1}, more={"second": {"priority": 2, **second}}) as one:
        user = one.user("rich", usd="1")
        key = one.key("rich's", "rich")
        gone = Hold()
        gone.release()
        one.door.reply = Upstream(
            hold=gone, hold_after=0, cut=True, usage_first=how == "usage-then-break"
        )
        reply = chat(one, key, stream=True, stream_options={"include_usage": True})
        assert reply.status == 200, reply.body
        assert len(one.door.seen) >= 1
        request_id = reply.headers["x-request-id"]
        events = [line[6:] for line in reply.body.split(b"\n") if line.startswith(b"data: {")]
        usage = json.loads(events[-1])["usage"]
        assert settles(lambda: len(one.booked(request_id)) >= 2)
        *failures, served = sorted(one.booked(request_id), key=lambda entry: entry["kind"])
        assert served["kind"] == "usage"
        assert served["channel"] == "second"
        assert served["cost_nano_usd"] == usage["total_tokens"] * 2 * NANO_PER_TOKEN
        assert one.balance(user) == 10**9 - served["cost_nano_usd"]
        for failure in failures:
            assert (failure["kind"], failure["channel"]) == ("attempt", "shelf")
            assert failure["cost_nano_usd"] > 0
            estimated = failure["usage"].get("estimated", False)
            assert estimated is (how == "break")
        tried = admin(one.gateway, "GET", f"/requests/{request_id}").json["tried"]
        assert [attempt["channel"] for attempt in tried][-1] == "second"
        assert tried[0]["channel"] == "shelf"
        assert tried[0]["error"]


STAGES: dict[str, tuple[Upstream, bool, int, str]] = {
    # what the upstream does, streamed, tokens written that have left, whether it is charged
    "whole": (Upstream(), False, 0, "left"),
    "before-headers": (Upstream(), True, 0, "left"),
    "after-headers": (Upstream(hold_after=0), True, 0, "left"),
    "midway": (Upstream(hold_after=2), True, 1, "left"),
    "before-the-end": (Upstream(hold_after=len(pieces(TEXT))), True, 5, "left"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_client_that_leaves_pays_for_what_was_produced_and_gives_everything_back(
    store: Shop, name: str, stage: str, record_property: Callable[[str, object], None]
) -> None:
    reply, stream, written, outcome = STAGES[stage]
    user = store.user(name, usd="1")
    key = store.key(name, name, limits={"concurrent_requests": 1})
    hold = Hold()
    store.door.reply = Upstream(hold=hold, hold_after=reply.hold_after)
    seen = len(store.door.seen)
    connection = http.client.HTTPConnection("127.0.0.1", store.gateway.port, timeout=20)
    _send(connection, key, MODEL, stream=stream)
    if written:
        connection.getresponse().read1()
    assert settles(lambda: len(store.door.seen) > seen)
    assert store.held(user) > 0
    left_at = time.monotonic()
    if connection.sock is not None:
        connection.sock.close()
    connection.close()
    assert store.door.seen[-1].left.wait(10), "the upstream goes on working for nobody"
    record_property("upstream let go after", f"{time.monotonic() - left_at:.2f} s")
    assert settles(lambda: store.held(user) == 0)
    hold.release()
    store.door.reply = OK
    assert settles(lambda: chat(store, key).status == 200), "the place was not given back"
    path = f"/ledger?user={user}&kind=usage"

    def broken_off() -> list[dict[str, Any]]:
        found = admin(store.gateway, "GET", path).json["entries"]
        return [one for one in found if one["outcome"] != "ok"]

    assert settles(lambda: broken_off() != [])
    (entry,) = broken_off()
    assert entry["outcome"] == outcome
    assert entry["usage"]["estimated"] is True
    assert entry["usage"]["input"] > 0
    assert (entry["usage"]["output"] > 0) is bool(written)


def test_a_client_that_leaves_the_queue_pays_nothing(store: Shop, name: str) -> None:
    user = store.user(name, usd="1")
    key = store.key(name, name)
    hold = Hold()
    door = store.upstream.door(NARROW)
    door.reply = Upstream(hold=hold)
    first, second = (
        http.client.HTTPConnection("127.0.0.1", store.gateway.port, timeout=20) for _ in range(2)
    )
    _send(first, key, NARROW, stream=False)
    assert settles(lambda: door.in_flight == 1)
    once = store.held(user)
    _send(second, key, NARROW, stream=True)
    assert settles(lambda: store.held(user) == 2 * once)
    second.close()
    assert settles(lambda: store.held(user) == once)
    hold.release()
    assert first.getresponse().status == 200
    first.close()
    assert settles(lambda: store.held(user) == 0)
    assert len(door.seen) == 1
    path = f"/ledger?user={user}&kind=usage"
    assert settles(lambda: len(admin(store.gateway, "GET", path).json["entries"]) == 1)


# What changes meanwhile.


def test_a_price_that_changes_is_that_of_the_next_request() -> None:
    with shop() as one:
        one.user("rich", usd="1")
        key = one.key("rich's", "rich")
        hold = Hold()
        one.door.reply = Upstream(hold=hold)
        connection = http.client.HTTPConnection("127.0.0.1", one.gateway.port, timeout=20)
        _send(connection, key, MODEL, stream=False)
        assert settles(lambda: one.door.in_flight == 1)
        one.door.reply = OK
        config: Any = json.loads(json.dumps(one.gateway.config))
        config["channels"][0]["prices"] = {"*": {"input": 3, "output": 3}}
        one.gateway.rewrite(config)

        def price(reply: Reply) -> float:
            return (
                int(reply.headers["dragoman-cost-nano-usd"]) / reply.json["usage"]["total_tokens"]
            )

        assert settles(lambda: price(chat(one, key)) == 3 * NANO_PER_TOKEN)
        hold.release()
        assert price(Reply(connection.getresponse())) == NANO_PER_TOKEN
        connection.close()


def test_a_daily_limit_survives_kill_9(record_property: Callable[[str, object], None]) -> None:
    with shop({"limits": {"requests_per_day": 2}}) as one:
        one.user("anybody")
        key = one.key("anybody's", "anybody")
        assert [chat(one, key).status for _ in range(3)] == [200, 200, 429]
        kept = one.gateway.folder / "data" / "limits.json"
        # Kept every five seconds; what came since is what a crash may give back.
        assert settles(lambda: kept.exists() and b"requests day" in kept.read_bytes())
        one.gateway.kill()
        begun = time.monotonic()
        one.gateway.start_again()
        record_property("ready again after", f"{time.monotonic() - begun:.2f} s")
        assert chat(one, key).status == 429


def test_a_second_gateway_on_the_same_data_is_refused_with_words(store: Shop) -> None:
    data = str(store.gateway.folder / "data")
    command = ["serve", "--port", str(free_port()), "--data-dir", data]
    done = subprocess.run(
        [sys.executable, "-m", "dragoman", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=store.gateway.folder,
    )
    assert done.returncode == 1
    assert f"Another gateway (process {store.gateway.pid}) serves" in done.stderr
    assert "Traceback" not in done.stderr
    assert chat(store, store.key("still there", "default")).status == 200
