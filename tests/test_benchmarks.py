"""The benchmarks run and give figures; how fast anything is depends on the machine and is not asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import governance_parts
from benchmarks.__main__ import main
from benchmarks.options import Options
from benchmarks.report import Table, write_markdown
from dragoman.protocols.registry import protocols


def test_translation_gives_a_figure_for_every_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "performance.md"
    document.write_text("# Performance\n\nWords.\n\n<!-- translation -->\n<!-- /translation -->\n")
    main(
        [
            "translation",
            "--quick",
            "--rounds",
            "1",
            "--seconds",
            "0.001",
            "--markdown",
            str(document),
        ]
    )

    written = document.read_text(encoding="utf-8")
    assert written.startswith("# Performance\n\nWords.\n\n<!-- translation -->")
    assert str(tmp_path) not in written
    names = sorted(
        name for name, one in protocols().items() if one.client_side and one.upstream_side
    )
    rows = [line.split("|")[1:-1] for line in written.splitlines() if line.startswith("| ")]
    streamed = [row for row in rows if row[0].strip() in names]
    assert [row[0].strip() for row in streamed] == names
    figures = [cell for row in streamed for cell in row[1:]]
    assert len(figures) == len(names) ** 2
    assert all(re.fullmatch(r" \d+\.\d / \d+\.\d ", cell) for cell in figures)
    assert "Microseconds per streamed event" in capsys.readouterr().out


def test_a_section_is_replaced_and_the_prose_stays(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    first, second = (Table("T", ["", "x"], [["row", figure]]).markdown() for figure in "12")
    write_markdown(document, "latency", first)
    document.write_text(document.read_text() + "\nProse.\n")
    write_markdown(document, "latency", second)
    text = document.read_text()
    assert "| row | 2 |" in text
    assert "| row | 1 |" not in text
    assert text.endswith("<!-- /latency -->\n\nProse.\n")


def test_the_parts_of_governance_are_timed_one_by_one() -> None:
    table = governance_parts.measure(Options(quick=True, rounds=1))
    *parts, together = table.rows
    assert together[0] == "together"
    assert len(parts) == 8
    assert sum(float(least) for _, least, _ in parts) == pytest.approx(float(together[1]), abs=1)
