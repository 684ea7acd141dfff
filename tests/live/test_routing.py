"""Who answers, through the real gateway: priorities, turns, switches, failover, patience,
repetition, strategies, sessions."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest

from tests.live.routes import Group, Site, serving, settles
from tests.support.flexible_upstream import OK, TEXT, Hold, Reply, Seen
from tests.support.gateway import TOKEN

FAILING = Reply(status=500)

PRIORITY = Group("priority", second={"priority": 2}, third={"priority": 3}, first={"priority": 1})
TURNS = Group("turns", a={}, b={}, heavy={"weight": 2}, later={"priority": 2})
SWITCHED = Group("switched", off={"enabled": False}, on={"priority": 2})
OFF = Group("all-off", a={"enabled": False})
FAILOVER = Group("failover", first={}, second={"priority": 2})
BROKEN = Group("broken", only={})
SILENT = Group("silent", slow={"timeout": 1}, quick={"priority": 2})
ONCE = Group("once", only={"max_retries": 0})
THRICE = Group("thrice", only={"max_retries": 2})
RECOVERING = Group("recovering", only={"max_retries": 1})
AGAIN = Group("again", first={"max_retries": 9}, last={"max_retries": 9, "priority": 2})
BUSY = Group("busy-1", a={}, b={})
QUICK = Group("quick-1", a={}, b={})
CHEAP = Group(
    "cheap-1",
    unknown={"type": "openrouter"},  # on this machine, whose own models cost nothing otherwise
    dear={"prices": {"cheap-1": {"input": 5, "output": 10}}},
    cheap={"prices": {"cheap-1": {"input": 2, "output": 6}}},
    later={"priority": 2, "prices": {"cheap-1": {"input": 0, "output": 0}}},
)
AFFINE = Group("affine", a={}, b={}, c={})
STORED = Group("stored", a={"protocol": "openai_responses"}, b={"protocol": "openai_responses"})
DYING = Group("dying", first={}, second={"priority": 2})

GROUPS = [
    *(PRIORITY, TURNS, SWITCHED, OFF, FAILOVER, BROKEN, SILENT, ONCE, THRICE, RECOVERING, AGAIN),
    *(BUSY, QUICK, CHEAP, AFFINE, STORED, DYING),
]
SETTINGS = {
    "strategies": {
        "busy-*": "least_busy",
        "QUICK-*": "lowest_latency",
        "cheap-*": "lowest_price",
    }
}
PROTOCOLS = ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """All groups behind one gateway."""
    with serving(GROUPS, SETTINGS) as running:
        yield running


def failing_first(times: int) -> Callable[[Seen], Reply]:
    """Fails so many times, then answers."""
    replies = iter([FAILING] * times)
    return lambda seen: next(replies, OK)


# -- selection ---------------------------------------------------------------------------------


@pytest.mark.row("S2-38")
def test_the_lowest_priority_number_answers_until_it_fails(site: Site) -> None:
    assert site.channels(PRIORITY, 5) == {"first": 5}
    site.door(PRIORITY, "first").reply = FAILING
    assert site.channels(PRIORITY, 3) == {"second": 3}
    site.door(PRIORITY, "second").reply = FAILING
    assert site.channels(PRIORITY, 2) == {"third": 2}


@pytest.mark.row("S2-44")
def test_equal_priorities_take_turns_by_weight(site: Site) -> None:
    assert site.channels(TURNS, 40) == {"a": 10, "b": 10, "heavy": 20}
    seen = {name: len(site.door(TURNS, name).seen) for name in TURNS.channels}
    assert seen == {"a": 10, "b": 10, "heavy": 20, "later": 0}


def test_the_heavy_ones_turns_are_spread(site: Site) -> None:
    order = [site.ask(TURNS).channel for _ in range(8)]
    assert all(order[at : at + 2] != ["heavy", "heavy"] for at in range(0, 8, 2))


@pytest.mark.row("S2-39")
def test_a_disabled_channel_is_never_asked(site: Site) -> None:
    assert site.channels(SWITCHED, 4) == {"on": 4}
    site.door(SWITCHED, "on").reply = FAILING
    assert site.ask(SWITCHED).status == 502, "not even as the last resort"
    assert not site.door(SWITCHED, "off").seen
    refused = site.ask(OFF)
    assert refused.status == 503
    assert "disabled" in refused.json["error"]["message"]
    assert not site.door(OFF, "a").seen


# -- failover ----------------------------------------------------------------------------------


@pytest.mark.row("S2-45")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_next_channel_answers_where_one_fails(site: Site, protocol: str, stream: bool) -> None:
    first = site.door(FAILOVER, "first")
    first.reply = FAILING
    asked = len(first.seen)
    options = {"stream": True} if stream else {}
    told = site.ask(FAILOVER, protocol=protocol, **options)
    assert (told.status, told.channel) == (200, "second")
    if not stream:
        assert TEXT.encode() in told.body
    first.reply = OK
    # Its circuit must not open between the cases; an answer closes it.
    assert site.channels(FAILOVER, 1) == {"first": 1}
    assert len(first.seen) == asked + 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_error_says_which_channel_it_came_from(site: Site, protocol: str) -> None:
    site.door(BROKEN, "only").reply = FAILING
    told = site.ask(BROKEN, protocol=protocol)
    assert told.status == 502
    assert told.headers["dragoman-channel"] == "broken.only"
    assert told.headers["dragoman-model"] == "broken"
    assert told.headers["inference-id"]


@pytest.mark.row("S2-40")
def test_a_channels_timeout_ends_its_silence_and_the_next_one_answers(site: Site) -> None:
    slow = site.door(SILENT, "slow")
    never = Hold()

    def silent(seen: Seen) -> Reply:
        return Reply(hold=never, hold_after=0 if seen.body.get("stream") else None)

    slow.reply = silent
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        plain = pool.submit(site.ask, SILENT)
        streamed = pool.submit(site.ask, SILENT, stream=True)
        answers = [plain.result(), streamed.result()]
    took = time.monotonic() - began
    never.release()
    assert [(one.status, one.channel) for one in answers] == [(200, "quick")] * 2
    assert took >= 1.0, "it is given the time it has"
    assert len(slow.seen) == 2
    assert all(one.left.wait(5) for one in slow.seen), "and let go"


# -- repetition --------------------------------------------------------------------------------


@pytest.mark.row("S2-41")
def test_max_retries_counts_the_repeats_of_the_only_channel(site: Site) -> None:
    for group, attempts in ((ONCE, 1), (THRICE, 3)):
        door = site.door(group, "only")
        door.reply = FAILING
        assert site.ask(group).status == 502
        assert len(door.seen) == attempts


@pytest.mark.row("S2-41")
@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_recovers_costs_the_client_nothing(site: Site, stream: bool) -> None:
    door = site.door(RECOVERING, "only")
    asked = len(door.seen)
    door.reply = failing_first(1)
    assert site.ask(RECOVERING, stream=stream).status == 200
    assert len(door.seen) == asked + 2


@pytest.mark.row("S2-41")
def test_only_the_last_remaining_channel_is_repeated(site: Site) -> None:
    for door in site.doors(AGAIN):
        door.reply = FAILING
    assert site.ask(AGAIN).status == 502
    seen = [len(door.seen) for door in site.doors(AGAIN)]
    assert seen == [1, 2], "whoever failed is left behind; three attempts in all"


# -- strategies --------------------------------------------------------------------------------


def test_least_busy_goes_where_the_fewest_are_under_way(site: Site) -> None:
    hold = Hold()
    for door in site.doors(BUSY):
        door.reply = Reply(hold=hold)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(site.ask, BUSY)
        assert settles(lambda: sum(door.in_flight for door in site.doors(BUSY)) == 1)
        busy = next(name for name in BUSY.channels if site.door(BUSY, name).in_flight)
        free = next(name for name in BUSY.channels if name != busy)
        site.door(BUSY, free).reply = OK
        assert site.channels(BUSY, 6) == {free: 6}
        hold.release()
        assert held.result().channel == busy


def test_lowest_latency_measures_each_and_then_takes_the_quickest(site: Site) -> None:
    site.door(QUICK, "a").reply = Reply(delay=0.5)
    told = site.channels(QUICK, 10)
    assert told == {"a": 1, "b": 9}


def test_lowest_price_takes_the_cheapest_of_the_best_priority(site: Site) -> None:
    assert site.channels(CHEAP, 5) == {"cheap": 5}
    site.door(CHEAP, "cheap").reply = FAILING
    assert site.ask(CHEAP).channel == "dear"
    site.door(CHEAP, "dear").reply = FAILING
    assert site.ask(CHEAP).channel == "unknown", "before the next priority, whatever that costs"


# -- sessions ----------------------------------------------------------------------------------

SESSIONS: list[Callable[[str], dict[str, Any]]] = [
    lambda name: {"headers": {"session_id": name}},
    lambda name: {"headers": {"x-session-affinity": name}},
    lambda name: {"prompt_cache_key": name},
    lambda name: {"protocol": "openai_responses", "prompt_cache_key": name},
    lambda name: {
        "protocol": "anthropic_messages",
        "metadata": {"user_id": f"user_1_account_2_session_{name}"},
    },
]


@pytest.mark.parametrize("session", SESSIONS, ids=range(len(SESSIONS)))
def test_a_session_stays_where_it_began(
    site: Site, session: Callable[[str], dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    first = Counter[str]()
    for number in range(6):
        told = site.channels(AFFINE, 4, **session(f"{request.node.name}-{number}"))
        assert set(told.values()) == {4}, "one channel had them all"
        first.update(told.keys())
    assert len(first) == 3, "different sessions spread"


def test_a_session_moves_when_its_channel_fails_and_stays_there(site: Site) -> None:
    mine = {"headers": {"session_id": "moving"}}
    before = site.ask(AFFINE, **mine).channel
    site.door(AFFINE, before).reply = FAILING
    after = site.ask(AFFINE, **mine).channel
    assert after != before
    site.door(AFFINE, before).reply = OK
    assert site.channels(AFFINE, 4, **mine) == {after: 4}


@pytest.mark.parametrize("stream", [False, True])
def test_a_stored_answer_is_continued_where_it_is_stored(site: Site, stream: bool) -> None:
    client = openai.OpenAI(base_url=f"{site.gateway.url}/v1", api_key=TOKEN, max_retries=0)

    def respond(**more: Any) -> tuple[str, str]:
        """(id of the answer, who gave it)"""
        raw = client.responses.with_raw_response.create(model="stored", input="hi", **more)
        channel = raw.headers["dragoman-channel"].rpartition(".")[2]
        if not stream:
            return raw.parse().id, channel
        return [event for event in raw.parse() if hasattr(event, "response")][
            -1
        ].response.id, channel

    def continued(previous: str) -> str:
        asked = sum(len(door.seen) for door in site.doors(STORED))
        _, channel = respond(previous_response_id=previous, **options)
        assert sum(len(door.seen) for door in site.doors(STORED)) == asked + 1
        assert site.door(STORED, channel).seen[-1].body["previous_response_id"] == previous
        return channel

    options: dict[str, Any] = {"stream": True} if stream else {}
    made = [respond(**options) for _ in range(4)]
    assert {channel for _, channel in made} == {"a", "b"}
    for answer, channel in made:
        assert [continued(answer) for _ in range(3)] == [channel] * 3

    answer, channel = made[0]
    site.door(STORED, channel).reply = FAILING
    _, other = respond(previous_response_id=answer, **options)
    site.door(STORED, channel).reply = OK
    assert other != channel, "a place that is down is better left, even so"


# -- before the first content ------------------------------------------------------------------


def test_a_stream_that_dies_before_it_says_anything_fails_over_for_sdks(site: Site) -> None:
    """The upstream's headers and role have come: the client has seen neither."""
    site.door(DYING, "first").reply = Reply(hold=_released(), hold_after=0, cut=True)
    chat = openai.OpenAI(base_url=f"{site.gateway.url}/v1", api_key=TOKEN, max_retries=0)
    chunks = chat.chat.completions.create(
        model="dying", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    claude = anthropic.Anthropic(base_url=site.gateway.url, api_key=TOKEN, max_retries=0)
    with claude.messages.stream(
        model="dying", max_tokens=99, messages=[{"role": "user", "content": "hi"}]
    ) as stream:
        assert stream.get_final_text() == TEXT
    assert len(site.door(DYING, "first").seen) == 2


def test_a_stream_that_dies_after_its_first_word_does_not(site: Site) -> None:
    site.door(DYING, "first").reply = Reply(hold=_released(), hold_after=1, cut=True)
    asked = len(site.door(DYING, "second").seen)
    chat = openai.OpenAI(base_url=f"{site.gateway.url}/v1", api_key=TOKEN, max_retries=0)
    chunks = chat.chat.completions.create(
        model="dying", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    with pytest.raises(openai.APIError):
        list(chunks)
    assert len(site.door(DYING, "second").seen) == asked


def _released() -> Hold:
    hold = Hold()
    hold.release()
    return hold
