"""What the request log remembers, and how it is searched."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.governance.record import (
    Filter,
    RequestRecord,
    Transcript,
    as_document,
    first_id,
    without_transcript,
)
from tests.support.records import BEGAN, record

BARE = RequestRecord(
    id="x", started_at=1.0, operation="generate", protocol="openai_chat", model="m"
)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Filter(), True),
        (Filter(since=BEGAN), True),
        (Filter(since=BEGAN + 0.001), False),
        (Filter(until=BEGAN), False),
        (Filter(until=BEGAN + 0.001), True),
        (Filter(before=record(0).id), False),
        (Filter(before=record(1).id), True),
        (Filter(channel="backup", key="laptop", model="gpt-4o", outcome="ok"), True),
        (Filter(channel="main"), False),
        (Filter(key="lap"), False),
        (Filter(model="GPT-4o"), False),
        (Filter(outcome="error"), False),
    ],
)
def test_a_filter_wants_all_it_names(wanted: Filter, fits: bool) -> None:
    assert wanted.fits(record(0)) is fits


def test_no_channel_is_not_any_channel() -> None:
    assert not Filter(channel="backup").fits(BARE)
    assert Filter().fits(BARE)


@given(st.integers(0, 2**48 - 2), st.integers(0, 2**74 - 1))
def test_first_id_divides_ids_by_their_millisecond(milliseconds: int, noise: int) -> None:
    digits = f"{milliseconds:012x}7{noise:019x}"
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    request_id = "-".join(parts)
    # Half a millisecond on, so that no rounding of the float decides.
    assert first_id((milliseconds + 0.5) / 1000) <= request_id
    assert request_id < first_id((milliseconds + 1.5) / 1000)


@pytest.mark.parametrize("at", [-5.0, 1e30])
def test_first_id_takes_any_time(at: float) -> None:
    assert len(first_id(at)) == 13


def test_a_record_survives_json() -> None:
    for one in (record(0), BARE):
        assert msgspec.json.decode(msgspec.json.encode(one), type=RequestRecord) == one


def test_a_document_names_every_field_even_if_it_is_as_usual() -> None:
    plain = as_document(BARE)
    assert set(plain) == set(RequestRecord.__struct_fields__)
    assert plain["outcome"] == "ok"
    assert plain["cost_nano_usd"] is None
    full = json.loads(json.dumps(as_document(record(0))))
    assert full["tried"][0]["code"] == "rate_limit_exceeded"
    assert full["tried"][1]["error"] is None
    assert full["usage"]["reasoning"] == 0
    assert full["notes"] == [
        {"path": "settings.seed", "action": "dropped", "detail": "only openai knows it"}
    ]


def test_transcripts_leave_as_text_or_not_at_all() -> None:
    kept = record(0, transcript=Transcript(request="{é}".encode(), answer=b"\xff"))
    assert as_document(kept)["transcript"] == {"request": "{é}", "answer": "\ufffd"}
    assert without_transcript(kept) == record(0)
    assert without_transcript(BARE) is BARE
