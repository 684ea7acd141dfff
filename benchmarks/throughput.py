"""Requests per second: the same small chat through every program, on the same upstream.

All programs run at once and are loaded in turns (A B C A B C …), so that whatever else the machine
does meets them all; the figure is the median of the rounds.
"""

from __future__ import annotations

import statistics
import sys

from benchmarks import load, wrk
from benchmarks.load import Loaded
from benchmarks.options import Options
from benchmarks.report import Table
from benchmarks.stage import Stage, Way


def measure(options: Options) -> list[Table]:
    """Load every way in turns."""
    rounds = options.choose(options.rounds, full=5, quick=1)
    seconds = options.choose(options.seconds, full=6.0, quick=2.0)
    with Stage(tls=options.tls) as stage:
        ways = stage.start_all(options.programs())
        results: dict[str, list[Loaded]] = {way.title: [] for way in ways}
        for number in range(rounds):
            for way in ways:
                print(f"round {number + 1} of {rounds}: {way.title}", file=sys.stderr)
                results[way.title].append(_load(way, options.connections, seconds))
        return [_table(results, options, rounds, seconds, stage.skipped)]


def _load(way: Way, connections: int, seconds: float) -> Loaded:
    generate = wrk.load if wrk.available() else load.load
    return generate(way.address, way.ask, connections=connections, seconds=seconds, warmup=1.0)


def _table(
    results: dict[str, list[Loaded]],
    options: Options,
    rounds: int,
    seconds: float,
    skipped: list[str],
) -> Table:
    rates = {
        title: statistics.median(one.rate for one in loaded) for title, loaded in results.items()
    }
    ours = next((rate for title, rate in rates.items() if title.startswith("Dragoman")), 0.0)
    table = Table(
        f"Requests per second at {options.connections} connections",
        ["", "requests/s", "lowest–highest", "ours is", "p50 ms", "p99 ms", "failed"],
    )
    for title, loaded in results.items():
        rate, every = rates[title], [one.rate for one in loaded]
        table.rows.append(
            [
                title,
                f"{rate:,.0f}",
                f"{min(every):,.0f}–{max(every):,.0f}",
                f"{ours / rate:.2f} ×" if rate and ours else "–",
                f"{statistics.median(one.p50_ms for one in loaded):.2f}",
                f"{statistics.median(one.p99_ms for one in loaded):.2f}",
                str(sum(one.failures for one in loaded)),
            ]
        )
    generator = wrk.version() if wrk.available() else "the built-in generator"
    table.notes.append(
        f"Median of {rounds} interleaved round(s) of {seconds:g} s by {generator}; every program is "
        f"one process; the upstream answers about 1 kB {options.upstream_words}. “ours is”: the rate "
        "of Dragoman passing through, divided by the row's."
    )
    table.notes += skipped
    return table
