"""OpenTelemetry: spans and GenAI metrics of requests that are over, sent by OTLP over HTTP.

It is on if one of the standard variables names an endpoint, and needs the extra ``otel``. ``note`` is on
every request's path and only puts the record into a bounded queue; a thread of its own makes spans of
it, and the SDK sends them in batches from threads of theirs. So a collector that is slow or away costs
spans and never a request.

A trace that the client began (W3C ``traceparent``) is continued; else the request's id, a UUID of
version 7, is the trace's id, so that either is found by the other.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from dragoman.governance.record import RequestRecord
from dragoman.routing.channel import Channel

if TYPE_CHECKING:
    from dragoman.engine.otel import Sender

logger = logging.getLogger("dragoman.telemetry")

QUEUE = 10_000
"""Records that wait to become spans; beyond them new ones are lost to OpenTelemetry."""
_WAIT_SECONDS = 1.0
_CLOSE_SECONDS = 5.0
_BREATH_SECONDS = 0.0001
"""Python makes the event loop wait five milliseconds for a thread that computes without a pause."""
_MOST_PARENTS = 100_000
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_METRICS = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"

RawHeaders = Sequence[tuple[bytes, bytes]]


class Place(NamedTuple):
    """Where a channel leads: the provider's id, and its host and port."""

    provider: str
    host: str
    port: int | None


NOWHERE = Place("", "", None)


class Parent(NamedTuple):
    """A span of the client's: ids as integers, and whether the client records its trace."""

    trace_id: int
    span_id: int
    sampled: bool


class Wanted(NamedTuple):
    """Which signals to send."""

    traces: bool
    metrics: bool


class Told(NamedTuple):
    """A request that is over, and the span it belongs to."""

    record: RequestRecord
    parent: Parent | None


PlaceOf = Callable[[int], Place]


def from_environment(
    environ: Mapping[str, str], *, endpoint_of: PlaceOf = lambda channel_id: NOWHERE
) -> Tracing | None:
    """What the OTEL_* variables ask for; None for nothing, or if the extra is missing, which is
    logged. ``endpoint_of`` tells where a channel (by its id) leads."""
    wanted = wanted_of(environ)
    if wanted is None:
        return None
    if not installed():
        logger.error(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed, so nothing is "
            "sent: pip install 'dragoman[otel]', or unset the variable"
        )
        return None
    return Tracing(wanted, endpoint_of)


def wanted_of(environ: Mapping[str, str]) -> Wanted | None:
    """Which signals the variables ask for (opentelemetry.io/docs/specs/otel/configuration)."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None

    def on(endpoint: str, exporter: str) -> bool:
        named = environ.get(endpoint, "").strip() or environ.get(_ENDPOINT, "").strip()
        return bool(named) and environ.get(exporter, "otlp").strip().lower() != "none"

    wanted = Wanted(
        traces=on(_TRACES, "OTEL_TRACES_EXPORTER"), metrics=on(_METRICS, "OTEL_METRICS_EXPORTER")
    )
    return wanted if any(wanted) else None


def installed() -> bool:
    """Whether the extra is there. Imports none of it."""
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


class Tracing:
    """``begin`` and ``note`` are for the event loop; everything else happens in a thread. ``dropped``
    counts the requests that found the queue full."""

    def __init__(
        self,
        wanted: Wanted,
        endpoint_of: PlaceOf,
        open_sender: Callable[[Wanted, PlaceOf], Sender] | None = None,
    ) -> None:
        self.dropped = 0
        self._wanted = wanted
        self._endpoint_of = endpoint_of
        self._open = open_sender or _open
        self._queue: deque[Told] = deque()
        self._parents: dict[str, Parent] = {}
        self._noted = threading.Event()
        self._closing = False
        self._told_of_failure = False
        self._thread = threading.Thread(target=self._work, name="opentelemetry", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def begin(self, request_id: str, headers: RawHeaders) -> None:
        """A request begins; remember the trace that it belongs to, if it says one."""
        for name, value in headers:
            if name == b"traceparent":
                parent = parse_traceparent(value)
                if parent is not None and len(self._parents) < _MOST_PARENTS:
                    self._parents[request_id] = parent
                return

    def note(self, record: RequestRecord) -> None:
        """A request is over. Takes a few microseconds and cannot fail."""
        parent = self._parents.pop(record.id, None) if self._parents else None
        if len(self._queue) >= QUEUE:
            self.dropped += 1
            return
        self._queue.append(Told(record, parent))
        if not self._noted.is_set():
            self._noted.set()

    async def close(self) -> None:
        """Send what is left, for five seconds at most."""
        self._closing = True
        self._noted.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _CLOSE_SECONDS)
        if self.dropped:
            logger.warning("%d requests were lost to OpenTelemetry", self.dropped)

    def _work(self) -> None:
        try:
            sender = self._open(self._wanted, self._endpoint_of)
        except Exception:  # the SDK's configuration comes from outside and may fail in any way
            logger.exception("OpenTelemetry cannot be set up, so nothing is sent")
            self._closing = True
            return
        while True:
            self._noted.wait(_WAIT_SECONDS)
            self._noted.clear()
            while self._queue:
                self._send(sender, self._queue.popleft())
                time.sleep(_BREATH_SECONDS)
            if self._closing:
                break
        sender.close()

    def _send(self, sender: Sender, told: Told) -> None:
        try:
            sender.send(told)
        except Exception:  # a defect must not end the thread, and every request would repeat it
            if not self._told_of_failure:
                logger.exception("a request could not be told to OpenTelemetry")
            self._told_of_failure = True


def _open(wanted: Wanted, endpoint_of: PlaceOf) -> Sender:
    from dragoman.engine.otel import Sender  # noqa: PLC0415 - the extra, and slow to import

    return Sender(wanted, endpoint_of)


def parse_traceparent(value: bytes) -> Parent | None:
    """A ``traceparent`` header (https://www.w3.org/TR/trace-context/#traceparent-header); None for one
    that is not valid, which is to be ignored. Later versions may add fields at the end."""
    fields = value.strip().split(b"-")
    if len(fields) < 4 or [len(field) for field in fields[:4]] != [2, 32, 16, 2]:
        return None
    version, trace_id, span_id, flags = fields[:4]
    digits = b"".join(fields[:4])
    if version == b"ff" or (version == b"00" and len(fields) > 4) or digits.strip(_HEX):
        return None
    parent = Parent(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & 1))
    return parent if parent.trace_id and parent.span_id else None


_HEX = b"0123456789abcdef"


def trace_id_of(request_id: str, parent: Parent | None) -> int:
    """The trace of a request."""
    if parent is not None:
        return parent.trace_id
    return int(request_id.replace("-", ""), 16)


def span_id_of(request_id: str, number: int) -> int:
    """The span of a request (0) and of its attempts (from 1): the same whenever it is asked for."""
    text = f"{request_id}/{number}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) or 1


def place_of(channel: Channel) -> Place:
    """Where a channel leads."""
    try:
        parts = urlsplit(channel.endpoints[0].base_url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return Place(channel.provider, "", None)
    return Place(channel.provider, parts.hostname or "", port)
