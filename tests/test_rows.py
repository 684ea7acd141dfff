"""The report on which requirement is proven by which test."""

from __future__ import annotations

import pytest

from tests.rows import REQUIREMENTS, MarkerCollector, read_rows, report


def test_every_requirement_is_read() -> None:
    rows = read_rows(REQUIREMENTS.read_text(encoding="utf-8"))
    sections = {row.partition("-")[0] for row in rows}
    assert sections == {"S0", "S1", "S2", "S3", "S4"}
    assert len(rows) == 305
    with pytest.raises(ValueError, match="twice"):
        read_rows("| S1-1 | one | |\n| S1-1 | again | |\n")


def collected(**tests: set[str]) -> MarkerCollector:
    """A collector that found ``tests`` (row with an underscore → test functions)."""
    found = MarkerCollector()
    found.tests.update({row.replace("_", "-"): names for row, names in tests.items()})
    return found


def test_a_row_is_proven_by_passing_tests_only() -> None:
    rows = {"S1-1": "one", "S1-2": "two"}
    text, holds = report(rows, collected(S1_1={"test_a"}))
    assert holds
    assert "S1-1    proven" in text
    assert "S1-2    -" in text
    found = collected(S1_1={"test_a", "test_b"})
    found.failed.add("test_b")
    text, holds = report(rows, found)
    assert not holds
    assert "S1-1    FAILED" in text
    assert "! test_b" in text


def test_an_unknown_row_is_an_error() -> None:
    text, holds = report({"S1-1": "one"}, collected(S9_9={"test_a"}))
    assert not holds
    assert "unknown row S9-9, named by test_a" in text
