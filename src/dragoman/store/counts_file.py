"""What was learned of how models count tokens, in a small file: a restart must not forget it.

A thousand models take 290 KB, 2 MB at most. It is written every few minutes; a kill -9 loses those.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from dragoman.governance.calibration import Learned

logger = logging.getLogger("dragoman.counts")

FILE_NAME = "token-counts.json"
MOST_BYTES = 4_000_000


class _Kept(msgspec.Struct):
    models: list[Learned]


class CountsFile:
    """``engine.token_counts.CountsMemory`` in a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME
        self._turn = threading.Lock()

    def load(self) -> Sequence[Learned]:
        """What was saved; nothing if it cannot be read. What is in it is not to be trusted further
        than its form."""
        try:
            with self._path.open("rb") as file:
                written = file.read(MOST_BYTES + 1)
            if len(written) > MOST_BYTES:
                raise ValueError(f"the file has more than {MOST_BYTES} bytes")
            return msgspec.json.decode(written, type=_Kept).models
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, RecursionError) as error:  # a MsgspecError is a ValueError
            logger.warning(
                "what was learned of token counts cannot be read, and is learned anew: %s: %s",
                self._path,
                error,
            )
            return ()

    def save(self, learned: Sequence[Learned]) -> None:
        """Replace the file as one step; a full disk is logged and leaves the old one. May be called
        on several threads."""
        aside = self._path.with_name(f".{FILE_NAME}.part")
        try:
            with self._turn:
                descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(msgspec.json.encode(_Kept(models=list(learned))))
                aside.replace(self._path)
        except OSError as error:
            logger.warning("what was learned of token counts cannot be kept: %s", error.strerror)
