"""Where rate limits stand, in a small file: a daily limit must not begin anew with every restart.

It is written every few seconds; a kill -9 loses those.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

logger = logging.getLogger("dragoman.limits")

FILE_NAME = "limits.json"
Used = Mapping[str, Mapping[str, int]]


class _Saved(msgspec.Struct):
    """``at`` is Unix time, the figures are nanoseconds from then."""

    at: float
    used: dict[str, dict[str, int]]


class LimitsFile:
    """``engine.bookkeeper.LimitsMemory`` in a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME

    def load(self) -> Used:
        """What was saved, less the time that has passed since; nothing if it cannot be read."""
        try:
            saved = msgspec.json.decode(self._path.read_bytes(), type=_Saved)
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            logger.warning("where rate limits stood is not known: %s", error)
            return {}
        passed = int(max(0.0, time.time() - saved.at) * 1e9)
        return {
            who: {limit: left for limit, busy in limits.items() if (left := busy - passed) > 0}
            for who, limits in saved.used.items()
        }

    def save(self, used: Used) -> None:
        """Replace the file as one step; a full disk is logged and leaves the old one."""
        aside = self._path.with_name(f".{FILE_NAME}.part")
        document = {"at": time.time(), "used": used}
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(document))
            aside.replace(self._path)
        except OSError as error:
            logger.warning("where rate limits stand cannot be kept: %s", error.strerror)
