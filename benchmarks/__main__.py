"""``python -m benchmarks [NAME …]``; see ``docs/performance.md``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    governance,
    latency,
    ledger,
    metrics,
    startup,
    streams,
    throughput,
    translation,
)
from benchmarks.children import stopping_cleanly
from benchmarks.options import Options
from benchmarks.report import Circumstances, Table, write_markdown

MEASUREMENTS: dict[str, Callable[[Options], list[Table]]] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "translation": translation.measure,
    "streams": streams.measure,
    "startup": startup.measure,
    "ledger": ledger.measure,
    "metrics": metrics.measure,
    "governance": governance.measure,
}
_PLACES = {"--litellm": "PYTHON", "--portkey": "FOLDER", "--markdown": "DOCUMENT"}


def main(arguments: list[str] | None = None) -> None:
    """Measure what the command line names, and show it."""
    given = _parser().parse_args(arguments)
    names = given.names or list(MEASUREMENTS)
    options = Options(
        quick=given.quick,
        verbose=given.verbose,
        tls=not given.plain,
        litellm=given.litellm,
        portkey=given.portkey,
        only=tuple(given.only.lower().split(",")) if given.only else (),
        rounds=given.rounds,
        seconds=given.seconds,
        connections=given.connections,
        streams=given.streams,
    )
    compared = [one.version for one in options.programs()[1:] if not one.lacking]
    words = sys.argv[1:] if arguments is None else arguments
    circumstances = Circumstances(_command(words), compared)
    with stopping_cleanly():
        for name in names:
            tables = MEASUREMENTS[name](options)
            print("\n".join(table.text() for table in tables))
            if given.markdown:
                parts = [*(table.markdown() for table in tables), *circumstances.lines()]
                write_markdown(given.markdown, name, "\n\n".join(parts))
    print("\n".join(circumstances.lines()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the gateway beside a direct call, nginx, LiteLLM and Portkey.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(MEASUREMENTS)}; all")
    parser.add_argument("--quick", action="store_true", help="a short trial of everything")
    parser.add_argument("--markdown", type=Path, help="write the tables into this document")
    parser.add_argument("--litellm", type=Path, metavar="PYTHON", help="one with litellm[proxy]")
    parser.add_argument(
        "--portkey", type=Path, metavar="FOLDER", help="the npm package @portkey-ai/gateway"
    )
    parser.add_argument("--only", metavar="NAMES", help="dragoman,nginx,litellm,portkey")
    parser.add_argument("--plain", action="store_true", help="reach the upstream without TLS")
    parser.add_argument("--rounds", type=int, help="repeats, instead of the default")
    parser.add_argument("--seconds", type=float, help="length of a load or a stream")
    parser.add_argument("--connections", type=int, default=64, help="of the throughput load")
    parser.add_argument("--streams", type=int, help="how many are held open")
    parser.add_argument("--verbose", action="store_true", help="startup: what the imports cost")
    return parser


def _command(words: list[str]) -> str:
    """The command line, with placeholders for where things are on this machine."""
    shown = ["python -m benchmarks"]
    flag = ""
    for word in words:
        flag, before = word.partition("=")[0], flag
        if before in _PLACES:
            shown.append(_PLACES[before])
        elif flag in _PLACES and "=" in word:
            shown.append(f"{flag} {_PLACES[flag]}")
        else:
            shown.append(word)
    return " ".join(shown)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # every process is stopped by now
        sys.exit(130)
