"""Prints the pair matrix after a run, and writes it to ``reports/matrix.md``.

A test is a cell if it calls ``record_property("cell", (client, upstream, topic, mode))``; properties
travel with the reports, so this works with several workers too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import pytest

Key = tuple[str, str, str]  # client, upstream, topic
MODES = ("plain", "streamed")
_SIGNS = {"passed": "✓", "failed": "✗", "skipped": "?", None: "·"}


class MatrixReport:
    """A pytest plugin; register one per session."""

    def __init__(self, impossible: Mapping[Key, str]) -> None:
        self._impossible = impossible
        self._cells: dict[Key, dict[str, str]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a cell's test ended; a failed set-up or tear-down counts too."""
        for name, value in report.user_properties:
            if name == "cell" and (report.when == "call" or not report.passed):
                client, upstream, topic, mode = value
                known = self._cells[client, upstream, topic]
                if known.get(mode) != "failed":
                    known[mode] = report.outcome

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, config: pytest.Config
    ) -> None:
        """Print and write the table, if any cell ran."""
        if not self._cells:
            return
        text = self.table()
        terminalreporter.section("pair matrix (plain, streamed)")
        terminalreporter.write_line(text)
        folder = config.rootpath / "reports"
        folder.mkdir(exist_ok=True)
        (folder / "matrix.md").write_text(f"# Pair matrix\n\n{text}\n", encoding="utf-8")

    def table(self) -> str:
        """The matrix as a Markdown table: one row per pair, one column per topic."""
        topics = list(dict.fromkeys(topic for _, _, topic in self._cells))
        pairs = list(dict.fromkeys((client, upstream) for client, upstream, _ in self._cells))
        width = max(len(f"{client} → {upstream}") for client, upstream in pairs)
        lines = [
            f"| {'client → upstream':{width}} | {' | '.join(topics)} |",
            f"|{'-' * (width + 2)}|{'|'.join('-' * (len(topic) + 2) for topic in topics)}|",
        ]
        for client, upstream in pairs:
            cells = [f"{self._sign(client, upstream, one):{len(one)}}" for one in topics]
            lines.append(f"| {f'{client} → {upstream}':{width}} | {' | '.join(cells)} |")
        lines += ["", "✓ passed, ✗ failed, · not run, — impossible:"]
        lines += [
            f"- {client} → {upstream}, {topic}: {reason}"
            for (client, upstream, topic), reason in self._impossible.items()
        ]
        return "\n".join(lines)

    def _sign(self, client: str, upstream: str, topic: str) -> str:
        key = client, upstream, topic
        if key in self._impossible:
            return "—"
        return "".join(_SIGNS[self._cells[key].get(mode)] for mode in MODES)
