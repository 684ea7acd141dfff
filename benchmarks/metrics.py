"""What it costs to count requests, to show the counts, and to make spans of requests."""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import time
from collections.abc import Callable
from itertools import product
from unittest import mock

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from benchmarks.options import Options
from benchmarks.report import Table
from dragoman.canonical.usage import Usage
from dragoman.engine.metrics import request_families
from dragoman.engine.telemetry import MOST_SERIES, Telemetry
from dragoman.engine.tracing import NOWHERE, Told, Tracing, Wanted
from dragoman.governance.record import RequestRecord, TriedCandidate

_BEAT_SECONDS = 0.001
_RECORD = RequestRecord(
    id="019a0000-0000-7000-8000-000000000000",
    started_at=1_780_000_000.0,
    operation="generate",
    protocol="openai_chat",
    model="model-0",
    stream=True,
    key_name="bench",
    status=200,
    channel_id=1,
    channel="channel-0",
    first_content_ms=300.0,
    duration_ms=2_000.0,
    tried=(
        TriedCandidate(
            channel_id=1,
            channel="channel-0",
            model="model-0",
            ended_ms=2_000.0,
            status=200,
            verdict="success",
        ),
    ),
    usage=Usage(input=1_000, output=200),
    cost_nano_usd=1_000_000,
)


def measure(options: Options) -> list[Table]:
    """Time everything."""
    count = 1_000 if options.quick else 100_000
    rounds = options.choose(options.rounds, full=9, quick=1)
    table = Table("Metrics and traces", ["", "least", "median"])
    for name, work in (
        ("counting a request, µs", lambda: _noting(count)),
        ("the same for OpenTelemetry, on the event loop, µs", lambda: _queueing(count)),
        ("a request's span and its call's, µs of CPU", lambda: _sending(count, traces=True)),
        ("its measurements, µs of CPU", lambda: _sending(count, traces=False)),
    ):
        _add(table, name, [work() for _ in range(rounds)])
    for series in (50, MOST_SERIES):
        telemetry = _filled(series)
        scrapes = [asyncio.run(_scrape(telemetry)) for _ in range(rounds)]
        of = f"of {series} label sets"
        for place, name in enumerate(
            (
                "a scrape {of}, ms",
                "event loop late meanwhile, mean, ms",
                "event loop late meanwhile, at most, ms",
            )
        ):
            _add(table, name.format(of=of), [scrape[place] for scrape in scrapes])
    table.notes.append(f"{rounds} rounds of {count:,} requests with one call each.")
    return [table]


def _add(table: Table, name: str, figures: list[float]) -> None:
    table.rows.append([name, f"{min(figures):.2f}", f"{statistics.median(figures):.2f}"])


def _noting(count: int) -> float:
    telemetry = _telemetry()
    return _per(count, lambda: telemetry.note(_RECORD))


def _queueing(count: int) -> float:
    tracing = Tracing(Wanted(True, True), lambda channel_id: NOWHERE)
    return _per(min(count, 9_000), lambda: tracing.note(_RECORD))


def _sending(count: int, *, traces: bool) -> float:
    from dragoman.engine.otel import Sender  # noqa: PLC0415 - the extra

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    nobody = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.1",
        "OTEL_BSP_SCHEDULE_DELAY": "600000",
    }
    with mock.patch.dict(os.environ, nobody):
        sender = Sender(Wanted(traces, not traces), lambda channel_id: NOWHERE)
        told = Told(_RECORD, None)
        # Fewer than make a batch: what the SDK does with it is not ours.
        figure = _per(min(count, 200), lambda: sender.send(told), time.thread_time)
        sender.close()
    return figure


def _per(
    count: int, work: Callable[[], None], clock: Callable[[], float] = time.perf_counter
) -> float:
    """Microseconds of one."""
    began = clock()
    for _ in range(count):
        work()
    return (clock() - began) / count * 1e6


def _telemetry() -> Telemetry:
    return Telemetry(
        clock=time.monotonic, provider_of=lambda channel_id: "openai", listed=lambda model: True
    )


def _filled(series: int) -> Telemetry:
    telemetry = _telemetry()
    ways = (("ok", 200), ("error", 503))
    for number, (channel, (outcome, status)) in product(
        range(series // 8 + 1), product(range(4), ways)
    ):
        telemetry.note(
            msgspec.structs.replace(
                _RECORD,
                model=f"model-{number}",
                channel=f"channel-{channel}",
                outcome=outcome,
                status=status,
            )
        )
    return telemetry


class _Families(Collector):
    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def collect(self) -> list[Metric]:
        return list(request_families(self._telemetry))


async def _scrape(telemetry: Telemetry) -> tuple[float, float, float]:
    """Milliseconds: the scrape's, and by how much a task that sleeps for one was late."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(telemetry))
    late: list[float] = []
    beating = asyncio.get_running_loop().create_task(_beat(late))
    await asyncio.sleep(0.05)
    late.clear()
    began = time.perf_counter()
    await asyncio.to_thread(generate_latest, registry)
    took = time.perf_counter() - began
    beating.cancel()
    return took * 1e3, statistics.fmean(late or [0.0]) * 1e3, max(late, default=0.0) * 1e3


async def _beat(late: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(_BEAT_SECONDS)
        late.append(time.perf_counter() - began - _BEAT_SECONDS)
