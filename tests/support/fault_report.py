"""Prints the fault table after a run, and writes it to ``reports/faults.md``.

A test is a cell if it calls ``record_property("fault", (row, setting, client, mode))``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

_SIGNS = {"passed": "✓", "failed": "✗", "skipped": "?", None: "·"}


class FaultReport:
    """A pytest plugin; register one per session."""

    def __init__(self, rows: Sequence[str], settings: Sequence[str]) -> None:
        """``rows`` gives their order; each cell shows one sign per setting."""
        self._rows = rows
        self._settings = settings
        self._cells: dict[tuple[str, ...], str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a cell's test ended; a failed set-up or tear-down counts too."""
        for name, value in report.user_properties:
            if name == "fault" and (report.when == "call" or not report.passed):
                parts: Any = value
                key = tuple(str(part) for part in parts)
                if self._cells.get(key) != "failed":
                    self._cells[key] = report.outcome

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        """Print and write the table, if any cell ran."""
        if not self._cells:
            return
        text = self.table()
        terminalreporter.section(f"fault table ({', '.join(self._settings)})")
        terminalreporter.write_line(text)
        folder = config.rootpath / "reports"
        folder.mkdir(exist_ok=True)
        (folder / "faults.md").write_text(f"# Fault table\n\n{text}\n", encoding="utf-8")

    def table(self) -> str:
        """A Markdown table: one row per fault, one column per client and mode."""
        columns = list(dict.fromkeys(key[2:] for key in sorted(self._cells)))
        titles = [" ".join(column) for column in columns]
        width = max(len(row) for row in self._rows)
        lines = [
            f"| {'fault':{width}} | {' | '.join(titles)} |",
            f"|{'-' * (width + 2)}|{'|'.join('-' * (len(title) + 2) for title in titles)}|",
        ]
        for row in self._rows:
            cells = [
                f"{self._signs(row, column):{len(title)}}"
                for column, title in zip(columns, titles, strict=True)
            ]
            lines.append(f"| {row:{width}} | {' | '.join(cells)} |")
        lines += ["", f"Each cell: {', '.join(self._settings)}. ✓ as promised, ✗ not, · not run."]
        return "\n".join(lines)

    def _signs(self, row: str, column: tuple[str, ...]) -> str:
        return "".join(
            _SIGNS[self._cells.get((row, setting, *column))] for setting in self._settings
        )
