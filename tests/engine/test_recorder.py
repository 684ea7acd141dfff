"""The request log's writer, against a log that fails on demand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.engine import recorder as module
from dragoman.engine.recorder import Recorder
from dragoman.governance.record import Filter, RequestRecord, Transcript, without_transcript
from tests.support.records import BEGAN, record

EVERYTHING = Filter(limit=1_000_000)
RECENT, WAITING, BATCH, TRANSCRIPT_BYTES = 5, 8, 3, 100


class Log:
    """``RequestLog`` in memory. ``away`` makes every call fail; ``gate`` holds up writing."""

    def __init__(self) -> None:
        self.kept: dict[str, RequestRecord] = {}
        self.away = False
        self.tries = 0
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.held_up = asyncio.Event()
        self.pruned: list[tuple[int, float]] = []
        self.portions = 0

    async def add(self, records: Iterable[RequestRecord]) -> None:
        self.tries += 1
        batch = {one.id: one for one in records}
        assert 0 < len(batch) <= BATCH
        if not self.gate.is_set():
            self.held_up.set()
            await self.gate.wait()
        self._answer()
        self.kept |= {key: one for key, one in batch.items() if key not in self.kept}

    async def find(self, wanted: Filter) -> list[RequestRecord]:
        self._answer()
        found = (one for one in self.kept.values() if wanted.fits(one))
        newest_first = sorted(found, key=lambda one: one.id, reverse=True)
        return [without_transcript(one) for one in newest_first][: wanted.limit]

    async def get(self, request_id: str) -> RequestRecord | None:
        self._answer()
        return self.kept.get(request_id)

    async def prune(self, keep: int, before: float) -> bool:
        self._answer()
        self.pruned.append((keep, before))
        if keep == 0:
            self.kept.clear()
        self.portions = max(self.portions - 1, 0)
        return self.portions > 0

    def _answer(self) -> None:
        if self.away:
            self.failures += 1
            raise OSError("the disk is full")


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RECENT": RECENT,
        "WAITING": WAITING,
        "TRANSCRIPT_BYTES": TRANSCRIPT_BYTES,
        "_BATCH": BATCH,
        "_WRITE_SECONDS": 0.0,
        "_LONGEST_PAUSE_SECONDS": 0.0,
    }.items():
        monkeypatch.setattr(module, name, value)


def run(work: Callable[[Recorder, Log], Awaitable[None]], limit: int = 1000) -> None:
    async def main() -> None:
        log = Log()
        recorder = Recorder(log, clock=lambda: BEGAN, limit=limit, days=2.0)
        recorder.start()
        await work(recorder, log)
        await recorder.close()

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def tried_again(log: Log) -> None:
    before = log.tries
    await until(lambda: log.tries >= before + 2)


def with_transcript(number: int, size: int) -> RequestRecord:
    return record(number, transcript=Transcript(request=b"p" * size))


class Model:
    """What the recorder ought to do, in a few lines: a queue that forgets its oldest."""

    def __init__(self) -> None:
        self.noted: list[RequestRecord] = []
        self.waiting: list[RequestRecord] = []
        self.written: list[RequestRecord] = []
        self.dropped = 0

    def note(self, one: RequestRecord) -> None:
        self.noted.append(without_transcript(one))
        size = len(one.transcript.request) if one.transcript else 0
        held = sum(len(w.transcript.request) for w in self.waiting if w.transcript)
        self.waiting.append(without_transcript(one) if held + size > TRANSCRIPT_BYTES else one)
        if len(self.waiting) > WAITING:
            self.waiting.pop(0)
            self.dropped += 1

    def write(self) -> None:
        self.written += self.waiting
        self.waiting = []

    @property
    def memory(self) -> set[str]:
        return {one.id for one in [*self.noted[-RECENT:], *self.waiting]}


NOTE = st.tuples(st.just("note"), st.integers(1, 12))
KEEP = st.tuples(st.just("keep"), st.integers(0, 60))
STATE = st.tuples(st.sampled_from(["away", "back", "settle"]), st.just(0))


@given(st.lists(st.one_of(NOTE, KEEP, STATE), max_size=25))
def test_memory_is_bounded_and_nothing_is_lost_but_the_oldest(steps: list[tuple[str, int]]) -> None:
    async def work(recorder: Recorder, log: Log) -> None:
        model = Model()
        numbers = iter(range(1000))

        def note(one: RequestRecord) -> None:
            recorder.note(one)
            model.note(one)

        async def settle() -> None:
            if not model.waiting:
                return
            if log.away:
                await tried_again(log)
                found = await recorder.find(EVERYTHING)
                assert {one.id for one in found} == model.memory
            else:
                model.write()
                await until(lambda: len(log.kept) == len(model.written))

        for step, count in steps:
            if step == "note":
                for _ in range(count):
                    note(record(next(numbers)))
            elif step == "keep":
                note(with_transcript(next(numbers), count))
            elif step in ("away", "back"):
                await settle()
                log.away = step == "away"
            else:
                await settle()
        log.away = False
        await settle()
        assert sorted(log.kept.values(), key=lambda one: one.id) == model.written
        assert recorder.dropped == model.dropped
        found = await recorder.find(EVERYTHING)
        everything = [*map(without_transcript, reversed(model.written))]
        assert found == everything

    run(work)


def test_what_is_noted_is_shown_at_once_and_only_once() -> None:
    async def work(recorder: Recorder, log: Log) -> None:
        log.gate.clear()
        for number in range(7):
            recorder.note(with_transcript(number, 5))
        await log.held_up.wait()  # the first three are being written, the last five are recent
        found = await recorder.find(EVERYTHING)
        assert found == [record(number) for number in reversed(range(7))]
        for number in range(7):
            assert await recorder.get(record(number).id) == with_transcript(number, 5)
        assert await recorder.get("no such id") is None
        log.gate.set()
        await until(lambda: len(log.kept) == 7)
        assert await recorder.find(Filter(limit=2)) == [record(6), record(5)]
        assert await recorder.find(Filter(limit=2, before=record(5).id)) == [record(4), record(3)]
        assert await recorder.get(record(6).id) == with_transcript(6, 5)

    run(work)


def test_records_dropped_while_their_elders_fail_to_be_written() -> None:
    async def work(recorder: Recorder, log: Log) -> None:
        log.gate.clear()
        for number in range(BATCH):
            recorder.note(record(number))
        await log.held_up.wait()
        for number in range(BATCH, BATCH + WAITING):
            recorder.note(record(number))
        assert recorder.dropped == 0
        log.away = True
        log.gate.set()
        await tried_again(log)
        assert recorder.dropped == BATCH
        log.away = False
        await until(lambda: len(log.kept) == WAITING)
        assert [*log.kept] == [record(n).id for n in range(BATCH, BATCH + WAITING)]

    run(work)


def test_an_outage_is_logged_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dragoman.request_log")

    async def work(recorder: Recorder, log: Log) -> None:
        for outage in range(2):
            log.away = True
            recorder.note(record(outage))
            await tried_again(log)
            await tried_again(log)
            log.away = False
            await until(lambda: len(log.kept) == outage + 1)  # noqa: B023 - awaited here

    run(work)
    said = [one.levelname for one in caplog.records]
    assert said == ["ERROR", "INFO", "ERROR", "INFO"]
    assert "the disk is full" in caplog.text


def test_without_the_log_memory_answers() -> None:
    async def work(recorder: Recorder, log: Log) -> None:
        recorder.note(with_transcript(0, 5))
        await until(lambda: len(log.kept) == 1)
        log.away = True
        assert await recorder.find(EVERYTHING) == [record(0)]
        assert await recorder.get(record(0).id) == record(0), "its transcript is not in memory"
        with pytest.raises(OSError, match="full"):
            await recorder.get("any other")

    run(work)


def test_an_outage_is_tried_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []

    async def rest(event: asyncio.Event, seconds: float) -> None:
        if seconds != 60.0:
            rests.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(module, "_until", rest)
    monkeypatch.setattr(module, "_WRITE_SECONDS", 0.5)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_SECONDS", 5.0)

    async def work(recorder: Recorder, log: Log) -> None:
        log.away = True
        recorder.note(record(0))
        await until(lambda: log.failures == 6)
        log.away = False
        await until(lambda: bool(log.kept))
        await until(lambda: rests[-1] == 0.5)

    run(work)
    assert rests[:7] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_closing_writes_what_waits() -> None:
    async def main() -> None:
        log = Log()
        recorder = Recorder(log, clock=lambda: BEGAN, limit=1000, days=2.0)
        recorder.start()
        for number in range(WAITING):
            recorder.note(record(number))
        await recorder.close()
        assert len(log.kept) == WAITING

    asyncio.run(main())


def test_closing_does_not_wait_for_ever(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOSE_SECONDS", 0.05)

    async def work(recorder: Recorder, log: Log) -> None:
        log.gate.clear()
        for number in range(5):
            recorder.note(record(number))
        await log.held_up.wait()

    run(work)
    assert "5 requests could not be written" in caplog.text


def test_closing_during_an_outage_says_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    async def work(recorder: Recorder, log: Log) -> None:
        log.away = True
        recorder.note(record(0))

    run(work)
    assert "1 requests could not be written" in caplog.text


def test_with_a_limit_of_nothing_nothing_is_written() -> None:
    async def work(recorder: Recorder, log: Log) -> None:
        for number in range(RECENT + 2):
            recorder.note(with_transcript(number, 5))
        await asyncio.sleep(0.01)
        newest = [record(number) for number in reversed(range(2, RECENT + 2))]
        assert await recorder.find(EVERYTHING) == newest
        assert await recorder.get(record(3).id) == record(3)
        assert await recorder.get(record(0).id) is None
        assert log.tries == 0

    run(work, limit=0)


def test_switching_off_forgets_what_waits_and_what_was_written() -> None:
    async def work(recorder: Recorder, log: Log) -> None:
        recorder.note(record(0))
        await until(lambda: len(log.kept) == 1)
        log.gate.clear()
        recorder.note(record(1))
        await log.held_up.wait()
        recorder.note(with_transcript(2, TRANSCRIPT_BYTES))
        recorder.configure(0, 2.0)
        log.gate.set()
        await until(lambda: not log.kept)
        recorder.note(record(3))
        assert log.tries == 2, "what waited was not even tried"
        recorder.configure(1000, 2.0)
        # The room that the forgotten transcript took is free again.
        last = with_transcript(4, TRANSCRIPT_BYTES)
        recorder.note(last)
        await until(lambda: bool(log.kept))
        assert [*log.kept.values()] == [last]
        assert log.tries == 3

    run(work)


def test_switching_off_while_writing_fails_forgets_that_too() -> None:
    async def work(recorder: Recorder, log: Log) -> None:
        log.gate.clear()
        recorder.note(record(0))
        await log.held_up.wait()
        recorder.configure(0, 2.0)
        log.away = True
        log.gate.set()
        await until(lambda: log.failures == 1)
        log.away = False
        await until(lambda: bool(log.pruned))
        assert log.tries == 1
        assert not log.kept

    run(work)


def test_pruning_is_rare_but_goes_to_the_end() -> None:
    async def work(recorder: Recorder, log: Log) -> None:
        log.portions = 20
        recorder.note(record(0))
        await until(lambda: log.portions == 0)
        assert log.pruned == [(1000, BEGAN - 2 * 86_400)] * 20
        for number in range(1, 4):
            recorder.note(record(number))
            await until(lambda: len(log.kept) == number + 1)  # noqa: B023 - awaited here
        assert len(log.pruned) == 20, "not before a minute is over"
        recorder.configure(10, 1.0)
        await until(lambda: len(log.pruned) == 21)
        assert log.pruned[-1] == (10, BEGAN - 86_400)
        recorder.configure(10, 1.0)
        await asyncio.sleep(0.01)
        assert len(log.pruned) == 21, "nothing changed"

    run(work)


def test_settings_that_change_during_a_pruning_are_not_overlooked() -> None:
    async def work(recorder: Recorder, log: Log) -> None:
        plain = log.prune

        async def prune(keep: int, before: float) -> bool:
            if not log.pruned:
                recorder.configure(7, 2.0)
            return await plain(keep, before)

        log.prune = prune  # type: ignore[method-assign]
        recorder.note(record(0))
        await until(lambda: (7, BEGAN - 2 * 86_400) in log.pruned)

    run(work)


def test_the_same_request_noted_again_counts_once() -> None:
    async def work(recorder: Recorder, log: Log) -> None:
        for _ in range(3):
            recorder.note(with_transcript(0, TRANSCRIPT_BYTES))
        assert await recorder.get(record(0).id) == with_transcript(0, TRANSCRIPT_BYTES)
        await until(lambda: len(log.kept) == 1)
        assert await recorder.find(EVERYTHING) == [record(0)]

    run(work)
