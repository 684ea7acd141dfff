"""Records of the request log, made up."""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.notes import Action, Note
from dragoman.canonical.usage import Usage
from dragoman.governance.record import (
    RequestRecord,
    SkippedCandidate,
    TriedCandidate,
    first_id,
)

BEGAN = 1_700_000_000.0
"""When the record number 0 began (Unix time): 2023-11-14T22:13:20Z."""

_FULL = RequestRecord(
    id="",
    started_at=0.0,
    operation="generate",
    protocol="openai_chat",
    model="gpt-4o",
    stream=True,
    key_id="3",
    key_name="laptop",
    status=200,
    channel_id=2,
    channel="backup",
    response_model="claude-sonnet",
    queued_ms=12.0,
    first_content_ms=300.0,
    duration_ms=1234.0,
    strategy="least_busy",
    affinity="session: backup",
    tried=(
        TriedCandidate(
            channel_id=1,
            channel="main",
            credential=2,
            protocol="openai_chat",
            model="gpt-4o-2024",
            began_ms=13.0,
            ended_ms=93.0,
            status=429,
            error="Slow down.",
            code="rate_limit_exceeded",
            verdict="rate limited",
        ),
        TriedCandidate(
            channel_id=2,
            channel="backup",
            credential=1,
            protocol="anthropic_messages",
            model="claude-sonnet",
            began_ms=94.0,
            ended_ms=1234.0,
            status=200,
            verdict="success",
        ),
    ),
    skipped=(SkippedCandidate(channel_id=3, channel="cheap", reason="its circuit is open"),),
    notes=(Note("settings.seed", Action.DROPPED, "only openai knows it"),),
    usage=Usage(input=100, cache_read=7, output=50),
    cost_nano_usd=1_000_012_345,
)


def record(number: int = 0, **changes: Any) -> RequestRecord:
    """A request with everything in it, begun ``number`` milliseconds after BEGAN."""
    began = BEGAN + number / 1000
    request_id = f"{first_id(began + 0.0001)}-7000-8000-{number:012x}"
    made = msgspec.structs.replace(_FULL, id=request_id, started_at=began)
    return msgspec.structs.replace(made, **changes)
