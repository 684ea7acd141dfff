"""Requests per second: the same small chat through every program, on the same upstream.

All programs run at once and are loaded in turns (A B C A B C …), so that whatever else the machine
does meets them all; the figure is the median of the rounds.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, field

from benchmarks import load, wrk
from benchmarks.load import Loaded
from benchmarks.options import Options
from benchmarks.report import Table
from benchmarks.stage import Stage, Way

_WARMUP_SECONDS = 1.0


@dataclass
class _Rounds:
    """What one way did, round by round; ``costs`` are processor microseconds per answer."""

    loaded: list[Loaded] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(one.rate for one in self.loaded)


def measure(options: Options) -> list[Table]:
    """Load every way in turns."""
    rounds = options.choose(options.rounds, full=5, quick=1)
    seconds = options.choose(options.seconds, full=6.0, quick=3.0)
    with Stage(tls=options.tls) as stage:
        ways = stage.start_all(options.programs())
        results = {way.title: _Rounds() for way in ways}
        for number in range(rounds):
            for way in ways:
                print(f"round {number + 1} of {rounds}: {way.title}", file=sys.stderr)
                _load(way, options.connections, seconds, results[way.title])
        table = _table(results, options)
        table.notes += [_explain(options, rounds, seconds), *stage.skipped]
        return [table]


def _load(way: Way, connections: int, seconds: float, result: _Rounds) -> None:
    generate = wrk.load if wrk.available() else load.load
    generate(way.address, way.ask, connections=connections, seconds=_WARMUP_SECONDS)
    before = way.child.processor_seconds() if way.child else 0.0
    loaded = generate(way.address, way.ask, connections=connections, seconds=seconds)
    used = way.child.processor_seconds() - before if way.child else 0.0
    result.loaded.append(loaded)
    result.costs.append(used / max(1, loaded.answers) * 1e6)


def _table(results: dict[str, _Rounds], options: Options) -> Table:
    ours = next((one.rate for title, one in results.items() if title.startswith("Dragoman")), 0.0)
    table = Table(
        f"Requests per second at {options.connections} connections",
        [
            "",
            "requests/s",
            "lowest–highest",
            "ours is",
            "processor µs each",
            "p50 ms",
            "p99 ms",
            "failed",
        ],
    )
    for title, one in results.items():
        rates = [loaded.rate for loaded in one.loaded]
        cost = statistics.median(one.costs)
        table.rows.append(
            [
                title,
                f"{one.rate:,.0f}",
                f"{min(rates):,.0f}–{max(rates):,.0f}",
                f"{ours / one.rate:.2f} ×" if one.rate and ours else "–",
                f"{cost:,.0f}" if cost else "–",
                f"{statistics.median(loaded.p50_ms for loaded in one.loaded):.2f}",
                f"{statistics.median(loaded.p99_ms for loaded in one.loaded):.2f}",
                str(sum(loaded.failures for loaded in one.loaded)),
            ]
        )
    return table


def _explain(options: Options, rounds: int, seconds: float) -> str:
    generator = wrk.version() if wrk.available() else "the built-in generator"
    return (
        f"Median of {rounds} interleaved round(s) of {seconds:g} s by {generator}; every program is "
        f"one process; the upstream answers about 1 kB {options.upstream_words}. “Ours is”: the rate "
        "of Dragoman passing through, divided by the row's. “Processor” is what the program itself "
        "used, and holds on a busy machine too."
    )
