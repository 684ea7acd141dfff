"""A request's way through the channels, as it is told afterwards."""

from __future__ import annotations

from dragoman.canonical.errors import GatewayError, UpstreamError
from dragoman.canonical.secret import Secret
from dragoman.canonical.usage import Usage
from dragoman.governance.record import SkippedCandidate, TriedCandidate
from dragoman.routing.affinity import Place
from dragoman.routing.channel import Channel, Endpoint
from dragoman.routing.plan import Plan, Slot

MOST_NAME = 300
MOST_ERROR = 2_000
_MOST_SHOWN = 20


class Attempt:
    """One try at one candidate. Times are monotonic seconds; ``usage`` is what the upstream said of it
    before it failed."""

    __slots__ = (
        "channel",
        "credential",
        "ended",
        "endpoint",
        "error",
        "slot",
        "status",
        "upstream_model",
        "usage",
        "verdict",
    )

    def __init__(self, slot: Slot, protocol: str) -> None:
        """``protocol`` is the client's: a channel that speaks it is passed the bytes."""
        self.slot = slot
        self.channel: Channel = slot.channel
        self.credential: Secret | None = slot.credential.secret
        self.upstream_model = self.channel.upstream_model(slot.option.model)
        self.endpoint: Endpoint = self.channel.endpoint_for(protocol, self.upstream_model)
        self.error: GatewayError | None = None
        self.status: int | None = None
        self.ended = 0.0
        self.verdict = ""
        self.usage: Usage | None = None

    def told(self, started: float) -> TriedCandidate:
        """For the request log; ``started`` is when the request began."""
        error = self.error
        status = self.status
        if status is None and isinstance(error, UpstreamError):
            status = error.upstream_status
        return TriedCandidate(
            channel_id=self.channel.id,
            channel=self.channel.name,
            credential=self.slot.credential.number,
            protocol=self.endpoint.protocol,
            model=short(self.upstream_model),
            began_ms=_milliseconds(self.slot.began - started),
            ended_ms=_milliseconds(self.ended - started),
            status=status,
            error=None if error is None else short(error.message, MOST_ERROR),
            code=None if error is None else error.code,
            verdict=self.verdict,
        )


class Journey:
    """The candidates of one request, its attempts and its waits.

    ``protocol`` is the client's. ``committed``: content has left for the client, so that nothing may
    be tried again. ``failure`` is what the client is told if nothing answered, or the answer broke.
    ``sessions`` are the names under which the place that answers is remembered.
    """

    __slots__ = (
        "attempts",
        "committed",
        "failure",
        "id",
        "plan",
        "protocol",
        "queued",
        "repeating",
        "sessions",
        "started",
    )

    def __init__(self, *, id: str, protocol: str, started: float) -> None:
        self.id = id
        self.protocol = protocol
        self.started = started
        self.plan: Plan | None = None
        self.attempts: list[Attempt] = []
        self.queued = 0.0
        self.committed = False
        self.failure: GatewayError | None = None
        self.repeating = False
        self.sessions: list[str] = []

    @property
    def place(self) -> Place:
        """Where the last attempt was made."""
        slot = self.attempts[-1].slot
        return Place(slot.channel.id, slot.credential.number)

    def headers(self) -> dict[str, str]:
        """Which channel it was at last, and by which name it was asked for the model."""
        if not self.attempts:
            return {}
        last = self.attempts[-1]
        return {
            "dragoman-channel": header_text(last.channel.name),
            "dragoman-model": header_text(short(last.upstream_model)),
        }

    def tried(self) -> tuple[TriedCandidate, ...]:
        """Every attempt, in order."""
        return tuple(attempt.told(self.started) for attempt in self.attempts)

    def skipped(self) -> tuple[SkippedCandidate, ...]:
        """Every candidate that was passed over, the first twenty of them."""
        if self.plan is None:
            return ()
        return tuple(
            SkippedCandidate(channel_id=channel.id, channel=channel.name, reason=reason)
            for channel, reason in self.plan.passed_over()[:_MOST_SHOWN]
        )


def short(text: str, most: int = MOST_NAME) -> str:
    """Clients and upstreams choose these texts: neither the log nor a header may grow with them."""
    return text if len(text) <= most else text[:most] + "…"


def header_text(text: str) -> str:
    """``text`` as a header value: visible ASCII only, anything else replaced."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
