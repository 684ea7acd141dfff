"""When a candidate is left alone, and who may find out whether it is well again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.routing.circuit import Circuit


def opened(now: float = 0.0) -> Circuit:
    circuit = Circuit()
    for _ in range(5):
        circuit.failed(now)
    return circuit


def feed(circuit: Circuit, outcomes: str, now: float = 0.0) -> Circuit:
    """``+`` succeeds, ``-`` fails; asserts that only the last may open it."""
    for outcome in outcomes:
        assert circuit.closed
        if outcome == "+":
            circuit.succeeded(now)
        else:
            circuit.failed(now)
    return circuit


@pytest.mark.parametrize(
    ("outcomes", "closed"),
    [
        ("----", True),
        ("-----", False),
        ("----+----", True),
        ("----+-----", False),
        ("+-" * 9 + "-", True),  # 19, more than half of them
        ("+-" * 10, False),  # 20, half of them
        ("+-" * 9 + "++", True),  # 20, fewer than half
        ("+-" * 9 + "++-", True),  # 10 of 21
        ("+-" * 9 + "++--", False),  # 11 of 22
        ("+" * 30 + ("-" * 4 + "+") * 9, True),  # 36 of 75
        ("+" * 12 + ("-" * 4 + "+") * 3 + "---", False),  # 15 of 30
    ],
)
def test_what_opens_it(outcomes: str, closed: bool) -> None:
    assert feed(Circuit(), outcomes).closed is closed


def test_the_window_slides() -> None:
    late = feed(Circuit(), "+-" * 9 + "-", now=100.0)
    late.succeeded(130.0)
    late.failed(130.0)
    assert late.closed, "19 of the 21 are 30 s old"
    soon = feed(Circuit(), "+-" * 9 + "+", now=100.0)
    soon.failed(129.9)
    assert not soon.closed


def test_memory_does_not_grow_with_traffic() -> None:
    circuit = Circuit()
    for number in range(100_000):
        circuit.succeeded(number / 1000)
    assert len(circuit._buckets) <= 31


def test_open_for_thirty_seconds() -> None:
    circuit = opened(1000.0)
    assert (circuit.state(1000.0), circuit.opens_again(1000.0)) == ("open", 30.0)
    assert not circuit.allows(1029.9)
    assert circuit.state(1029.9) == "open"
    assert circuit.allows(1030.0)
    assert (circuit.state(1030.0), circuit.opens_again(1030.0)) == ("half-open", 0.0)


def test_closed_lets_everything_pass_and_has_no_probe() -> None:
    circuit = Circuit()
    assert circuit.state(0.0) == "closed"
    assert circuit.allows(0.0)
    assert not circuit.begin()
    assert circuit.allows(0.0)


def test_exactly_one_probe() -> None:
    circuit = opened()
    probe = circuit.begin()
    assert probe
    assert not circuit.allows(30.0), "it is under way"
    assert not circuit.begin()
    circuit.succeeded(31.0)
    circuit.end(probe)
    assert circuit.closed
    assert circuit.allows(31.0)


def test_a_probe_that_fails_opens_it_for_another_thirty_seconds() -> None:
    circuit = opened()
    probe = circuit.begin()
    assert circuit.failed(40.0)
    circuit.end(probe)
    assert not circuit.allows(69.9)
    assert circuit.allows(70.0)


def test_a_probe_whose_client_leaves_makes_room_for_the_next() -> None:
    circuit = opened()
    circuit.end(circuit.begin())
    assert circuit.allows(30.0)
    assert circuit.begin()


def test_what_ends_beside_the_probe_lets_no_second_one_pass() -> None:
    circuit = opened()
    assert circuit.begin()
    circuit.end(0)  # a request that began before the circuit opened, and was rate limited
    assert not circuit.allows(30.0)
    circuit.failed(30.0)  # another, which failed
    assert not circuit.allows(60.0), "the probe is still under way"


def test_an_old_probe_does_not_end_a_new_one() -> None:
    circuit = opened()
    old = circuit.begin()
    circuit.succeeded(31.0)  # its first content; the answer goes on
    for _ in range(5):
        circuit.failed(32.0)
    assert circuit.allows(62.0)
    new = circuit.begin()
    assert new not in (0, old)
    circuit.end(old)
    assert not circuit.allows(62.0)
    circuit.end(new)
    assert circuit.allows(62.0)


def test_closing_forgets_the_window_and_the_row() -> None:
    circuit = feed(Circuit(), "+-" * 10)
    circuit.succeeded(30.0)
    feed(circuit, "----", now=30.0)
    assert circuit.closed
    assert not feed(circuit, "-", now=30.0).closed


def test_half_open_trip_and_reset() -> None:
    circuit = opened(1000.0)
    circuit.half_open(1005.0)
    assert circuit.allows(1005.0)
    circuit.trip(1006.0)
    assert circuit.opens_again(1006.0) == 30.0
    circuit.begin()
    circuit.reset()
    assert circuit.closed
    assert not feed(circuit, "-----", now=1006.0).closed
    assert circuit.begin(), "no probe was left over"
    closed = Circuit()
    closed.half_open(1.0)
    assert closed.closed


@given(st.lists(st.tuples(st.floats(0, 12), st.booleans()), max_size=80))
def test_it_opens_exactly_when_a_plain_list_says_so(steps: list[tuple[float, bool]]) -> None:
    circuit, now = Circuit(), 0.0
    past: list[tuple[int, bool]] = []
    for pause, good in steps:
        now += pause
        past.append((int(now), good))
        if good:
            circuit.succeeded(now)
        else:
            circuit.failed(now)
        window = [one for second, one in past if second > int(now) - 30]
        row = len(past) >= 5 and not any(one for _, one in past[-5:])
        share = len(window) >= 20 and window.count(False) * 2 >= len(window)
        if not good and (row or share):
            assert not circuit.closed
            assert circuit.opens_again(now) == pytest.approx(30.0)
            return
        assert circuit.closed
