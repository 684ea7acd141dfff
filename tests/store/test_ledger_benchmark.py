"""The benchmark of the books runs; how fast anything is depends on the machine and is not asked."""

from __future__ import annotations

import re

import pytest

from benchmarks.__main__ import main
from benchmarks.ledger import VARIABLE


def test_the_books_are_filled_asked_and_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    main(["ledger", "--quick"])
    told = capsys.readouterr().out
    assert "The books with 2,000 entries" in told
    assert re.search(r"costs of 10,000 requests +\d+\.\d ms", told)
    assert re.search(r"the check of everything +\d+\.\d s", told)
    assert VARIABLE in told
