"""A circuit per channel × credential: after enough failures it opens, and the candidate is left alone
for a while; then one request may find out whether things are better.

::

    closed ──(5 in a row, or half of ≥ 20 within 30 s)──▶ open ──(30 s)──▶ half-open
      ▲                                                    ▲                  │ one probe
      └───────────────────── success ──────────────────────┼──── failure ─────┘
                                                           └──────────────────┘
"""

from __future__ import annotations

from collections import deque

CONSECUTIVE_FAILURES = 5
WINDOW_SECONDS = 30
WINDOW_MINIMUM = 20
WINDOW_SHARE = 0.5
OPEN_SECONDS = 30.0


class Circuit:
    """One circuit. All times are monotonic seconds."""

    __slots__ = ("_buckets", "_consecutive", "_opened", "_probe", "_probes")

    def __init__(self) -> None:
        self._consecutive = 0
        self._opened: float | None = None
        self._probe = 0  # the number of the probe under way, 0 if none is
        self._probes = 0
        # [second, successes, failures]: 30 s of a busy channel must not be 30 s of single entries.
        self._buckets: deque[list[int]] = deque()

    @property
    def closed(self) -> bool:
        """Nothing is wrong."""
        return self._opened is None

    def state(self, now: float) -> str:
        """``closed``, ``open`` or ``half-open``."""
        if self._opened is None:
            return "closed"
        return "open" if now < self._opened + OPEN_SECONDS else "half-open"

    def opens_again(self, now: float) -> float:
        """Seconds until a probe may pass; 0 if one may now."""
        return 0.0 if self._opened is None else max(0.0, self._opened + OPEN_SECONDS - now)

    def allows(self, now: float) -> bool:
        """Whether a request may pass: always if closed, one at a time if half-open."""
        if self._opened is None:
            return True
        return not self._probe and now >= self._opened + OPEN_SECONDS

    def begin(self) -> int:
        """A request passes; its number if it is the probe of a circuit that is not closed, else 0."""
        if self._opened is None or self._probe:
            return 0
        self._probes += 1
        self._probe = self._probes
        return self._probe

    def end(self, probe: int) -> None:
        """That probe is over, whatever came of it: another may pass when it is time."""
        if probe == self._probe:
            self._probe = 0

    def succeeded(self, now: float) -> None:
        """Count a success; it closes an open circuit, whoever brought it."""
        self._consecutive = 0
        if self._opened is not None:
            self._opened = None
            self._probe = 0
            self._buckets.clear()
        self._bucket(now)[1] += 1

    def failed(self, now: float) -> bool:
        """Count a failure; True if it opened the circuit, or held it open."""
        self._consecutive += 1
        self._bucket(now)[2] += 1
        if self._opened is not None or self._tripped():
            self._opened = now
            return True
        return False

    def trip(self, now: float) -> None:
        """Open it, or hold it open, for what happened elsewhere at the same address."""
        self._opened = now

    def half_open(self, now: float) -> None:
        """There is reason to believe that things are better: the next request may find out."""
        if self._opened is not None:
            self._opened = min(self._opened, now - OPEN_SECONDS)

    def reset(self) -> None:
        """Forget everything."""
        self._consecutive = 0
        self._opened = None
        self._probe = 0
        self._buckets.clear()

    def _tripped(self) -> bool:
        if self._consecutive >= CONSECUTIVE_FAILURES:
            return True
        failures = sum(bucket[2] for bucket in self._buckets)
        total = failures + sum(bucket[1] for bucket in self._buckets)
        return total >= WINDOW_MINIMUM and failures >= total * WINDOW_SHARE

    def _bucket(self, now: float) -> list[int]:
        second = int(now)
        buckets = self._buckets
        while buckets and buckets[0][0] <= second - WINDOW_SECONDS:
            buckets.popleft()
        if not buckets or buckets[-1][0] != second:
            buckets.append([second, 0, 0])
        return buckets[-1]
