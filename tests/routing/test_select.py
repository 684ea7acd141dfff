"""Which channel is asked first."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.errors import Forbidden, ModelNotFound, Unavailable
from dragoman.routing.channel import Channel
from dragoman.routing.select import RoutingTable, Strategies
from tests.routing.support import Site, channel, ids


@pytest.mark.row("S2-38")
def test_lower_priority_number_first() -> None:
    table = RoutingTable((channel(1, priority=5), channel(2, priority=1), channel(3, priority=3)))
    assert ids(table.order("m", 0.0)) == [2, 3, 1]


@pytest.mark.row("S2-44")
def test_round_robin_within_a_priority() -> None:
    table = RoutingTable((channel(1), channel(2), channel(3, priority=2)))
    firsts = [ids(table.order("m", 0.0)) for _ in range(4)]
    assert firsts == [[1, 2, 3], [2, 1, 3], [1, 2, 3], [2, 1, 3]]


@pytest.mark.row("S2-37")
def test_no_models_means_all() -> None:
    assert ids(RoutingTable((channel(1, models=()),)).order("anything", 0.0)) == [1]


def test_names_are_compared_without_case_and_sent_in_the_channels_spelling() -> None:
    one = channel(1, models=("GPT-5",))
    assert ids(RoutingTable((one,)).order("gpt-5", 0.0)) == [1]
    assert one.upstream_model("gpt-5") == "GPT-5"


def test_alias_gives_the_upstream_name() -> None:
    one = channel(1, models=(), aliases={"fast": "vendor/model-9"})
    assert one.upstream_model("fast") == one.upstream_model("FAST") == "vendor/model-9"
    assert one.upstream_model("other") == "other"


@pytest.mark.row("S2-39")
def test_disabled_channels_are_left_out() -> None:
    table = RoutingTable((channel(1, enabled=False), channel(2)))
    assert ids(table.order("m", 0.0)) == [2]
    with pytest.raises(Unavailable):
        RoutingTable((channel(1, enabled=False),)).order("m", 0.0)


@pytest.mark.row("S2-62")
def test_restriction_to_channels() -> None:
    table = RoutingTable((channel(1), channel(2)))
    assert ids(table.order("m", 0.0, lambda c: c.id == 2)) == [2]
    with pytest.raises(Forbidden):
        table.order("m", 0.0, lambda c: False)


@pytest.mark.row("S3-26")
def test_unknown_model_lists_the_nearest() -> None:
    table = RoutingTable((channel(1, models=("gpt-4o", "gpt-4o-mini", "claude-5")),))
    with pytest.raises(ModelNotFound, match="gpt-4o") as caught:
        table.order("gpt-4", 0.0)
    assert caught.value.status == 404
    with pytest.raises(ModelNotFound, match="no channel is configured"):
        RoutingTable(()).order("gpt-4", 0.0)


def test_memory_of_model_names_is_bounded() -> None:
    table = RoutingTable((channel(1, models=()),))
    for number in range(10_000):
        table.order(f"model-{number}", 0.0)
    assert len(table._tiers) <= 4096


def firsts(table: RoutingTable, turns: int, model: str = "m") -> list[int]:
    return [ids(table.order(model, 0.0))[0] for _ in range(turns)]


# Weights.


@pytest.mark.row("S2-44")
def test_weights_are_shares_and_spread() -> None:
    table = RoutingTable((channel(1, weight=5), channel(2, weight=1), channel(3, weight=1)))
    assert firsts(table, 14) == [1, 1, 2, 1, 3, 1, 1] * 2
    even = RoutingTable(tuple(channel(id, weight=7) for id in (1, 2, 3)))
    assert firsts(even, 6) == [1, 2, 3] * 2


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_shares_are_exact_over_a_cycle(weights: list[int]) -> None:
    table = RoutingTable(tuple(channel(id, weight=weight) for id, weight in enumerate(weights)))
    total = sum(weights)
    turns = firsts(table, 2 * total)
    counts = Counter(turns)
    assert counts == {id: 2 * weight for id, weight in enumerate(weights)}
    for upto in range(1, total):
        seen = Counter(turns[:upto])
        for id, weight in enumerate(weights):
            assert abs(seen[id] - upto * weight / total) < len(weights), "spread, not in a row"


def test_extreme_weights_are_rounded_and_nobody_starves() -> None:
    table = RoutingTable(
        tuple(channel(id, weight=1000 if id else 1) for id in range(20)), strategies=None
    )
    turns = firsts(table, 1100)
    assert set(turns) == set(range(20))


def test_two_models_do_not_share_turns() -> None:
    """Clients that ask for two models in alternation would else always meet the same channel."""
    table = RoutingTable(tuple(channel(id, models=("a", "b")) for id in (1, 2)))
    turns = [(firsts(table, 1, "a")[0], firsts(table, 1, "b")[0]) for _ in range(10)]
    for model in (0, 1):
        assert Counter(turn[model] for turn in turns) == {1: 5, 2: 5}


@given(st.lists(st.integers(1, 9), min_size=3, max_size=5), st.data())
def test_the_turns_of_one_that_fails_are_shared_by_weight(
    weights: list[int], data: st.DataObject
) -> None:
    """Who comes next in a fixed row would get all of them: the load that killed one, and then it."""
    away = data.draw(st.integers(0, len(weights) - 1))
    table = RoutingTable(tuple(channel(id, weight=weight) for id, weight in enumerate(weights)))
    rest = sum(weights) - weights[away]
    turns = [ids(table.order("m", 0.0)) for _ in range(sum(weights) * rest)]
    instead = Counter(turn[1] for turn in turns if turn[0] == away)
    assert instead == {
        id: weight * weights[away] for id, weight in enumerate(weights) if id != away
    }
    assert all(sorted(turn) == list(range(len(weights))) for turn in turns)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.data())
def test_a_restricted_key_has_its_own_turns(weights: list[int], data: st.DataObject) -> None:
    own = data.draw(st.sets(st.integers(0, len(weights) - 1), min_size=1))
    table = RoutingTable(tuple(channel(id, weight=weight) for id, weight in enumerate(weights)))
    total = sum(weights[id] for id in own)
    orders = [table.order("m", 0.0, lambda c: c.id in own) for _ in range(total)]
    counts = Counter(ids(order)[0] for order in orders)
    assert counts == {id: weights[id] for id in own}
    barred = [(id, "the key may not use it") for id in range(len(weights)) if id not in own]
    assert [(one.id, why) for one, why in orders[0].excluded] == barred


def test_memory_of_restrictions_is_bounded() -> None:
    table = RoutingTable(tuple(channel(id) for id in range(12)))
    for mask in range(1, 2**12):
        table.order("m", 0.0, lambda c, mask=mask: bool(mask >> c.id & 1))  # type: ignore[misc]
    assert len(table._tiers["m"][0]._parts) <= 100


# Strategies.


def three(**table: object) -> Site:
    return Site(channel(1), channel(2), channel(3), channel(4, priority=2), **table)


def test_least_busy_counts_who_works_and_who_waits_by_weight() -> None:
    site = Site(
        channel(1, max_concurrency=9),
        channel(2, max_concurrency=9, weight=4),
        channel(3, max_concurrency=9, priority=0),
        strategies=Strategies(default="least_busy"),
    )
    order = site.table.order("m", 0.0)
    assert (ids(order)[0], order.strategy) == (3, "least_busy")
    for places in (3, 3, 3, 1, 2, 2, 2):
        site.fleet.lane(places).limiter.take()
    for _ in range(5):
        assert ids(site.table.order("m", 0.0)) == [3, 2, 1], "3 of weight 4 are fewer than 1 of 1"
    for _ in range(2):
        site.fleet.lane(2).limiter.take()
    for _ in range(5):
        assert ids(site.table.order("m", 0.0)) == [3, 1, 2]


def test_least_busy_takes_turns_among_equals() -> None:
    site = three(strategies=Strategies(default="least_busy"))
    assert [ids(site.table.order("m", 0.0))[0] for _ in range(3)] == [1, 2, 3]


def test_lowest_latency() -> None:
    site = three(strategies=Strategies(default="lowest_latency"))
    lanes = [site.fleet.lane(id) for id in (1, 2, 3)]
    for lane, seconds in zip(lanes, (0.9, 0.2, 0.5), strict=True):
        lane.responded(seconds, 0.0)
    site.fleet.lane(4).responded(0.001, 0.0)
    assert ids(site.table.order("m", 1.0)) == [2, 3, 1, 4]


def test_what_is_not_measured_is_tried_once_and_not_by_everybody() -> None:
    site = three(strategies=Strategies(default="lowest_latency"))
    site.fleet.lane(2).responded(0.2, 0.0)
    site.fleet.lane(3).responded(0.1, 0.0)
    assert ids(site.table.order("m", 1.0)) == [1, 3, 2, 4]
    site.fleet.lane(1).limiter.take()
    assert ids(site.table.order("m", 1.0)) == [3, 2, 1, 4], "its answer is awaited"


def test_lowest_price() -> None:
    prices = {1: 5.0, 2: None, 3: 0.5, 4: 0.0}
    site = three(
        strategies=Strategies(default="lowest_price"),
        price_of=lambda channel, model: prices[channel.id],
    )
    assert ids(site.table.order("m", 0.0)) == [3, 1, 2, 4]


def test_the_first_pattern_that_fits_names_the_strategy() -> None:
    strategies = Strategies(
        default="round_robin",
        groups={"gpt-*-mini": "lowest_price", "GPT-*": "lowest_latency", "*": "least_busy"},
    )
    assert [
        strategies.of(model) for model in ("gpt-5-mini", "gpt-5", "Gpt-5-Mini", "claude", "")
    ] == ["lowest_price", "lowest_latency", "lowest_price", "least_busy", "least_busy"]
    assert Strategies(groups={"a": "lowest_price"}).of("b") == "round_robin"


def test_a_provider_that_does_not_list_the_model_comes_last() -> None:
    table = RoutingTable(
        (channel(1, models=(), priority=0), channel(2, models=()), channel(3, priority=5)),
        lists=lambda one, model: {1: False, 2: None}[one.id],
    )
    assert ids(table.order("m", 0.0)) == [2, 3, 1]


# High-availability mode.


def asked(table: RoutingTable, model: str = "whatever", **restriction: object) -> list[str]:
    order = table.any_order(model, 0.0, **restriction)  # type: ignore[arg-type]
    assert order.strategy == "high_availability"
    return [f"{option.channel.id}:{option.model}" for option in order.options]


def mixed() -> tuple[Channel, ...]:
    return (
        channel(1, models=("a", "b"), priority=2),
        channel(2, models=(), priority=1),
        channel(3, models=("c",), priority=1, enabled=False),
        channel(4, models=("d",), priority=3),
    )


@pytest.mark.row("S2-46")
def test_any_channel_by_priority_with_its_first_model() -> None:
    assert asked(RoutingTable(mixed())) == ["2:whatever", "1:a", "4:d"]


@pytest.mark.row("S2-46")
def test_the_first_model_is_the_first_that_was_listed() -> None:
    """Aliases are other names for models, not models before them."""
    listed = channel(1, models=("a", "b"), aliases={"nickname": "b", "other": "x"})
    unlisted = channel(2, models=(), aliases={"nickname": "b"}, priority=2)
    assert asked(RoutingTable((listed, unlisted))) == ["1:a", "2:whatever"]


@pytest.mark.row("S2-46")
def test_the_restrictions_of_the_key_hold_all_the_same() -> None:
    table = RoutingTable(mixed())
    assert asked(table, allowed=lambda c: c.id == 4) == ["4:d"]
    assert asked(table, may_use_model=lambda name: name in ("b", "d")) == ["1:b", "4:d"]
    nick = RoutingTable((channel(1, models=("a",), aliases={"nick": "a"}),))
    assert asked(nick, may_use_model=lambda name: name == "nick") == ["1:nick"]
    order = table.any_order("whatever", 0.0, lambda c: c.id != 4, lambda name: name == "b")
    assert [(one.id, why) for one, why in order.excluded] == [
        (4, "the key may not use it"),
        (2, "the key may not use its models"),
    ]
    with pytest.raises(Forbidden):
        table.any_order("whatever", 0.0, lambda c: False)
    with pytest.raises(Forbidden):
        table.any_order("whatever", 0.0, None, lambda name: False)
    with pytest.raises(Unavailable):
        RoutingTable((channel(1, enabled=False),)).any_order("m", 0.0)


@pytest.mark.row("S2-46")
def test_turns_are_taken_there_too() -> None:
    table = RoutingTable((channel(1, models=("a",)), channel(2, models=()), channel(3)))
    assert [asked(table)[0] for _ in range(4)] == ["1:a", "2:whatever", "3:m", "1:a"]


def test_lowest_price_there_is_the_price_of_what_would_be_asked() -> None:
    table = RoutingTable(
        (channel(1, models=("dear",)), channel(2, models=("cheap",))),
        strategies=Strategies(default="lowest_price"),
        price_of=lambda channel, model: {"dear": 9.0, "cheap": 1.0}[model],
    )
    assert asked(table)[0] == asked(table)[0] == "2:cheap"
