"""Where a session was answered."""

from __future__ import annotations

from dragoman.routing.affinity import Affinity, Place

HERE, THERE = Place(1, 1), Place(2, 3)


def test_remembered_for_an_hour_after_the_last_answer() -> None:
    affinity = Affinity()
    assert affinity.find("s", 0.0) is None
    affinity.remember("s", HERE, 0.0)
    assert affinity.find("s", 3600.0) == HERE
    affinity.remember("s", THERE, 3600.0)
    assert affinity.find("s", 7200.0) == THERE
    assert affinity.find("s", 7200.1) is None
    assert len(affinity) == 0, "what is over is not kept"


def test_the_least_recent_is_forgotten() -> None:
    affinity = Affinity(3)
    for name in ("a", "b", "c", "a", "d"):
        affinity.remember(name, HERE, 0.0)
    assert [name for name in "abcd" if affinity.find(name, 0.0)] == ["a", "c", "d"]
    assert len(affinity) == 3


def test_long_names_are_told_apart_and_cost_no_memory() -> None:
    affinity = Affinity()
    long = "x" * 1_000_000
    affinity.remember(long + "1", HERE, 0.0)
    affinity.remember(long + "2", THERE, 0.0)
    affinity.remember("\ud800" * 300, HERE, 0.0)
    assert affinity.find(long + "1", 0.0) == HERE
    assert affinity.find(long + "2", 0.0) == THERE
    assert affinity.find(long, 0.0) is None
    assert sum(len(name) for name in affinity._places) < 1000
