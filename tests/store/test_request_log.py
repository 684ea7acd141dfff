"""The request log, on real files."""

from __future__ import annotations

import asyncio
import random
import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, event

from dragoman.engine.recorder import Recorder
from dragoman.governance.record import Filter, RequestRecord, Transcript, without_transcript
from dragoman.store.errors import SecretKeyError, StoreError
from dragoman.store.request_log import SQLRequestLog
from dragoman.store.sql import SQLStore
from tests.store.homes import Home
from tests.support.records import BEGAN, record

CANARY = "canary-4711-never-to-be-seen"
EVERYTHING = Filter(limit=1_000_000)


def run(home: Home, work: Callable[[SQLRequestLog], Awaitable[None]]) -> None:
    async def with_store(store: SQLStore) -> None:
        await work(store.request_log())

    home.run(with_store)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dragoman.db"


def several(count: int, seed: int = 4711) -> list[RequestRecord]:
    """Requests of every kind, a few seconds apart, some with a slow upload before they began."""
    dice = random.Random(seed)
    made = []
    for number in range(count):
        one = record(number * 2500)
        made.append(
            msgspec.structs.replace(
                one,
                started_at=one.started_at + dice.choice([0.0, 0.0, 600.0]),
                key_name=dice.choice(["laptop", "ci"]),
                channel=dice.choice(["main", "backup", None]),
                model=dice.choice(["gpt-4o", "o3"]),
                outcome=dice.choice(["ok", "ok", "error", "broken", "left"]),
            )
        )
    return made


def test_what_is_added_is_there_after_a_restart(home: Home) -> None:
    bare = RequestRecord(
        id="0", started_at=1.0, operation="generate", protocol="ollama_chat", model=""
    )

    async def write(log: SQLRequestLog) -> None:
        assert await log.reaches_back_to() is None
        await log.add([])
        await log.add([record(1), record(2), bare])
        await log.add([record(2, status=999), record(0)])

    async def read(log: SQLRequestLog) -> None:
        assert await log.find(EVERYTHING) == [record(2), record(1), record(0), bare]
        assert await log.get(record(2).id) == record(2), "what is there stays as it is"
        assert await log.get("nothing") is None
        assert await log.reaches_back_to() == 1.0

    run(home, write)
    run(home, read)


def test_a_list_is_what_fits_newest_first(home: Home) -> None:
    records = several(400)
    dice = random.Random(1)

    def wanted() -> Filter:
        def maybe(value: Any) -> Any:
            return value if dice.random() < 0.4 else None

        span = sorted(dice.uniform(BEGAN - 100, BEGAN + 1100) for _ in range(2))
        return Filter(
            limit=dice.choice([0, 3, 50, 1000]),
            before=maybe(dice.choice([dice.choice(records).id, "0", "g"])),
            since=maybe(dice.choice([span[0], dice.choice(records).started_at])),
            until=maybe(dice.choice([span[1], dice.choice(records).started_at])),
            channel=maybe(dice.choice(["main", "backup", "none such"])),
            key=maybe("ci"),
            model=maybe("o3"),
            outcome=maybe("error"),
        )

    async def work(log: SQLRequestLog) -> None:
        shuffled = dice.sample(records, len(records))
        await log.add(shuffled[:200])
        await log.add(shuffled[200:])
        assert await log.find(Filter(limit=-1)) == []
        hits = 0
        for _ in range(300):
            chosen = wanted()
            fitting = [one for one in reversed(records) if chosen.fits(one)][: chosen.limit]
            assert await log.find(chosen) == fitting
            hits += bool(fitting)
        assert hits > 100, "the filters must leave something to compare"

    run(home, work)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Filter(), "sqlite_autoindex_requests_1"),
        (Filter(since=BEGAN, before="x"), "sqlite_autoindex_requests_1 (id>? AND id<?)"),
        (Filter(key="ci"), "ix_requests_key_name (key_name=?)"),
        (Filter(model="o3", until=BEGAN), "ix_requests_model (model=? AND id<?)"),
        (Filter(channel="main", since=BEGAN), "ix_requests_channel (channel=? AND id>?)"),
        (Filter(outcome="error"), "ix_requests_outcome (outcome=?)"),
    ],
)
def test_no_list_walks_through_the_whole_log_or_sorts_it(
    path: Path, wanted: Filter, index: str
) -> None:
    asked: list[tuple[str, Any]] = []

    def listen(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if "FROM requests" in statement:
            asked.append((statement, values))

    event.listen(Engine, "before_cursor_execute", listen)
    try:

        async def work(log: SQLRequestLog) -> None:
            await log.find(wanted)

        run(Home(path), work)
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    ((statement, values),) = asked
    plan = [row[3] for row in Home(path).sql(f"EXPLAIN QUERY PLAN {statement}", *values)]
    assert len(plan) == 1
    assert index in plan[0]


def test_transcripts_are_sealed_and_only_for_whom_asks_for_the_one(path: Path) -> None:
    kept = record(0, transcript=Transcript(request=CANARY.encode(), answer=b"\x00\xff"))

    async def work(log: SQLRequestLog) -> None:
        await log.add([kept, record(1)])
        assert await log.find(EVERYTHING) == [record(1), record(0)]
        assert (await log.written_after(0))[1] == [record(0), record(1)]
        assert await log.get(kept.id) == kept
        # While it is open, the write-ahead log holds the newest pages.
        for file in path.parent.iterdir():
            assert CANARY.encode() not in file.read_bytes()
            assert stat.S_IMODE(file.stat().st_mode) == 0o600

    run(Home(path), work)
    assert CANARY.encode() not in path.read_bytes()


def test_a_sealed_transcript_cannot_be_moved_to_another_request(home: Home) -> None:
    async def write(log: SQLRequestLog) -> None:
        await log.add([record(0, transcript=Transcript(request=b"p")), record(1)])

    async def read(log: SQLRequestLog) -> None:
        with pytest.raises(SecretKeyError, match=record(1).id):
            await log.get(record(1).id)

    run(home, write)
    home.sql("UPDATE requests SET sealed = (SELECT sealed FROM requests WHERE number = 1)")
    run(home, read)


def test_a_damaged_record_does_not_hide_the_others(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    async def write(log: SQLRequestLog) -> None:
        await log.add([record(0), record(1)])

    async def read(log: SQLRequestLog) -> None:
        assert await log.find(EVERYTHING) == [record(1)]
        with pytest.raises(StoreError, match="damaged"):
            await log.get(record(0).id)

    run(home, write)
    home.sql("UPDATE requests SET document = '{' WHERE number = 1")
    run(home, read)
    assert record(0).id in caplog.text


def test_fields_of_a_later_version_are_ignored(home: Home) -> None:
    async def write(log: SQLRequestLog) -> None:
        await log.add([record(0)])

    async def read(log: SQLRequestLog) -> None:
        assert await log.get(record(0).id) == record(0)

    run(home, write)
    home.sql('UPDATE requests SET document = replace(document, \'{"id"\', \'{"new":1,"id"\')')
    run(home, read)


def test_a_record_that_cannot_be_written_holds_up_no_other(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [
        record(1, model="\ud800"),
        record(2, error="\udcff"),
        record(3, duration_ms=float("nan")),
        record(4, started_at=float("inf")),
    ]

    async def work(log: SQLRequestLog) -> None:
        await log.add([record(0), *bad, record(5)])
        assert await log.find(EVERYTHING) == [record(5), record(0)]
        await log.add(bad)

    run(home, work)
    assert caplog.text.count("cannot be logged") == 2 * len(bad)


def test_names_as_long_as_clients_like(home: Home) -> None:
    long = record(0, model="m" * 100_000, key_name="ключ'; --")
    odd = record(1, model="a\0b")

    async def work(log: SQLRequestLog) -> None:
        await log.add([long, odd])
        assert await log.find(Filter(model=odd.model)) == [odd]
        assert await log.find(Filter(model=long.model, key=long.key_name)) == [long]
        assert await log.find(Filter(model="m")) == []

    run(home, work)
    assert home.sql("SELECT length(model) FROM requests ORDER BY number") == [(200,), (3,)]


def test_pruning_keeps_the_newest(home: Home) -> None:
    async def work(log: SQLRequestLog) -> None:
        await log.add(record(number) for number in range(1300))
        portions = 1
        while await log.prune(50, 0.0):
            portions += 1
        assert portions == 3, "in small portions"
        assert await log.find(EVERYTHING) == [record(n) for n in reversed(range(1250, 1300))]
        assert not await log.prune(50, 0.0)
        await log.add([record(1300)])
        assert not await log.prune(50, 0.0)
        assert await log.reaches_back_to() == record(1251).started_at

    run(home, work)


def test_pruning_forgets_the_old(home: Home) -> None:
    async def work(log: SQLRequestLog) -> None:
        await log.add(record(number * 1000) for number in range(10))
        assert not await log.prune(100, BEGAN + 4)
        assert await log.reaches_back_to() == BEGAN + 4
        assert len(await log.find(EVERYTHING)) == 6
        assert not await log.prune(0, 0.0)
        assert await log.find(EVERYTHING) == []

    run(home, work)


def test_numbers_are_not_used_again(home: Home) -> None:
    async def work(log: SQLRequestLog) -> None:
        await log.add([record(0), record(1)])
        end = await log.position()
        await log.prune(0, 0.0)
        await log.add([record(2)])
        later, written = await log.written_after(end)
        assert written == [record(2)]
        assert await log.written_after(later) == (later, [])

    run(home, work)


def test_what_was_written_since_comes_in_order_of_writing(home: Home) -> None:
    async def work(log: SQLRequestLog) -> None:
        assert await log.position() == 0
        await log.add([record(5)])
        end = await log.position()
        await log.add([record(9), record(1)])  # a long request that began before others
        end, written = await log.written_after(end)
        assert written == [record(9), record(1)]
        await log.add([record(7)])
        assert (await log.written_after(end))[1] == [record(7)]

    run(home, work)


def test_ids_are_found_by_how_they_begin(home: Home) -> None:
    async def work(log: SQLRequestLog) -> None:
        await log.add([record(0), record(1), record(70_000_000)])
        first, second, far = record(0).id, record(1).id, record(70_000_000).id
        assert await log.ids("", 10) == [far, second, first]
        assert await log.ids("", 2) == [far, second]
        assert await log.ids(first, 10) == [first]
        assert await log.ids(first[:13], 10) == [first]
        assert await log.ids(first[:9], 10) == [second, first]
        assert await log.ids("%", 10) == []
        assert await log.ids("~\ud7ff", 10) == []
        assert await log.neighbours(first) == [second]
        assert await log.neighbours("0") == [first]
        assert await log.neighbours(f"{first}0") == [first, second]

    run(home, work)


def test_writing_here_is_no_news_to_the_configuration(home: Home) -> None:
    async def main() -> None:
        store = await home.open()
        other = await home.open()
        before = await store.version(), await other.version()
        await store.request_log().add([record(0)])
        assert await store.version() == before[0]
        assert await other.request_log().get(record(0).id) == record(0)
        await store.close()
        await other.close()

    asyncio.run(main())


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("dragoman.engine.recorder._WRITE_SECONDS", 0.01)
    monkeypatch.setattr("dragoman.engine.recorder._LONGEST_PAUSE_SECONDS", 0.01)
    return


@pytest.mark.usefixtures("hurried")
def test_the_recorder_outlives_a_database_that_fails(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(log: SQLRequestLog) -> None:
        recorder = Recorder(log, clock=lambda: BEGAN, limit=1000, days=30.0)
        recorder.start()
        kept = [record(number, transcript=Transcript(request=b"p")) for number in range(3)]
        recorder.note(kept[0])
        await _until(lambda: home.sql("SELECT id FROM requests") != [])
        home.sql("ALTER TABLE requests RENAME TO gone")
        recorder.note(kept[1])
        await _until(lambda: "trying on" in caplog.text)
        recorder.note(kept[2])
        found = await recorder.find(EVERYTHING)
        assert found == [without_transcript(one) for one in reversed(kept)]
        assert await recorder.get(kept[1].id) == kept[1]
        home.sql("ALTER TABLE gone RENAME TO requests")
        await _until(lambda: len(home.sql("SELECT id FROM requests")) == 3)
        await recorder.close()
        assert recorder.dropped == 0
        assert await log.get(kept[2].id) == kept[2]

    run(home, work)


@pytest.mark.usefixtures("hurried")
def test_the_recorder_prunes_what_exceeds_its_limits(home: Home) -> None:
    async def work(log: SQLRequestLog) -> None:
        await log.add(record(number) for number in range(20))
        recorder = Recorder(log, clock=lambda: BEGAN + 86_400, limit=5, days=30.0)
        recorder.start()
        recorder.note(record(20))
        await _until(lambda: len(home.sql("SELECT id FROM requests")) == 5)
        recorder.configure(5, 1.0 - 0.018 / 86_400)
        await _until(lambda: len(home.sql("SELECT id FROM requests")) == 3)
        recorder.configure(0, 1.0)
        await _until(lambda: not home.sql("SELECT id FROM requests"))
        await recorder.close()

    run(home, work)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)
