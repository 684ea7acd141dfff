"""What the request log is told of a request when it is over."""

from __future__ import annotations

from typing import Protocol as Interface

from dragoman.canonical.errors import GatewayError
from dragoman.canonical.notes import Note
from dragoman.canonical.usage import Usage
from dragoman.engine.journey import MOST_ERROR, Journey, short
from dragoman.governance.principal import Principal
from dragoman.governance.record import RequestRecord, Transcript

CLIENT_LEFT = 499
"""The status nginx logs for a client that closed the connection; nobody receives it."""

MOST_TRANSCRIPT = 256 * 1024
"""Bytes of a prompt that are kept; the answer is cut where it is sent (``server.answer``)."""


class BillOf(Interface):
    """What of a bill (``engine.bill``) the record shows."""

    @property
    def cost(self) -> int | None: ...
    def close(self, *, left: bool) -> None: ...


class Trace:
    """What is known of a request while it is under way; filled in by whoever learns something."""

    __slots__ = (
        "answer",
        "bill",
        "body",
        "finish",
        "first_content",
        "journey",
        "model",
        "notes",
        "operation",
        "response_model",
        "stream",
        "usage",
    )

    def __init__(self, journey: Journey, operation: str) -> None:
        self.journey = journey
        self.operation = operation
        self.model = ""
        self.stream = False
        self.response_model = ""
        self.first_content: float | None = None
        self.finish = ""
        self.notes: list[Note] = []
        self.usage: Usage | None = None
        self.body: bytes | None = None
        self.answer: bytes = b""
        self.bill: BillOf | None = None

    def record(
        self,
        principal: Principal,
        error: GatewayError | None,
        *,
        status: int,
        left: bool,
        now: float,
        unix_now: float,
    ) -> RequestRecord:
        """The finished record. ``error`` is what the client was told instead of an answer; ``status``
        what it got; ``now`` monotonic seconds."""
        journey = self.journey
        attempts = journey.attempts
        last = attempts[-1] if attempts else None
        seconds = now - journey.started
        first = self.first_content
        told = error or journey.failure  # it is in the stream if the status line had left
        return RequestRecord(
            id=journey.id,
            started_at=unix_now - seconds,
            operation=self.operation,
            protocol=journey.protocol,
            model=short(self.model),
            stream=self.stream,
            key_id=principal.key_id,
            key_name=principal.name,
            status=CLIENT_LEFT if left else status,
            outcome=_outcome(told, committed=journey.committed, left=left, status=status),
            error=None if told is None else short(told.message, MOST_ERROR),
            code=None if told is None else told.code,
            channel_id=None if last is None else last.channel.id,
            channel=None if last is None else last.channel.name,
            response_model=short(self.response_model),
            finish=self.finish,
            queued_ms=round(journey.queued * 1000, 3),
            first_content_ms=None if first is None else round((first - journey.started) * 1000, 3),
            duration_ms=round(seconds * 1000, 3),
            strategy="" if journey.plan is None else journey.plan.order.strategy,
            affinity="" if journey.plan is None else journey.plan.affinity,
            tried=journey.tried(),
            skipped=journey.skipped(),
            notes=tuple(self.notes),
            usage=self.usage,
            cost_nano_usd=None if self.bill is None else self.bill.cost,
            user_id=principal.user_id,
            transcript=None
            if self.body is None
            else Transcript(request=self.body[:MOST_TRANSCRIPT], answer=self.answer),
        )


def _outcome(told: GatewayError | None, *, committed: bool, left: bool, status: int) -> str:
    if left:
        return "left"
    if told is not None and committed:
        return "broken"
    return "error" if told is not None or status >= 400 else "ok"
