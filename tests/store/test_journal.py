"""The journal on real files: room, draining, opening after a crash, damage."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from dragoman.engine import books
from dragoman.governance.ledger import Hold, JournalFull, Line, Settled
from dragoman.store import journal_chores, journal_files, journal_tape
from dragoman.store.errors import SchemaTooNew, StoreError
from dragoman.store.journal import Journal
from dragoman.store.journal_lines import HEADER_BYTES, LINE_BYTES, encode, frame
from tests.support.journals import (
    EVERYTHING,
    SMALL,
    abandon,
    drain,
    end,
    hold,
    released,
    settled,
)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "journal"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(folder: Path, clock: Clock) -> Iterator[Callable[..., Journal]]:
    """Opens journals with small segments; the last one is closed at the end."""
    journals: list[Journal] = []

    def open_one(**options: int) -> Journal:
        options = {"segment_bytes": SMALL, **options}
        journals.append(Journal.open(folder, clock=clock, **options))
        return journals[-1]

    yield open_one
    if journals:
        end(journals[-1])


def fill(journal: Journal) -> list[Hold]:
    """Admit until it is full; nothing tends it."""
    admitted: list[Hold] = []
    while not journal.full:
        admitted.append(hold(f"fill-{len(admitted)}"))
        journal.admit(admitted[-1])
    with pytest.raises(JournalFull):
        journal.admit(hold("one too many"))
    return admitted


def pass_segments(journal: Journal, count: int) -> None:
    """Write and drain as much as fills so many segments."""
    numbers = {int(path.stem) for path in journal._directory.glob("*.log")}
    number = 0
    while min(int(path.stem) for path in journal._directory.glob("*.log")) < min(numbers) + count:
        journal.admit(hold(f"pass-{number}"))
        journal.append(settled(f"pass-{number}", model="m" * 300))
        drain(journal)
        journal.tend()
        number += 1


def test_the_engine_can_use_it(opened: Callable[..., Journal]) -> None:
    journal: books.Journal = opened()
    journal.admit(hold(1))
    assert journal.behind == 1


def test_lines_are_drained_in_order_and_portion_by_portion(
    opened: Callable[..., Journal],
) -> None:
    journal = opened()
    lines: list[Line] = [hold(1), hold(2), settled(2), released(1)]
    for line in lines[:2]:
        assert isinstance(line, Hold)
        journal.admit(line)
    for line in lines[2:]:
        journal.append(line)
    assert (journal.behind, journal.open_holds) == (4, 0)
    first = journal.pending(3)
    assert first.lines == lines[:3]
    assert journal.pending(3) == first, "nothing was forgotten"
    journal.append(released(3))
    journal.forget(first.end)
    assert journal.behind == 2
    assert drain(journal) == [lines[3], released(3)]
    assert journal.pending(100).lines == []
    with pytest.raises(ValueError, match="not where a batch ended"):
        journal.forget(first.end + 10_000)
    journal.forget(first.end)  # long done: nothing


def test_files_are_for_the_owner_alone(opened: Callable[..., Journal], folder: Path) -> None:
    opened()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {path.stat().st_size for path in folder.glob("*.log")} == {SMALL}


def test_a_crash_loses_nothing_and_leaves_orphans(opened: Callable[..., Journal]) -> None:
    journal = opened()
    for number in range(3):
        journal.admit(hold(number))
    journal.append(settled(1))
    first = journal.pending(1)
    journal.forget(first.end)
    abandon(journal)

    again = opened()
    assert again.orphans == (hold(0), hold(2))
    assert (again.open_holds, again.behind) == (2, 3)
    assert drain(again) == [hold(1), hold(2), settled(1)]
    for orphan in again.orphans:
        again.append(released(orphan.id.removeprefix("req-")))
    abandon(again)
    assert opened().orphans == ()


def test_admission_stops_while_every_admitted_request_can_still_end(
    opened: Callable[..., Journal],
) -> None:
    journal = opened()
    admitted = fill(journal)
    assert journal.full
    for line in admitted:
        name = line.id.removeprefix("req-")
        rest = len(frame(encode(settled(name, model="m" * 1000)), 1)) - 1000
        journal.append(settled(name, model="m" * (LINE_BYTES - rest)))  # no line is longer
    assert journal.open_holds == 0
    found = drain(journal)
    assert [line.id for line in found if isinstance(line, Settled)] == [
        line.id for line in admitted
    ]


def test_a_line_without_a_hold_takes_nobodys_room(opened: Callable[..., Journal]) -> None:
    journal = opened()
    fill(journal)
    with pytest.raises(JournalFull):
        journal.append(settled("stranger"))


def test_room_is_made_when_it_is_needed(opened: Callable[..., Journal]) -> None:
    journal = opened()
    before = len(fill(journal))
    journal.tend()
    assert not journal.full
    assert len(fill(journal)) > before / 2


def test_what_is_drained_is_deleted(opened: Callable[..., Journal], folder: Path) -> None:
    journal = opened()
    pass_segments(journal, 5)
    assert journal.size == sum(path.stat().st_size for path in folder.glob("*.log"))
    assert journal.size <= 3 * SMALL


def test_a_hold_outlives_the_segment_it_was_written_to(
    opened: Callable[..., Journal], folder: Path
) -> None:
    journal = opened()
    journal.admit(hold("long"))
    pass_segments(journal, 5)
    drain(journal)
    abandon(journal)
    again = opened()
    assert again.orphans == (hold("long"),)
    again.append(settled("long"))
    assert settled("long") in drain(again)


def test_it_does_not_grow_beyond_its_bound(
    opened: Callable[..., Journal], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    journal = opened(most_bytes=5 * SMALL)
    number = 0
    while not journal.full and number < 10_000:
        clock.now += 2.0
        journal.admit(hold(number))
        journal.append(settled(number))
        journal.tend()
        number += 1
    with pytest.raises(JournalFull, match="wait to be drained"):
        journal.admit(hold("one too many"))
    assert journal.size == 5 * SMALL
    assert "no further segment" in caplog.text
    assert len(drain(journal)) == 2 * number
    clock.now += 2.0
    journal.tend()  # deletes
    clock.now += 2.0
    journal.tend()
    journal.admit(hold("next"))


def test_only_one_process_serves_from_a_directory(
    opened: Callable[..., Journal], folder: Path
) -> None:
    opened()
    with pytest.raises(StoreError, match=rf"process {os.getpid()}\) serves from {folder.parent}"):
        Journal.open(folder)


def test_a_torn_end_is_dropped_and_written_over(
    opened: Callable[..., Journal], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = opened()
    journal.admit(hold(1))
    before = journal._tape.current.end
    journal.append(settled(1))
    abandon(journal)
    with (folder / "00000001.log").open("r+b") as file:
        file.seek(before + 50)
        file.write(bytes(20))

    again = opened()
    assert again.orphans == (hold(1),)
    assert f"00000001.log ends in a line that was not written whole, at offset {before}" in (
        caplog.text
    )
    again.append(released(1))
    abandon(again)
    caplog.clear()
    assert drain(opened()) == [hold(1), released(1)]
    assert not caplog.records, "nothing of the torn line is left"


def test_damage_in_the_middle_costs_one_line_and_is_kept(
    opened: Callable[..., Journal], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = opened()
    for number in range(3):
        journal.admit(hold(number))
    abandon(journal)
    path = folder / "00000001.log"
    damaged = bytearray(path.read_bytes())
    damaged[HEADER_BYTES + 80] ^= 1
    path.write_bytes(damaged)

    again = opened()
    assert "00000001.log is damaged" in caplog.text
    assert again.orphans == (hold(0), hold(2))
    pass_segments(again, 2)
    kept = (folder / "00000001.damaged").read_bytes()
    assert kept[: HEADER_BYTES + 130] == damaged[: HEADER_BYTES + 130]


def test_a_line_that_rots_while_it_runs_is_not_lost_in_silence(
    opened: Callable[..., Journal], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = opened()
    for number in range(3):
        journal.admit(hold(number))
    with (folder / "00000001.log").open("r+b") as file:
        file.seek(HEADER_BYTES + 80)
        file.write(b"\xff")
    assert drain(journal) == [hold(0), hold(2)]
    assert "1 lines of the journal are lost" in caplog.text


@pytest.mark.parametrize("cut", [0, 10, HEADER_BYTES, HEADER_BYTES + 1, 100, 130, SMALL - 1])
def test_a_file_that_was_cut_has_what_is_before_the_cut(
    opened: Callable[..., Journal], folder: Path, cut: int
) -> None:
    journal = opened()
    ends = []
    for number in range(4):
        journal.admit(hold(number))
        ends.append(journal._tape.current.end)
    abandon(journal)
    os.truncate(folder / "00000001.log", cut)

    again = opened()
    before = [hold(number) for number in range(4) if ends[number] <= cut]
    assert list(again.orphans) == before
    again.admit(hold("new"))
    abandon(again)
    found = drain(opened())  # holds may come again, for the file that was cut is not written to
    assert list(dict.fromkeys(found)) == [*before, hold("new")]


def test_a_newer_journal_is_refused(opened: Callable[..., Journal], folder: Path) -> None:
    end(opened())
    path = folder / "00000001.log"
    plain = b"dragoman" + (99).to_bytes(4, "little") + (1).to_bytes(8, "little")
    path.write_bytes(plain + crc32(plain).to_bytes(4, "little") + bytes(1000))
    with pytest.raises(SchemaTooNew, match="newer version"):
        Journal.open(folder)
    with pytest.raises(SchemaTooNew):  # and the lock was let go
        Journal.open(folder)


@pytest.mark.parametrize("lost", ["drained", "half"])
def test_without_its_bookmark_lines_come_again(
    opened: Callable[..., Journal], folder: Path, lost: str
) -> None:
    journal = opened()
    journal.admit(hold(1))
    drain(journal)
    journal.append(released(1))
    drain(journal)
    abandon(journal)
    path = folder / "drained"
    if lost == "drained":
        path.unlink()
        assert drain(opened()) == [hold(1), released(1)]
    else:  # the newer of its two places was torn
        with path.open("r+b") as file:
            file.write(b"torn")
        assert drain(opened()) == [released(1)]


def test_lines_behind_a_lost_end_are_drained(opened: Callable[..., Journal], folder: Path) -> None:
    # A power failure took lines that the tables and the bookmark had already.
    journal = opened()
    for number in range(20):
        journal.admit(hold(number))
        journal.append(settled(number))
    drain(journal)
    abandon(journal)
    for path in sorted(folder.glob("*.log")):
        data = path.read_bytes()
        path.write_bytes(data[: HEADER_BYTES + 200] + bytes(len(data) - HEADER_BYTES - 200))
    again = opened()
    assert again.behind == 0
    again.append(released("new"))
    abandon(again)
    assert drain(opened()) == [released("new")]


def test_deleted_segments_do_not_hide_new_lines(
    opened: Callable[..., Journal], folder: Path
) -> None:
    journal = opened()
    pass_segments(journal, 3)
    abandon(journal)
    for path in folder.glob("*.log"):
        path.unlink()
    again = opened()
    again.admit(hold(1))
    assert drain(again) == [hold(1)]


def test_another_segment_size_is_taken_over(opened: Callable[..., Journal]) -> None:
    journal = opened()
    journal.admit(hold(1))
    end(journal)
    again = opened(segment_bytes=2 * SMALL)
    again.append(released(1))
    pass_segments(again, 2)
    assert again.size % (2 * SMALL) == 0
    with pytest.raises(ValueError, match="cannot hold a journal"):
        Journal.open(again._directory.with_name("other"), segment_bytes=LINE_BYTES)
    with pytest.raises(ValueError, match="needs 3 segments"):
        Journal.open(again._directory.with_name("other"), most_bytes=SMALL)


def test_it_is_synced_soon_after_something_was_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        synced = asyncio.Event()
        loop = asyncio.get_running_loop()

        def note(descriptor: int) -> None:
            journal_files.sync(descriptor)
            loop.call_soon_threadsafe(synced.set)

        monkeypatch.setattr(journal_chores, "sync", note)
        journal = Journal.open(folder)
        journal.start()
        for number in range(3):
            synced.clear()
            journal.admit(hold(number))
            await asyncio.wait_for(synced.wait(), 30)
        await journal.close()

    asyncio.run(work())


def test_a_failed_sync_is_made_good_in_another_file(
    opened: Callable[..., Journal],
    folder: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = opened()
    journal.admit(hold("safe"))
    journal.tend()
    journal.admit(hold("unsafe"))
    synced: list[str] = []

    def sync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}")[-12:-4])
        if synced == ["00000001"]:
            raise OSError(5, "Input/output error")

    if sys.platform != "linux":
        pytest.skip("reads the names of open files from /proc")
    monkeypatch.setattr(journal_chores, "sync", sync)
    journal.tend()
    assert "cannot be synced" in caplog.text
    with pytest.raises(JournalFull, match="disk fails"):
        journal.admit(hold("no"))
    journal.append(settled("unsafe"))  # what was admitted ends

    journal.tend()
    assert journal.full, "not before a second has passed"
    assert synced == ["00000001"], "and the file that failed is not asked again"
    clock.now += 1.0
    journal.tend()
    assert synced == ["00000001", "00000002"]
    journal.admit(hold("yes"))
    lines = [hold("safe"), hold("unsafe"), settled("unsafe"), hold("yes")]
    assert journal.behind == 4
    assert journal.pending(EVERYTHING).lines == lines, "while it runs, none comes twice"
    abandon(journal)
    (folder / "00000001.log").unlink()  # it may hold anything
    again = opened()
    assert again.orphans == (hold("yes"),)
    assert drain(again) == lines[1:]


def test_nothing_is_deleted_before_its_open_holds_are_safe(
    opened: Callable[..., Journal], folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    journal = opened(segment_bytes=4 * SMALL)
    journal.admit(hold("long"))
    number = 0
    while len(journal._tape.segments) == 1:
        number += 1
        journal.admit(hold(number))
        journal.append(settled(number))
    drain(journal)
    with monkeypatch.context() as patch:
        patch.setattr(journal_chores, "sync", fail)
        journal.tend()
    assert (folder / "00000001.log").exists()
    for _ in range(3):
        clock.now += 1.0
        journal.tend()
    assert not (folder / "00000001.log").exists()


def test_what_the_disk_will_not_take_waits_in_memory(
    opened: Callable[..., Journal], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened()
    for number in range(3):
        journal.admit(hold(number))

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(journal_tape, "write_at", fail)
        journal.append(settled(0))
        journal.append(released(1))
        with pytest.raises(JournalFull):
            journal.admit(hold(9))
        assert journal.behind == 5
    clock.now += 1.0
    journal.tend()
    journal.append(settled(2))
    assert drain(journal) == [hold(0), hold(1), hold(2), settled(0), released(1), settled(2)]
    clock.now += 1.0
    journal.tend()
    journal.admit(hold(10))


def test_a_kill_frees_the_lock(folder: Path) -> None:
    command = [sys.executable, "-m", "tests.support.journals", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            with pytest.raises(StoreError, match=f"process {writer.pid}"):
                Journal.open(folder)
        finally:
            writer.kill()
    end(Journal.open(folder))


def test_it_logs_nothing_when_all_is_well(
    opened: Callable[..., Journal], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    journal = opened()
    pass_segments(journal, 2)
    assert journal.pending(EVERYTHING).lines == []
    assert not caplog.records
