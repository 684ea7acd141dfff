"""The configuration changes under load: no request is lost, no stream is cut, nothing leaks."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.live.routes import Group, Site, serving, settles
from tests.support.flexible_upstream import OK, TEXT, Hold, Reply
from tests.support.gateway import TOKEN

CLIENTS = 20
REWRITES = 16
EVERY_SECONDS = 0.3
"""The gateway looks once a second: it sees about every third of them."""

LOADED = Group("loaded", a={}, b={}, c={}, d={}, e={})
CHANGES: list[dict[str, Any] | None] = [None, {"enabled": False}, {"priority": 9}]
STAYING = [
    Group(
        f"staying-{number}", old={"max_concurrency": 1}, new={"priority": 2, "max_concurrency": 1}
    )
    for number in range(len(CHANGES))
]
LIMITED = Group("limited", only={"max_concurrency": 3})
MOVING = Group("moving", only={"max_concurrency": 1})


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """All groups behind one gateway; each test changes its own."""
    with serving([LOADED, *STAYING, LIMITED, MOVING], {"queue_seconds": 60}) as running:
        yield running


def reload(site: Site, *changes: tuple[Group, str, dict[str, Any] | None]) -> None:
    """Change fields of channels, or take them out (None), and wait until it holds."""
    config = json.loads(json.dumps(site.gateway.config))
    for group, channel, fields in changes:
        name = group.name(channel)
        entry = next(one for one in config["channels"] if one["name"] == name)
        if fields is None:
            config["channels"].remove(entry)
        else:
            entry.update(fields)
    reloads = reads(site)
    site.gateway.rewrite(config)
    assert settles(lambda: reads(site) > reloads)


def reads(site: Site) -> int:
    """How often the configuration has been read; every time, each channel's source is logged."""
    return site.gateway.logs().count(f"channel {LOADED.name('a')} from")


def begun_stream(site: Site, group: Group, pool: ThreadPoolExecutor) -> Any:
    """A stream under way, and what it waits for."""
    hold = Hold()
    (channel, *_) = group.channels
    door = site.door(group, channel)
    door.reply = Reply(hold=hold, hold_after=1)
    asked = pool.submit(site.ask, group, stream=True)
    assert settles(lambda: door.in_flight == 1)
    door.reply = OK
    return asked, hold


def whole(body: bytes) -> bool:
    """Whether an answer, plain or streamed, has all its text and its end."""
    if body.startswith(b"{"):
        return bool(json.loads(body)["choices"][0]["message"]["content"] == TEXT)
    events = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    chunks = [json.loads(event) for event in events if event != b"[DONE]"]
    said = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    return said == TEXT and events[-1] == b"[DONE]"


def shuffled(config: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The same configuration with some of the loaded channels gone, disabled, re-prioritised or
    limited otherwise; at least one is left."""
    changed = json.loads(json.dumps(config))
    loaded = [one for one in changed["channels"] if one["models"] == [LOADED.model]]
    spared = chance.choice(loaded)
    for entry in loaded:
        entry["priority"] = chance.randint(1, 3)
        entry["weight"] = chance.randint(1, 5)
        entry["max_concurrency"] = chance.choice([3, 8, 50, None])
        entry["timeout"] = chance.choice([30, 60])
        # The first stays in the file: its line in the log counts the readings.
        if entry is not spared and chance.random() < 0.5:
            if chance.random() < 0.5 or entry is loaded[0]:
                entry["enabled"] = False
            else:
                changed["channels"].remove(entry)
    chance.shuffle(changed["channels"])
    return dict(changed)


@pytest.mark.parametrize("number", range(len(CHANGES)), ids=["gone", "disabled", "later"])
def test_a_stream_under_way_is_finished_by_its_channel(site: Site, number: int) -> None:
    group, change = STAYING[number], CHANGES[number]
    old, new = (site.door(group, channel) for channel in ("old", "new"))
    new_hold = Hold()
    new.reply = Reply(hold=new_hold)
    with ThreadPoolExecutor(3) as pool:
        streaming, hold = begun_stream(site, group, pool)
        elsewhere = pool.submit(site.ask, group)
        assert settles(lambda: new.in_flight == 1)
        waiting = pool.submit(site.ask, group)
        assert settles(lambda: site.lane(group, "old")["waiting"] == 1)
        new.reply = OK
        reload(site, (group, "old", change), (group, "new", {"max_concurrency": 50}))
        assert waiting.result().status == 200, "who waited for either is served"
        assert site.channels(group, 3) == {"new": 3}
        assert not streaming.done()
        hold.release()
        told = streaming.result()
        assert (told.status, told.channel) == (200, "old")
        assert whole(told.body)
        new_hold.release()
        assert elsewhere.result().status == 200
    assert len(old.seen) == 1
    assert settles(lambda: site.in_use() == 0)


def test_a_changed_limit_counts_the_places_in_use(site: Site) -> None:
    door, hold = site.door(LIMITED, "only"), Hold()
    door.reply = Reply(hold=hold)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(site.ask, LIMITED) for _ in range(6)]
        assert settles(lambda: site.lane(LIMITED, "only")["waiting"] == 3)
        reload(site, (LIMITED, "only", {"max_concurrency": 5}))
        assert settles(lambda: door.in_flight == 5), "a higher limit lets in who waits"
        assert site.lane(LIMITED, "only")["waiting"] == 1
        reload(site, (LIMITED, "only", {"max_concurrency": 2}))
        lane = site.lane(LIMITED, "only")
        assert (lane["limit"], lane["in_flight"], lane["waiting"]) == (2, 5, 1)
        hold.release()
        assert [one.result().status for one in asked] == [200] * 6
    assert door.peak == 5
    assert settles(lambda: site.in_use() == 0)


def test_a_moved_channels_new_key_never_goes_to_its_old_address(site: Site) -> None:
    """Who was planned before the change goes the old way with the old key, or the new way with the
    new one."""
    old, new = site.door(MOVING, "only"), site.upstream.door("moved")
    with ThreadPoolExecutor(4) as pool:
        streaming, hold = begun_stream(site, MOVING, pool)
        waiting = [pool.submit(site.ask, MOVING) for _ in range(3)]
        assert settles(lambda: site.lane(MOVING, "only")["waiting"] == 3)
        reload(site, (MOVING, "only", {"base_url": new.url, "api_key": "key-of-the-new-address"}))
        hold.release()
        assert [one.result().status for one in [streaming, *waiting]] == [200] * 4
    assert site.ask(MOVING).status == 200
    assert set(old.credentials) == {"moving.only-key"}
    assert set(new.credentials) == {"key-of-the-new-address"}


def test_nothing_needs_a_restart(site: Site) -> None:
    """A channel and a token come in, a channel goes, and the process stays the same."""
    pid = site.gateway.pid
    added = Group("added", only={})
    config = json.loads(json.dumps(site.gateway.config))
    (entry,) = added.entries(site.upstream)
    config["channels"].append({"id": 99, **entry})
    config["tokens"].append({"id": 99, "name": "new", "key": "sk-gw-added-0123456789abcdef"})
    assert site.ask(added).status == 404
    site.gateway.rewrite(config)
    assert settles(lambda: site.ask(added).status == 200)
    assert site.ask(added, key="sk-gw-added-0123456789abcdef").status == 200
    reload(site, (added, "only", None))
    assert site.ask(added, key=TOKEN).status == 404
    assert site.gateway.pid == pid


def test_no_request_is_lost_while_channels_come_and_go(site: Site) -> None:
    for door in site.doors(LOADED):
        door.reply = Reply(pause=0.005, delay=0.01)
    original = dict(site.gateway.config)
    over = threading.Event()

    def load(number: int) -> Counter[str]:
        told = Counter[str]()
        while not over.is_set():
            answer = site.ask(LOADED, stream=number % 2 == 0)
            sound = answer.status == 200 and whole(answer.body)
            told[answer.channel if sound else f"{answer.status} {answer.body[:200]!r}"] += 1
        return told

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(load, number) for number in range(CLIENTS)]
        chance = random.Random(20)
        pause = threading.Event()
        for number in range(REWRITES):
            if number == REWRITES // 2:  # nobody writes files without a mistake
                site.gateway.rewrite({**original, "channels": "none"})
                assert settles(lambda: "the configuration in force stays" in site.gateway.logs())
            site.gateway.rewrite(shuffled(original, chance))
            pause.wait(EVERY_SECONDS)
        site.gateway.rewrite(original)
        over.set()
        told = sum((client.result() for client in clients), Counter[str]())

    assert set(told) <= set(LOADED.channels), "every answer whole, and nothing else"
    assert len(told) >= 3, "the load has moved about"
    assert told.total() >= 10 * CLIENTS
    assert told.total() == sum(len(door.seen) for door in site.doors(LOADED)), "each asked once"
    assert reads(site) >= 4
    assert settles(lambda: site.in_use() == 0)
