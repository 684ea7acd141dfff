"""What the request log is told of a request when it is over."""

from __future__ import annotations

import pytest

from dragoman.canonical.errors import GatewayError, Unauthorized, Unavailable, UpstreamBroken
from dragoman.canonical.notes import Action, Note
from dragoman.canonical.usage import Usage
from dragoman.engine.journey import Attempt, Journey, header_text
from dragoman.engine.records import Trace
from dragoman.governance.principal import Principal
from dragoman.governance.record import RequestRecord, SkippedCandidate, TriedCandidate
from dragoman.routing.affinity import Place
from dragoman.routing.plan import Plan
from tests.routing.support import Site, channel, limited

PRINCIPAL = Principal(key_id="7", name="laptop")
STARTED = 1000.0


class Request:
    """A request whose attempts are told one by one."""

    def __init__(self, site: Site | None = None, **plan: object) -> None:
        self.journey = Journey(id="r1", protocol="openai_chat", started=STARTED)
        self.trace = Trace(self.journey, "generate")
        self.site = site
        if site is not None:
            order = site.table.order("m", site.now, lambda one: one.id != 9)
            self.journey.plan = Plan(order, **plan)  # type: ignore[arg-type]

    def attempt(self, error: GatewayError | None = None, *, status: int | None = None) -> None:
        """One that takes a quarter of a second."""
        site, plan = self.site, self.journey.plan
        assert site is not None
        assert plan is not None
        slot = plan.pick(site.now)
        assert slot is not None
        attempt = Attempt(slot, "openai_chat")
        self.journey.attempts.append(attempt)
        site.now += 0.25
        attempt.ended, attempt.error, attempt.status = site.now, error, status
        verdict = slot.close(error, site.now)
        attempt.verdict = verdict.value
        if error is not None:
            plan.failed(slot, error, verdict)

    def record(
        self,
        error: GatewayError | None = None,
        *,
        status: int = 200,
        left: bool = False,
        now: float = STARTED + 2,
    ) -> RequestRecord:
        return self.trace.record(
            PRINCIPAL, error, status=status, left=left, now=now, unix_now=1_800_000_002.0
        )


def test_a_whole_story() -> None:
    site = Site(
        channel(1, keys=("a", "b"), aliases={"m": "vendor/m"}),
        channel(2, priority=2),
        channel(3, priority=3),
        channel(9, priority=4),
    )
    request = Request(site, prefer=Place(1, 2))
    trace = request.trace
    trace.model, trace.stream, trace.response_model = "m", True, "m-2026"
    trace.notes = [Note("seed", Action.DROPPED, "unknown there")]
    trace.usage = Usage(input=3, output=1)
    trace.first_content = STARTED + 0.5
    request.journey.queued = 0.1234567
    request.attempt(limited(30.0))
    request.attempt(status=200)
    record = request.record()
    assert (record.id, record.operation, record.protocol) == ("r1", "generate", "openai_chat")
    assert (record.model, record.response_model, record.stream) == ("m", "m-2026", True)
    assert (record.key_id, record.key_name) == ("7", "laptop")
    assert (record.status, record.outcome, record.error, record.code) == (200, "ok", None, None)
    assert (record.channel_id, record.channel) == (1, "c1")
    assert record.started_at == 1_800_000_000.0
    assert (record.queued_ms, record.first_content_ms, record.duration_ms) == (123.457, 500, 2000)
    assert (record.strategy, record.affinity) == ("round_robin", "session: c1")
    assert (record.notes, record.usage) == (tuple(trace.notes), trace.usage)
    assert record.transcript is None
    common = {"channel_id": 1, "channel": "c1", "protocol": "openai_chat", "model": "vendor/m"}
    assert record.tried == (
        TriedCandidate(
            **common,
            credential=2,
            began_ms=0.0,
            ended_ms=250.0,
            status=429,
            error="slow down",
            code="rate_limit_exceeded",
            verdict="rate limited",
        ),
        TriedCandidate(
            **common, credential=1, began_ms=250.0, ended_ms=500.0, status=200, verdict="success"
        ),
    )
    assert record.skipped == (
        SkippedCandidate(channel_id=2, channel="c2", reason="not needed"),
        SkippedCandidate(channel_id=3, channel="c3", reason="not needed"),
        SkippedCandidate(channel_id=9, channel="c9", reason="the key may not use it"),
    )


BROKEN = UpstreamBroken("cut")


@pytest.mark.parametrize(
    ("failure", "committed", "left", "raised", "status", "expected"),
    [
        (None, True, False, False, 200, (200, "ok", None)),
        (None, True, True, False, 200, (499, "left", None)),
        (None, False, True, False, 0, (499, "left", None)),
        (BROKEN, False, False, True, 502, (502, "error", "cut")),
        # The error stands in the stream: the status line had left, with content or a mere ping.
        (BROKEN, True, False, False, 200, (200, "broken", "cut")),
        (BROKEN, False, False, False, 200, (200, "error", "cut")),
        (BROKEN, True, True, False, 200, (499, "left", "cut")),
    ],
)
def test_outcomes(
    failure: GatewayError | None,
    committed: bool,
    left: bool,
    raised: bool,
    status: int,
    expected: tuple[int, str, str | None],
) -> None:
    request = Request()
    request.journey.failure, request.journey.committed = failure, committed
    record = request.record(failure if raised else None, status=status, left=left)
    assert (record.status, record.outcome, record.error) == expected
    assert record.code == (None if failure is None else "upstream_broken")


def test_what_was_refused_before_it_had_a_plan() -> None:
    record = Request().record(Unauthorized("no"), status=401)
    assert (record.outcome, record.code, record.channel, record.tried, record.skipped) == (
        "error",
        "invalid_api_key",
        None,
        (),
        (),
    )
    assert (record.strategy, record.affinity, record.first_content_ms) == ("", "", None)


def test_an_answer_that_is_an_error_is_no_success() -> None:
    assert Request().record(status=404).outcome == "error"


def test_a_queue_that_was_too_long_is_told_although_a_ping_had_left() -> None:
    request = Request(Site(channel(1)))
    request.journey.failure = Unavailable("busy", code="channels_busy")
    record = request.record()
    assert (record.outcome, record.code, record.channel) == ("error", "channels_busy", None)


def test_the_log_does_not_grow_with_what_others_write() -> None:
    site = Site(channel(1, models=()), *[channel(id, priority=id) for id in range(2, 60)])
    long = "x" * 1_000_000
    request = Request(site)
    plan = Plan(site.table.order(long, site.now))
    request.journey.plan = plan
    request.trace.model = request.trace.response_model = long
    request.attempt(UpstreamBroken(long))
    error = UpstreamBroken(long)
    record = request.record(error, status=502)
    assert len(repr(record)) < 10_000
    headers = request.journey.headers()
    assert sum(len(value) for value in headers.values()) < 1000
    request.journey.plan = Plan(site.table.order("m", site.now))
    assert len(request.journey.skipped()) == 20


@pytest.mark.parametrize(
    ("text", "sent"),
    [("plain name", "plain name"), ("a\r\nx-evil: 1", "a??x-evil: 1"), ("é中\x00\x7f~", "????~")],
)
def test_header_text(text: str, sent: str) -> None:
    assert header_text(text) == sent
