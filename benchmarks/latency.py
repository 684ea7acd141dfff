"""Added latency: what a program adds to a direct call, one request at a time.

Blocks of requests go through the ways in random order, so that a slow second of the machine falls on
all of them. A short rest before each block lets a program finish what it left for after the answer.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import sys
import time

from benchmarks.http1 import Connection
from benchmarks.options import Options
from benchmarks.report import Table
from benchmarks.stage import Stage, Way

_BLOCK = 25
_REST_SECONDS = 0.02


def measure(options: Options) -> list[Table]:
    """Time single requests over every way."""
    blocks = options.choose(options.rounds, full=120, quick=12)
    with Stage(tls=options.tls) as stage:
        ways = stage.start_all(options.programs())
        with contextlib.ExitStack() as stack:
            connections = []
            for way in ways:
                connections.append(Connection(way.address))
                stack.callback(connections[-1].close)
            print(f"{blocks} blocks of {_BLOCK} requests each way", file=sys.stderr)
            durations = _interleave(ways, connections, blocks)
        return [_table(durations, options, stage.skipped)]


def _interleave(
    ways: list[Way], connections: list[Connection], blocks: int
) -> dict[str, list[float]]:
    """Sorted seconds of every request, by way."""
    durations: dict[str, list[float]] = {way.title: [] for way in ways}
    dice = random.Random(1)
    turns = list(zip(ways, connections, strict=True))
    for block in range(blocks + 1):
        dice.shuffle(turns)
        for way, connection in turns:
            time.sleep(_REST_SECONDS)
            taken = _block(connection, way.ask.encode())
            if block:  # the first block warms up
                durations[way.title] += taken
    return {title: sorted(taken) for title, taken in durations.items()}


def _block(connection: Connection, request: bytes) -> list[float]:
    taken = []
    for _ in range(_BLOCK):
        asked = time.perf_counter()
        status = connection.ask(request).status
        taken.append(time.perf_counter() - asked)
        if status != 200:
            raise RuntimeError(f"an answer of {status} in the middle of the measurement")
    return taken


def _table(durations: dict[str, list[float]], options: Options, skipped: list[str]) -> Table:
    table = Table(
        "Latency at one connection",
        ["", "p50 ms", "p95 ms", "p99 ms", "added p50 ms", "added p95 ms", "added p99 ms"],
    )
    direct = _percentiles(durations["direct"])
    for title, taken in durations.items():
        found = _percentiles(taken)
        added = [f"{mine - base:.3f}" for mine, base in zip(found, direct, strict=True)]
        if title == "direct":
            added = ["–"] * len(direct)
        table.rows.append([title, *(f"{value:.3f}" for value in found), *added])
    table.notes.append(
        f"{len(durations['direct'])} requests each way, interleaved in blocks of {_BLOCK}; the "
        f"upstream is reached {options.upstream_words}, by the direct call too."
    )
    table.notes += skipped
    return table


def _percentiles(taken: list[float]) -> list[float]:
    cuts = statistics.quantiles(taken, n=100, method="inclusive")
    return [cuts[percent - 1] * 1000 for percent in (50, 95, 99)]
