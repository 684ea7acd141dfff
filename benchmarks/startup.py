"""Cold start and idle size: from the command line to the first answered request, then three seconds
of rest."""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass

from benchmarks.children import Child, DidNotStart
from benchmarks.http1 import Address, Ask, Connection
from benchmarks.options import Options
from benchmarks.programs import Dragoman, Place, Program
from benchmarks.report import Table
from benchmarks.stage import Stage, launch

_REST_SECONDS = 3.0
_PATIENCE_SECONDS = 120.0
_RETRY_SECONDS = 0.005
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s*([\w.]+)")
_SHOWN_IMPORTS = 10


@dataclass
class _Started:
    seconds: float
    idle_bytes: int
    log: str


def measure(options: Options) -> list[Table]:
    """Start every program several times, each time in an empty directory and once more in the same."""
    rounds = options.choose(options.rounds, full=5, quick=1)
    table = Table(
        "Cold start and idle size", ["", "first start s", "restart s", "lowest s", "idle MiB"]
    )
    tables = [table]
    with Stage(tls=options.tls) as stage:
        programs = []
        for program in options.programs():
            if program.lacking:
                table.notes.append(f"{program.title} was not measured: {program.lacking}.")
            else:
                programs.append(program)
        starts: dict[str, list[tuple[_Started, _Started]]] = {one.title: [] for one in programs}
        for number in range(rounds):
            for program in programs:
                print(f"round {number + 1} of {rounds}: {program.title}", file=sys.stderr)
                place = stage.place(program)
                starts[program.title].append((_start(program, place), _start(program, place)))
        for title, found in starts.items():
            table.rows.append(_row(title, found))
        if options.verbose:
            tables.append(_imports(stage))
    table.notes.append(
        f"Median of {rounds}; from the command line to the first answered chat. “restart” finds the "
        f"first start's files; “idle” is the memory {_REST_SECONDS:g} s after it, with what "
        "processes share counted once."
    )
    return tables


def _start(program: Program, place: Place, environ: dict[str, str] | None = None) -> _Started:
    """One start. Raises DidNotStart."""
    ask = next(iter(program.asks(place.upstream).values()))
    begun = time.perf_counter()
    with launch(program, place, environ) as child:
        _await_answer(child, place, ask)
        seconds = time.perf_counter() - begun
        time.sleep(_REST_SECONDS)
        size = child.memory()
    return _Started(seconds, size, child.log.read_text(encoding="utf-8", errors="replace"))


def _await_answer(child: Child, place: Place, ask: Ask) -> None:
    request = ask.encode()
    end = time.monotonic() + _PATIENCE_SECONDS
    answer = "nothing"
    while time.monotonic() < end:
        child.check()
        try:
            connection = Connection(Address(place.port))
        except OSError:
            time.sleep(_RETRY_SECONDS)
            continue
        try:
            reply = connection.ask(request)
            if reply.status == 200:
                return
            answer = f"{reply.status} {reply.body[:300]!r}"
        except (OSError, ValueError) as error:
            answer = repr(error)
        finally:
            connection.close()
        time.sleep(_RETRY_SECONDS)
    raise DidNotStart(f"No good answer after {_PATIENCE_SECONDS:g} s; the last was {answer}.")


def _row(title: str, found: list[tuple[_Started, _Started]]) -> list[str]:
    first, again = ([pair[which].seconds for pair in found] for which in (0, 1))
    idle = statistics.median(pair[0].idle_bytes for pair in found) / 2**20
    return [
        title,
        f"{statistics.median(first):.2f}",
        f"{statistics.median(again):.2f}",
        f"{min(first + again):.2f}",
        f"{idle:.0f}",
    ]


def _imports(stage: Stage) -> Table:
    """Which packages take the time of our own start (``python -X importtime``)."""
    program = Dragoman()
    log = _start(program, stage.place(program), {"PYTHONPROFILEIMPORTTIME": "1"}).log
    own: Counter[str] = Counter()
    for microseconds, module in _IMPORT.findall(log):
        own[module.partition(".")[0]] += int(microseconds)
    table = Table("Where Dragoman's imports take their time", ["package", "ms"])
    for package, microseconds in own.most_common(_SHOWN_IMPORTS):
        table.rows.append([package, f"{microseconds / 1000:.0f}"])
    table.rows.append(["all", f"{own.total() / 1000:.0f}"])
    table.notes.append("Measured while profiling, which makes everything slower.")
    return table
