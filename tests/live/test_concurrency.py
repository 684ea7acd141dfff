"""How many at once, through the real gateway: fixed and adaptive places, the queue, streams, clients
that leave."""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors

from tests.live.raw import request_body
from tests.live.routes import Group, Site, Told, serving, settles
from tests.support.flexible_upstream import OK, TEXT, Hold, Reply, Seen
from tests.support.gateway import TOKEN

QUEUE_LIMIT = 3
LEAVING_SECONDS = 2.0
"""The promise is one second; a busy machine may take a little longer to show it."""

TWO = Group("two", only={"max_concurrency": 2})
FAIR = Group("fair", only={"max_concurrency": 1})
FULL = Group("full", only={"max_concurrency": 1})
SPILL = Group("spill", first={"max_concurrency": 1}, second={"priority": 2})
EITHER = Group("either", a={"max_concurrency": 1}, b={"max_concurrency": 1, "priority": 2})
ADAPTIVE = {"max_concurrency": None, "cooldown_seconds": 0, "stats_window_size": 10}
FIRST = Group("adaptive", only={"max_concurrency": None})
GROWING = Group("growing", only=ADAPTIVE)
LIMITED = Group("limited", only=ADAPTIVE | {"max_adaptive_concurrency": 4, "min_concurrency": 2})
STREAM = Group("stream", only={"max_concurrency": 1})
LEAVING = Group("leaving", only={"max_concurrency": 1})
STORM = Group("storm", a={"max_concurrency": 3}, b={"max_concurrency": None}, c={})

GROUPS = [
    *(TWO, FAIR, FULL, SPILL, EITHER, FIRST, GROWING, LIMITED, STREAM, LEAVING, STORM),
]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """All groups behind one gateway whose queues are short and patient."""
    with serving(GROUPS, {"queue_limit": QUEUE_LIMIT, "queue_seconds": 30}) as running:
        yield running


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for requests at once."""
    with ThreadPoolExecutor(48) as threads:
        yield threads


def waits(site: Site, group: Group, waiting: int, *, channel: str = "only") -> bool:
    """Whether so many come to wait for a place."""
    return settles(lambda: site.lane(group, channel)["waiting"] == waiting)


def works(site: Site, group: Group, in_flight: int, *, channel: str = "only") -> bool:
    """Whether so many come to be under way at the upstream."""
    return settles(lambda: site.door(group, channel).in_flight == in_flight)


def answered(asked: list[Future[Told]]) -> list[int]:
    """The statuses of all."""
    return [one.result().status for one in asked]


def opened(site: Site, group: Group, *, stream: bool = False) -> socket.socket:
    """A request over a bare socket, its answer left to come."""
    data = json.dumps(request_body("openai_chat", group.model, stream=stream)).encode()
    connection = socket.create_connection(("127.0.0.1", site.gateway.port), timeout=20)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    connection.sendall(head.encode() + data)
    return connection


# -- fixed -------------------------------------------------------------------------------------


@pytest.mark.row("S2-48")
def test_never_more_than_max_concurrency_at_once_and_the_others_wait(
    site: Site, pool: ThreadPoolExecutor
) -> None:
    door, hold = site.door(TWO, "only"), Hold()
    door.reply = Reply(hold=hold)
    asked = [pool.submit(site.ask, TWO) for _ in range(2 + QUEUE_LIMIT)]
    assert waits(site, TWO, QUEUE_LIMIT)
    assert works(site, TWO, 2)
    hold.release()
    assert answered(asked) == [200] * (2 + QUEUE_LIMIT)
    assert all(TEXT.encode() in one.result().body for one in asked)
    assert door.peak == 2
    assert len(door.seen) == 2 + QUEUE_LIMIT
    assert site.lane(TWO, "only")["limit"] == 2


def test_who_waits_longest_goes_first(site: Site, pool: ThreadPoolExecutor) -> None:
    door, holds = site.door(FAIR, "only"), [Hold() for _ in range(1 + QUEUE_LIMIT)]
    turns = iter(holds)
    door.reply = lambda seen: Reply(hold=next(turns))
    asked = []
    for number in range(1 + QUEUE_LIMIT):
        asked.append(pool.submit(site.ask, FAIR, user=f"client {number}"))
        assert works(site, FAIR, 1)
        assert waits(site, FAIR, number)
    for number, hold in enumerate(holds, start=1):
        assert settles(lambda number=number: len(door.seen) == number)  # type: ignore[misc]
        hold.release()
    assert answered(asked) == [200] * len(asked)
    assert [one.body["user"] for one in door.seen] == [f"client {n}" for n in range(len(asked))]


def test_the_next_priority_answers_while_the_first_is_full(
    site: Site, pool: ThreadPoolExecutor
) -> None:
    hold = Hold()
    site.door(SPILL, "first").reply = Reply(hold=hold)
    held = pool.submit(site.ask, SPILL)
    assert works(site, SPILL, 1, channel="first")
    assert site.channels(SPILL, 5) == {"second": 5}
    hold.release()
    assert held.result().channel == "first"
    assert site.channels(SPILL, 2) == {"first": 2}


def test_a_waiting_request_takes_whichever_place_is_free_first(
    site: Site, pool: ThreadPoolExecutor
) -> None:
    holds = {"a": Hold(), "b": Hold()}
    for channel, hold in holds.items():
        site.door(EITHER, channel).reply = Reply(hold=hold)
    held = [pool.submit(site.ask, EITHER) for _ in range(2)]
    assert works(site, EITHER, 1, channel="a")
    assert works(site, EITHER, 1, channel="b")
    third = pool.submit(site.ask, EITHER)
    assert waits(site, EITHER, 1, channel="a")
    assert waits(site, EITHER, 1, channel="b")
    holds["b"].release()
    assert third.result().channel == "b"
    assert site.lane(EITHER, "a")["waiting"] == 0
    holds["a"].release()
    assert answered(held) == [200, 200]


# -- the queue's end ---------------------------------------------------------------------------


def test_a_full_queue_is_a_503_with_a_reason_in_every_clients_protocol(
    site: Site, pool: ThreadPoolExecutor
) -> None:
    hold = Hold()
    site.door(FULL, "only").reply = Reply(hold=hold)
    asked = [pool.submit(site.ask, FULL) for _ in range(1 + QUEUE_LIMIT)]
    assert waits(site, FULL, QUEUE_LIMIT)
    url = site.gateway.url
    user = [{"role": "user", "content": "hi"}]
    chat = openai.OpenAI(base_url=f"{url}/v1", api_key=TOKEN, max_retries=0)
    claude = anthropic.Anthropic(base_url=url, api_key=TOKEN, max_retries=0)
    gemini = genai.Client(api_key=TOKEN, http_options={"base_url": url})
    attempts: list[tuple[type[Exception], Callable[[], object]]] = [
        (
            openai.InternalServerError,
            lambda: chat.chat.completions.create(model="full", messages=user),  # type: ignore[arg-type]
        ),
        (
            openai.InternalServerError,
            lambda: chat.chat.completions.create(model="full", messages=user, stream=True),  # type: ignore[arg-type]
        ),
        (openai.InternalServerError, lambda: chat.responses.create(model="full", input="hi")),
        (
            anthropic.InternalServerError,
            lambda: claude.messages.create(model="full", messages=user, max_tokens=9),  # type: ignore[arg-type]
        ),
        (
            genai_errors.ServerError,
            lambda: gemini.models.generate_content(model="full", contents="hi"),
        ),
    ]
    for kind, attempt in attempts:
        with pytest.raises(kind) as caught:
            attempt()
        assert "Every channel that could answer has all its places in use" in str(caught.value)
        assert "full.only (1)" in str(caught.value)
    told = site.ask(FULL, protocol="anthropic_messages").json
    assert told["error"]["type"] == "overloaded_error"
    refused = site.ask(FULL)
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json["error"]["code"] == "channels_busy"
    hold.release()
    assert answered(asked) == [200] * len(asked)


def test_whoever_waits_too_long_gets_a_503_too() -> None:
    group = Group("patience", only={"max_concurrency": 1})
    with (
        serving([group], {"queue_seconds": 0.3}) as site,
        ThreadPoolExecutor(1) as pool,
    ):
        hold = Hold()
        site.door(group, "only").reply = Reply(hold=hold)
        held = pool.submit(site.ask, group)
        assert works(site, group, 1)
        began = time.monotonic()
        assert site.ask(group).status == 503
        assert time.monotonic() - began >= 0.3
        assert site.in_use() == 1, "who gives up leaves the queue"
        hold.release()
        assert held.result().status == 200


# -- adaptive ----------------------------------------------------------------------------------


@pytest.mark.row("S2-49")
@pytest.mark.row("S2-50")
def test_adaptive_mode_begins_with_min_concurrency(site: Site, pool: ThreadPoolExecutor) -> None:
    assert site.lane(FIRST, "only")["limit"] == 1
    assert site.lane(LIMITED, "only")["limit"] == 2
    door, hold = site.door(FIRST, "only"), Hold()
    door.reply = Reply(hold=hold)
    asked = [pool.submit(site.ask, FIRST) for _ in range(3)]
    assert waits(site, FIRST, 2)
    hold.release()
    assert answered(asked) == [200] * 3
    assert door.peak == 1


@pytest.mark.row("S2-49")
@pytest.mark.row("S2-51")
@pytest.mark.row("S2-52")
@pytest.mark.row("S2-54")
def test_the_limit_follows_how_the_channel_does(site: Site, pool: ThreadPoolExecutor) -> None:
    def limit() -> int:
        return int(site.lane(GROWING, "only")["limit"])

    door, hold = site.door(GROWING, "only"), Hold()
    seen = [limit()]
    for _ in range(16):
        assert site.ask(GROWING).status == 200
        seen.append(limit())
    # Ten requests say something; from then on two more each time, up to the default of ten.
    assert seen == [1] * 10 + [3, 5, 7, 9, 10, 10, 10]

    door.reply = Reply(hold=hold)
    asked = [pool.submit(site.ask, GROWING) for _ in range(12)]
    assert works(site, GROWING, 10)
    assert waits(site, GROWING, 2)
    hold.release()
    assert answered(asked) == [200] * 12
    assert door.peak == 10

    door.reply = Reply(status=500)
    limits = []
    for _ in range(4):
        site.ask(GROWING)
        limits.append(limit())
    assert limits == [10, 5, 2, 1], "one in ten is not above the threshold, two are: half of it"


@pytest.mark.row("S2-51")
def test_the_limit_stays_within_its_bounds(site: Site) -> None:
    for _ in range(14):
        assert site.ask(LIMITED).status == 200
    assert site.lane(LIMITED, "only")["limit"] == 4
    site.door(LIMITED, "only").reply = Reply(status=500)
    for _ in range(6):
        site.ask(LIMITED)
    assert site.lane(LIMITED, "only")["limit"] == 2


# -- streams and clients that leave ------------------------------------------------------------


def test_a_stream_keeps_its_place_to_the_end(site: Site, pool: ThreadPoolExecutor) -> None:
    door, hold = site.door(STREAM, "only"), Hold()
    door.reply = Reply(hold=hold, hold_after=2)
    with opened(site, STREAM, stream=True) as streaming:
        begun = b""
        while b"Every w" not in begun:
            begun += streaming.recv(65536)
        door.reply = OK
        second = pool.submit(site.ask, STREAM)
        assert waits(site, STREAM, 1)
        assert len(door.seen) == 1
        hold.release()
        assert second.result().status == 200
    assert door.peak == 1
    assert len(door.seen) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_place(
    site: Site, pool: ThreadPoolExecutor, stream: bool
) -> None:
    door, hold = site.door(LEAVING, "only"), Hold()
    door.reply = Reply(hold=hold, hold_after=1 if stream else None)
    leaving = opened(site, LEAVING, stream=stream)
    assert works(site, LEAVING, 1)
    if stream:
        assert b"200" in leaving.recv(65536)
    door.reply = OK
    waiting = pool.submit(site.ask, LEAVING)
    assert waits(site, LEAVING, 1)
    left = time.monotonic()
    leaving.close()
    assert waiting.result().status == 200
    assert time.monotonic() - left < LEAVING_SECONDS
    hold.release()
    assert settles(lambda: site.in_use() == 0)


def test_a_client_that_leaves_the_queue_is_forgotten(site: Site, pool: ThreadPoolExecutor) -> None:
    door, hold = site.door(LEAVING, "only"), Hold()
    door.reply = Reply(hold=hold)
    asked = len(door.seen)
    held = pool.submit(site.ask, LEAVING)
    assert works(site, LEAVING, 1)
    leaving = opened(site, LEAVING)
    assert waits(site, LEAVING, 1)
    leaving.close()
    assert waits(site, LEAVING, 0)
    hold.release()
    assert held.result().status == 200
    assert len(door.seen) == asked + 1


def test_after_a_storm_every_place_is_free_again(site: Site, pool: ThreadPoolExecutor) -> None:
    """Answers, streams, errors, broken streams and clients that leave, all at once."""
    cut = Hold()
    cut.release()
    kinds = itertools.cycle(
        [
            OK,
            Reply(pause=0.01),
            Reply(status=500),
            Reply(status=429, headers={"retry-after": "0"}),
            Reply(hold=cut, hold_after=2, cut=True),
            Reply(delay=0.1),
        ]
    )

    def any_of_them(seen: Seen) -> Reply:
        return next(kinds)

    for door in site.doors(STORM):
        door.reply = any_of_them
    asked = [pool.submit(site.ask, STORM, stream=number % 2 == 0) for number in range(60)]
    leaving = [opened(site, STORM, stream=number % 2 == 0) for number in range(20)]
    for number, connection in enumerate(leaving):
        time.sleep(0.005 * (number % 3))
        connection.close()
    statuses = set(answered(asked))
    assert statuses <= {200, 429, 502, 503}
    assert 200 in statuses
    assert settles(lambda: site.in_use() == 0)
    assert settles(lambda: site.health()["active_requests"] == 0)
    for door in site.doors(STORM):
        door.reply = OK
    assert sum(site.channels(STORM, 6).values()) == 6
