"""Request ids."""

from __future__ import annotations

import os
import time


def new_id() -> str:
    """A UUID of version 7 (RFC 9562) as text: 48 bits of Unix milliseconds, 12 bits of the fraction of
    the millisecond (its section 6.2, method 3) and 62 random bits. Ids therefore sort by time, and no
    id can be guessed from another."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    stamp = f"{milliseconds:012x}"
    noise = os.urandom(8).hex()
    variant = "89ab"[int(noise[0], 16) & 3]
    return (
        f"{stamp[:8]}-{stamp[8:]}-7{rest * 4096 // 1_000_000:03x}-{variant}{noise[1:4]}-{noise[4:]}"
    )
