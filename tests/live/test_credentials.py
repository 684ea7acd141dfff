"""What a channel's credentials go through: rotation, refusals, rate limits, the circuit, and the last
hope that is never benched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.live.routes import Group, Site, serving, settles
from tests.support.flexible_upstream import OK, Reply, Seen
from tests.support.gateway import TOKEN

FAILING = Reply(status=500)
LATER = Reply(status=429, headers={"retry-after": "60"})

KEY = Group("key", only={})
KEYS = Group("keys", only={"api_key": "key-1", "api_keys": ["key-2", "key-3"]})
REFUSED = Group("refused", only={"api_key": "key-good", "api_keys": ["key-bad", "key-fine"]})
LOCKED = Group("locked", only={"api_key": "key-1", "api_keys": ["key-2"]})
LIMITED = Group(
    "limited",
    only={"api_key": "key-1", "api_keys": ["key-2"], "models": ["limited", "limited-other"]},
)
ALONE = Group("alone", only={})
CIRCUIT = Group("circuit", first={}, second={"priority": 2})
EXHAUSTED = Group("exhausted", first={}, second={"priority": 2})

GROUPS = [KEY, KEYS, REFUSED, LOCKED, LIMITED, ALONE, CIRCUIT, EXHAUSTED]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """All groups behind one gateway."""
    with serving(GROUPS) as running:
        yield running


def for_key(credential: str, reply: Reply) -> Callable[[Seen], Reply]:
    """``reply`` for one credential; the others are answered."""
    return lambda seen: reply if seen.credential == credential else OK


def said(site: Site, *words: str) -> int:
    """How many lines of the log have all of the words."""
    return sum(all(word in line for word in words) for line in site.gateway.logs().splitlines())


@pytest.mark.row("S2-36")
def test_the_channels_key_is_sent_and_the_clients_is_not(site: Site) -> None:
    assert site.ask(KEY).status == 200
    (seen,) = site.door(KEY, "only").seen
    assert seen.credential == "key.only-key"
    assert TOKEN not in str(seen.body)


@pytest.mark.row("S2-36")
def test_several_keys_take_turns(site: Site) -> None:
    assert site.channels(KEYS, 9) == {"only": 9}
    assert site.door(KEYS, "only").credentials == {"key-1": 3, "key-2": 3, "key-3": 3}


@pytest.mark.parametrize("status", [401, 402])
def test_a_refused_key_is_benched_said_aloud_and_costs_the_client_nothing(
    site: Site, status: int
) -> None:
    door = site.door(REFUSED, "only")
    refused = "key-bad" if status == 401 else "key-fine"
    before = door.credentials[refused]
    door.reply = for_key(refused, Reply(status=status))
    site.channels(REFUSED, 8)
    assert door.credentials[refused] == before + 1, "once refused, it is left alone"
    number = 2 if status == 401 else 3
    assert said(site, "refused.only", f"credential {number} is refused by the provider") == 1
    assert refused not in site.gateway.logs()


def test_if_every_key_is_refused_the_client_is_not_told_that_its_own_is_wrong(site: Site) -> None:
    door = site.door(LOCKED, "only")
    door.reply = Reply(status=401)
    for protocol in ("openai_chat", "anthropic_messages", "gemini_generate"):
        assert site.ask(LOCKED, protocol=protocol).status == 502
    assert door.credentials == {"key-1": 3, "key-2": 3}, "the last hope is tried all the same"
    assert site.lane(LOCKED, "only")["status"] == "benched"
    door.reply = OK
    assert site.ask(LOCKED).status == 200, "the operator has paid the bill"
    assert site.lane(LOCKED, "only")["status"] == "ok"


def test_a_rate_limit_benches_a_key_for_that_model_only(site: Site) -> None:
    door = site.door(LIMITED, "only")
    door.reply = lambda seen: LATER if (seen.credential, seen.model) == ("key-1", "limited") else OK
    site.channels(LIMITED, 6)
    asked = Counter((one.credential, one.model) for one in door.seen)
    assert asked == {("key-1", "limited"): 1, ("key-2", "limited"): 6}
    assert said(site, "limited.only", "credential 1 is rate limited for 'limited', 60 s") == 1
    site.channels("limited-other", 6)
    asked = Counter((one.credential, one.model) for one in door.seen)
    assert asked["key-1", "limited-other"] == asked["key-2", "limited-other"] == 3
    assert site.lane(LIMITED, "only")["status"] == "ok", "the key as a whole is well"


def test_what_the_headers_say_is_used_up_is_left_alone(site: Site) -> None:
    """Before it is refused: the answer itself says that it was the last."""
    first = site.door(EXHAUSTED, "first")
    first.reply = Reply(
        headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "60s"}
    )
    assert site.channels(EXHAUSTED, 4) == {"first": 1, "second": 3}
    assert len(first.seen) == 1


@pytest.mark.parametrize("reply", [FAILING, LATER, Reply(status=401)], ids=["500", "429", "401"])
def test_the_only_channel_is_never_benched(site: Site, reply: Reply) -> None:
    door = site.door(ALONE, "only")
    asked = len(door.seen)
    door.reply = reply
    for _ in range(10):
        assert site.ask(ALONE).status in (502, 429)
    assert len(door.seen) == asked + 10
    door.reply = OK
    assert site.ask(ALONE).status == 200


def test_a_failing_channel_is_left_alone_until_it_is_the_last_hope(site: Site) -> None:
    first, second = site.door(CIRCUIT, "first"), site.door(CIRCUIT, "second")
    first.reply = FAILING
    assert site.channels(CIRCUIT, 8) == {"second": 8}
    assert len(first.seen) == 5, "five failures in a row open the circuit"
    assert said(site, "circuit.first", "left alone for 30 s") == 1
    assert site.lane(CIRCUIT, "first")["status"] == "failing"
    health = site.health()
    assert health["status"] == "ok", "liveness depends on no upstream"
    assert health["healthy_channels"] < health["channels"]

    first.reply, second.reply = OK, FAILING
    assert site.channels(CIRCUIT, 1) == {"first": 1}, "nothing else is left"
    assert site.lane(CIRCUIT, "first")["status"] == "ok", "and its answer closes the circuit"
    asked = len(second.seen)
    assert site.channels(CIRCUIT, 3) == {"first": 3}
    assert len(second.seen) == asked
    assert settles(lambda: site.in_use() == 0)
