"""A disk that fills up: admission stops in time, what was admitted ends, and all goes on by itself."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.governance.ledger import Hold, JournalFull
from dragoman.store import journal_files
from dragoman.store.errors import StoreError
from dragoman.store.journal import Journal
from tests.support.journals import SMALL, abandon, drain, hold, settled

DISK_BYTES = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux may mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    if (done := subprocess.run(mount, check=False, capture_output=True)).returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def occupy(place: Path) -> Path:
    """Fill the disk to the last byte."""
    path = place / "something else"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert not shutil.disk_usage(place).free
    return path


async def admit_until_full(journal: Journal) -> list[Hold]:
    """Requests come as fast as the journal takes them; every third ends at once."""
    still_open: list[Hold] = []
    number = 0
    while True:
        line = hold(number)
        try:
            journal.admit(line)
        except JournalFull:
            return still_open
        number += 1
        if number % 3:
            still_open.append(line)
        else:
            journal.append(settled(line.id.removeprefix("req-")))
        assert number < 100_000, "the disk is full, and yet there is room for everybody"


def refusal(journal: Journal) -> str:
    with pytest.raises(JournalFull) as full:
        journal.admit(hold("refused"))
    return str(full.value)


async def until_it_admits(journal: Journal, line: Hold) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                journal.admit(line)
            except JournalFull:
                await asyncio.sleep(0.01)
            else:
                return


def test_a_full_disk_stops_admission_and_nothing_else(small_disk: Path) -> None:
    async def work() -> None:
        journal = Journal.open(small_disk / "journal", segment_bytes=4 * SMALL)
        journal.start()
        filler = occupy(small_disk)
        still_open = await admit_until_full(journal)
        assert still_open
        async with asyncio.timeout(30):
            while "No space left" not in refusal(journal):
                await asyncio.sleep(0.01)
        for line in still_open:
            journal.append(settled(line.id.removeprefix("req-")))
        assert not journal.open_holds
        filler.unlink()
        await until_it_admits(journal, hold("after"))
        ended = {line.id for line in drain(journal) if not isinstance(line, Hold)}
        assert ended >= {line.id for line in still_open}
        await journal.close()

    asyncio.run(work())


def test_a_crash_on_a_full_disk_can_be_recovered_on_it(small_disk: Path) -> None:
    folder = small_disk / "journal"
    journal = Journal.open(folder, segment_bytes=4 * SMALL)
    occupy(small_disk)
    still_open = asyncio.run(admit_until_full(journal))
    abandon(journal)

    again = Journal.open(folder, segment_bytes=4 * SMALL)
    assert list(again.orphans) == still_open
    assert again.full
    for orphan in again.orphans:
        again.append(settled(orphan.id.removeprefix("req-")))
    settlements = [line for line in drain(again) if not isinstance(line, Hold)]
    assert settlements[-len(still_open) :] == [
        settled(one.id.removeprefix("req-")) for one in still_open
    ]
    asyncio.run(again.close())


def test_no_journal_can_be_begun_on_a_full_disk(small_disk: Path) -> None:
    occupy(small_disk)
    with pytest.raises(StoreError, match=r"cannot be opened: No space left on device\. See to"):
        Journal.open(small_disk / "journal")


def test_admission_stops_and_comes_back_on_any_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def work() -> None:
        journal = Journal.open(tmp_path / "journal", segment_bytes=4 * SMALL)
        journal.start()
        with monkeypatch.context() as patch:
            patch.setattr(journal_files, "_allocate", refuse)
            still_open = await admit_until_full(journal)
            for line in still_open:
                journal.append(settled(line.id.removeprefix("req-")))
            assert not list((tmp_path / "journal").glob("*.new"))
        await until_it_admits(journal, hold("after"))
        await journal.close()

    asyncio.run(work())
