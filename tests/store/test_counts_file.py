"""What was learned of token counts, in its file: kept whole, and never a reason not to start."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from dragoman.governance.calibration import MOST_MODELS, Calibration, Features, Learned
from dragoman.governance.tokens import EMPTY, GROUPS
from dragoman.store.counts_file import FILE_NAME, MOST_BYTES, CountsFile

ONE = Learned(model="openai/gpt", seen=3, error=0.1, weights=[0.5] * (len(GROUPS) + 5))


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    assert CountsFile(tmp_path).load() == ()
    CountsFile(tmp_path).save([ONE])
    assert CountsFile(tmp_path).load() == [ONE]
    CountsFile(tmp_path).save([])
    assert CountsFile(tmp_path).load() == []
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe",
        b"[]",
        b'{"models": 3}',
        b'{"models": [{"model": "m", "seen": 1, "error": 0.1, "weights": ["a"]}]}',
        b'{"models": [{"model": "m", "seen": 1, "error": NaN, "weights": []}]}',
        b'{"models": [{"model": "m", "seen": 1, "error": 1e999, "weights": []}]}',
        b'{"models": ' + b"[" * 100_000,
        b'{"models": [' + b" " * MOST_BYTES + b"]}",
    ],
)
def test_what_is_no_memory_is_refused_with_a_warning(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert CountsFile(tmp_path).load() == ()
    assert "is learned anew" in caplog.text
    CountsFile(tmp_path).save([ONE])
    assert CountsFile(tmp_path).load() == [ONE]


def test_a_folder_in_its_place_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with caplog.at_level(logging.WARNING):
        assert CountsFile(tmp_path).load() == ()
        CountsFile(tmp_path).save([ONE])
    assert "is learned anew" in caplog.text
    assert "cannot be kept" in caplog.text


def test_the_longest_names_of_a_thousand_models_fit(tmp_path: Path) -> None:
    """Names are others' choice; the dearest characters take six bytes each."""
    calibration = Calibration()
    features = Features(texts=(100.0, *EMPTY[1:]), messages=1)
    for number in range(MOST_MODELS):
        assert calibration.observe(f"{number:04}".ljust(300, "\x01"), features, 150)
    CountsFile(tmp_path).save(calibration.dump())
    again = Calibration()
    assert again.load(CountsFile(tmp_path).load()) == MOST_MODELS
    size = (tmp_path / FILE_NAME).stat().st_size
    assert size < MOST_BYTES
    assert msgspec.json.encode(again.dump()) == msgspec.json.encode(calibration.dump())
