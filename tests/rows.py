"""Which requirement is proven by which test: ``python -m tests.rows [--run] [PYTEST ARGS]``.

Reads the ids of ``docs/requirements.md`` and the ``@pytest.mark.row("S2-13")`` markers that pytest
collects. A row counts as proven when a test is marked with it; with ``--run`` the marked tests are
run, and a row counts only if all of its tests pass. Exits 1 when a marker names an unknown row,
when the collection fails, or when a marked test fails.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "docs" / "requirements.md"
_ROW = re.compile(r"^\| (S\d+-\d+) \| (.*?) \|", re.MULTILINE)
_SECTION = re.compile(r"^## (S\d+) · (.*)$", re.MULTILINE)


def read_rows(text: str) -> dict[str, str]:
    """Row id → capability, in the order of the document; raises ValueError on a repeated id."""
    rows: dict[str, str] = {}
    for row, capability in _ROW.findall(text):
        if row in rows:
            raise ValueError(f"row {row} stands twice in {REQUIREMENTS.name}")
        rows[row] = capability
    return rows


class MarkerCollector:
    """A pytest plugin that notes each test's rows and, when tests run, how they ended."""

    def __init__(self) -> None:
        self.tests: dict[str, set[str]] = defaultdict(set)  # row → test functions
        self.failed: set[str] = set()  # test functions with a case that did not pass
        self.errors: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        marked = []
        for item in items:
            rows = [str(row) for mark in item.iter_markers("row") for row in mark.args]
            for row in rows:
                self.tests[row].add(_function(item.nodeid))
            if rows:
                marked.append(item)
        # Only marked tests can prove anything; --run need not run the others.
        config.hook.pytest_deselected(items=[item for item in items if item not in set(marked)])
        items[:] = marked

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(f"{report.nodeid}: could not be collected\n{report.longreprtext}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A skipped or expectedly failing case proves nothing either.
        if not report.passed:
            self.failed.add(_function(report.nodeid))


def _function(nodeid: str) -> str:
    """``tests/x.py::test_y[case]`` → ``tests/x.py::test_y``: cases of one test are listed once."""
    return nodeid.partition("[")[0]


def collect(run: bool, arguments: list[str]) -> MarkerCollector:
    """Let pytest collect (and, if asked, run) the marked tests in this process."""
    plugin = MarkerCollector()
    options = ["-p", "no:cacheprovider", "-q", "--continue-on-collection-errors"]
    quiet = contextlib.nullcontext() if run else contextlib.redirect_stdout(io.StringIO())
    with quiet:
        code = pytest.main(
            [*options, *([] if run else ["--collect-only"]), *arguments], plugins=[plugin]
        )
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, 5) and not plugin.errors:
        plugin.errors.append(f"pytest ended with {code!r}")
    return plugin


def report(rows: dict[str, str], found: MarkerCollector) -> tuple[str, bool]:
    """The report as text, and whether everything that is claimed holds."""
    lines: list[str] = []
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row, capability in rows.items():
        tests = sorted(found.tests.get(row, ()))
        proven = bool(tests) and not found.failed.intersection(tests)
        section = totals[row.partition("-")[0]]
        section[0] += proven
        section[1] += 1
        state = "proven" if proven else "FAILED" if tests else "-"
        lines.append(f"{row:7} {state:7} {capability}")
        lines += [f"{'':16}{'! ' if test in found.failed else ''}{test}" for test in tests]
    lines.append("")
    names = dict(_SECTION.findall(REQUIREMENTS.read_text(encoding="utf-8")))
    for section_id, (done, total) in totals.items():
        lines.append(f"{section_id}  {done:3} of {total:3}  {names.get(section_id, '')}")
    lines.append(
        f"all {sum(done for done, _ in totals.values()):3} of {len(rows):3} rows are proven"
    )
    unknown = sorted(set(found.tests) - set(rows))
    for row in unknown:
        lines.append(f"unknown row {row}, named by {', '.join(sorted(found.tests[row]))}")
    lines += found.errors
    return "\n".join(lines), not (unknown or found.errors or found.failed)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.rows", description=__doc__)
    parser.add_argument("--run", action="store_true", help="run the marked tests too")
    options, arguments = parser.parse_known_args(argv)
    rows = read_rows(REQUIREMENTS.read_text(encoding="utf-8"))
    text, holds = report(rows, collect(options.run, arguments))
    print(text)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
