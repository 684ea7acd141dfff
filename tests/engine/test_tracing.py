"""Spans of finished requests: identifiers, the variables, and a queue that never holds anybody up."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.engine import tracing
from dragoman.engine.tracing import (
    NOWHERE,
    QUEUE,
    Parent,
    Told,
    Tracing,
    Wanted,
    parse_traceparent,
    span_id_of,
    trace_id_of,
    wanted_of,
)
from tests.support.records import record

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
EXAMPLE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Kept:
    """A sender that keeps what it is given, once it may."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.may = threading.Event()
        self.may.set()
        self.closed = False
        self.failing = False

    def send(self, told: Told) -> None:
        self.may.wait(10)
        if self.failing:
            raise RuntimeError("a defect")
        self.told.append(told)

    def close(self) -> None:
        self.closed = True


def tracing_to(sender: Kept | Callable[[], Kept]) -> Tracing:
    """A Tracing with a sender of ours."""

    def open_sender(wanted: Wanted, endpoint_of: object) -> Kept:
        return sender if isinstance(sender, Kept) else sender()

    return Tracing(Wanted(True, True), lambda channel_id: NOWHERE, open_sender)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, None),
        (ENDPOINT, Wanted(True, True)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "  "}, None),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, None),
        ({**ENDPOINT, "OTEL_METRICS_EXPORTER": "none"}, Wanted(True, False)),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, Wanted(False, True)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, Wanted(True, False)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c/v1/metrics"}, Wanted(False, True)),
    ],
)
def test_what_the_variables_ask_for(environ: dict[str, str], wanted: Wanted | None) -> None:
    assert wanted_of(environ) == wanted


def test_a_missing_extra_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "installed", lambda: False)
    with caplog.at_level(logging.ERROR):
        assert tracing.from_environment(ENDPOINT) is None
    assert "pip install 'dragoman[otel]'" in caplog.text
    assert tracing.from_environment({}) is None


def test_a_traceparent_is_read() -> None:
    """The example of https://www.w3.org/TR/trace-context/#examples-of-http-traceparent-headers."""
    parent = Parent(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True)
    assert parse_traceparent(EXAMPLE) == parent
    assert parse_traceparent(EXAMPLE[:-1] + b"0") == parent._replace(sampled=False)
    assert parse_traceparent(b"01" + EXAMPLE[2:] + b"-more") == parent, "a later version"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        EXAMPLE.upper(),
        b"ff" + EXAMPLE[2:],
        EXAMPLE + b"-more",
        EXAMPLE.replace(b"0af7", b"0ag7"),
        b"00-" + b"0" * 32 + EXAMPLE[35:],
        EXAMPLE[:36] + b"0" * 16 + b"-01",
        EXAMPLE.replace(b"-b7ad", b"-+7ad"),
        EXAMPLE.replace(b"b7ad", b"b_ad"),
    ],
)
def test_a_traceparent_that_is_none_is_ignored(value: bytes) -> None:
    assert parse_traceparent(value) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_a_traceparent_or_not(value: bytes) -> None:
    parent = parse_traceparent(value)
    assert parent is None or (0 < parent.trace_id < 2**128 and 0 < parent.span_id < 2**64)


def test_identifiers_follow_from_the_request() -> None:
    one = record(1).id
    assert f"{trace_id_of(one, None):032x}" == one.replace("-", "")
    assert trace_id_of(one, parse_traceparent(EXAMPLE)) == 0x0AF7651916CD43DD8448EB211C80319C
    ids = {span_id_of(record(number).id, attempt) for number in range(50) for attempt in range(4)}
    assert len(ids) == 200
    assert all(0 < one < 2**64 for one in ids)


async def run(told: Tracing, *numbers: int) -> None:
    told.start()
    for number in numbers:
        told.note(record(number))
    await told.close()


def test_records_arrive_with_their_parents() -> None:
    kept = Kept()
    told = tracing_to(kept)
    told.begin(record(1).id, [(b"accept", b"*/*"), (b"traceparent", EXAMPLE)])
    told.begin(record(2).id, [(b"traceparent", b"nonsense")])
    asyncio.run(run(told, 0, 1, 2))
    assert [one.record.id for one in kept.told] == [record(number).id for number in range(3)]
    assert [one.parent for one in kept.told] == [None, parse_traceparent(EXAMPLE), None]
    assert kept.closed


def test_a_full_queue_drops_and_counts() -> None:
    kept = Kept()
    kept.may.clear()
    told = tracing_to(kept)

    async def flood() -> None:
        for number in range(QUEUE + 7):
            told.note(record(number))
        assert told.dropped == 7
        kept.may.set()
        told.start()
        await told.close()

    asyncio.run(flood())
    assert len(kept.told) == QUEUE


def test_a_defect_is_logged_once_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    kept.failing = True
    told = tracing_to(kept)
    asyncio.run(run(told, *range(20)))
    assert caplog.text.count("could not be told") == 1
    assert kept.closed


def test_a_setup_that_fails_is_said(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Kept:
        raise ValueError("OTEL_BSP_MAX_QUEUE_SIZE must be positive")

    told = tracing_to(broken)
    asyncio.run(run(told, 1))
    assert "nothing is sent" in caplog.text
