"""A brake on guessing keys at the sign-in."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

import msgspec

FREE_FAILURES = 5
"""So many mistakes an address may make before it has to wait."""
FIRST_LOCK_SECONDS = 1.0
LONGEST_LOCK_SECONDS = 900.0
FORGIVEN_AFTER_SECONDS = 3_600.0
CAPACITY = 10_000
"""Addresses remembered; the one that failed longest ago makes room for the next."""


class _Entry(msgspec.Struct):
    failures: int = 0
    failed_at: float = 0.0
    locked_until: float = 0.0


class Lockout:
    """Failures by address: from the fifth on each doubles the wait, from a second to a quarter of an
    hour. All times are seconds of the clock that the caller reads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def wait(self, address: str, now: float) -> float:
        """Seconds until ``address`` may try again; 0 if it may now."""
        entry = self._entries.get(_who(address))
        return max(0.0, entry.locked_until - now) if entry is not None else 0.0

    def failed(self, address: str, now: float) -> None:
        """Note a wrong key."""
        who = _who(address)
        entry = self._entries.pop(who, None)
        if entry is None or now - entry.failed_at > FORGIVEN_AFTER_SECONDS:
            entry = _Entry()
        entry.failures += 1
        entry.failed_at = now
        if (doublings := entry.failures - FREE_FAILURES) >= 0:
            # The exponent is bounded first: a float overflows at 2**1024.
            lock = FIRST_LOCK_SECONDS * 2.0 ** min(doublings, 20)
            entry.locked_until = now + min(lock, LONGEST_LOCK_SECONDS)
        self._entries[who] = entry
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget what ``address`` got wrong."""
        self._entries.pop(_who(address), None)


def _who(address: str) -> str:
    """One IPv6 subscriber has 2**64 addresses: they count as one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
