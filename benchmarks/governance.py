"""What governance costs: processor time of a request with everything on, and with nothing on.

Two gateways run side by side in front of the same upstream and are loaded in turns. What a gateway does
for a request after its answer (booking it, logging it) is waited for and counted, on whichever of its
threads it is done. Processor time is told and no wall time: whatever else the machine does lengthens
that first.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Mapping

from benchmarks import governance_parts, load
from benchmarks.governance_programs import Bare, Governed
from benchmarks.options import Options
from benchmarks.report import Table
from benchmarks.stage import Stage, Way

BOUND = 60.0
"""Microseconds."""
_CONNECTIONS = 16
_DRAINED_SECONDS = 1.5
"""After so long everything is booked and logged: both are begun twice a second."""
_WARMUP_SECONDS = 2.0

Costs = dict[tuple[str, str], list[float]]
"""(kind of request, program) → microseconds a request, by rounds."""


def measure(options: Options) -> list[Table]:
    """Load both gateways in turns, then time the parts alone."""
    rounds = options.choose(options.rounds, full=15, quick=2)
    seconds = options.choose(options.seconds, full=3.0, quick=1.0)
    with Stage(tls=False) as stage:
        ways = [way for one in (Bare(), Governed()) for way in stage.start(one)]
        if stage.skipped:
            raise RuntimeError("; ".join(stage.skipped))
        costs, rate = _rounds(ways, rounds, seconds)
    table = _table(costs)
    table.notes.append(
        f"Median of {rounds} rounds of {seconds:g} s each at {_CONNECTIONS} connections, some "
        f"{rate:,.0f} requests a second; lowest and highest round in brackets. The difference is that "
        "of each round's two halves."
    )
    return [table, governance_parts.measure(options)]


def _rounds(ways: list[Way], rounds: int, seconds: float) -> tuple[Costs, float]:
    costs: Costs = {(way.what, way.name): [] for way in ways}
    rates = []
    dice = random.Random(1)
    for way in ways:
        _load(way, _WARMUP_SECONDS)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        dice.shuffle(ways)
        for way in ways:
            cost, rate = _load(way, seconds)
            costs[way.what, way.name].append(cost)
            rates.append(rate)
    return costs, statistics.median(rates)


def _load(way: Way, seconds: float) -> tuple[float, float]:
    """Processor microseconds of a request, and requests a second."""
    assert way.child is not None
    before = way.child.processor_seconds()
    loaded = load.load(way.address, way.ask, connections=_CONNECTIONS, seconds=seconds)
    time.sleep(_DRAINED_SECONDS)
    used = way.child.processor_seconds() - before
    if loaded.failures or not loaded.answers:
        raise RuntimeError(f"{way.title}: {loaded.failures} requests failed")
    return used / loaded.answers * 1e6, loaded.rate


def _table(costs: Mapping[tuple[str, str], list[float]]) -> Table:
    table = Table(
        "Processor time of a request, µs",
        ["", Bare.title, Governed.title, "difference", "bound"],
    )
    for what in dict.fromkeys(what for what, _ in costs):
        bare, governed = (costs[what, one.title] for one in (Bare, Governed))
        more = [after - before for before, after in zip(bare, governed, strict=True)]
        table.rows.append([what, *map(_spread, (bare, governed, more)), f"{BOUND:g}"])
    return table


def _spread(figures: list[float]) -> str:
    return f"{statistics.median(figures):.0f} ({min(figures):.0f}–{max(figures):.0f})"
