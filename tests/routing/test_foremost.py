"""Among whom the next request's turn would be."""

from __future__ import annotations

import pytest

from dragoman.canonical.errors import Forbidden, ModelNotFound, Unavailable
from dragoman.routing.select import RoutingTable, Strategies
from tests.routing.support import channel, ids


def first(table: RoutingTable, *barred: int) -> list[int]:
    found = table.foremost("m", (lambda one: one.id not in barred) if barred else None)
    return sorted(option.channel.id for option in found)


def test_the_first_priority_and_nobody_else() -> None:
    table = RoutingTable(
        (channel(1, priority=2), channel(2), channel(3), channel(4, models=("x",)))
    )
    assert first(table) == [2, 3]
    assert first(table, 2) == [3]
    assert first(table, 2, 3) == [1]
    with pytest.raises(Forbidden):
        first(table, 1, 2, 3)


def test_nobodys_turn_is_taken() -> None:
    table = RoutingTable((channel(1), channel(2)))
    turns = []
    for _ in range(4):
        first(table)
        first(table, 1)
        turns.append(ids(table.order("m", 0.0))[0])
    assert turns == [1, 2, 1, 2]


def test_where_the_lowest_price_decides_it_is_the_cheapest() -> None:
    prices = {1: 3.0, 2: 1.0, 3: None}
    table = RoutingTable(
        (channel(1), channel(2), channel(3)),
        strategies=Strategies(default="lowest_price"),
        price_of=lambda one, model: prices[one.id],
    )
    assert first(table) == [2]
    assert first(table, 2) == [1]
    assert first(table, 1, 2) == [3]


def test_who_has_no_model_or_no_channel_is_told_as_ever() -> None:
    with pytest.raises(ModelNotFound):
        RoutingTable((channel(1, models=("x",)),)).foremost("m")
    with pytest.raises(Unavailable):
        RoutingTable((channel(1, enabled=False),)).foremost("m")
