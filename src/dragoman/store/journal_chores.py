"""The journal's slow work, done in a thread: syncing, allocating, deleting.

The event loop says what is to be done and takes over what came of it; the thread touches nothing that
the loop changes meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from dragoman.store.journal_files import Segment, make_segment, sync

logger = logging.getLogger("dragoman.journal")


class Done(msgspec.Struct, kw_only=True):
    """What came of a round. ``synced`` if every line before the round's ``end`` is on the disk."""

    synced: bool = False
    sync_error: OSError | None = None
    made: Segment | None = None
    make_error: OSError | None = None
    removed: Sequence[Segment] = ()


class Chores(msgspec.Struct, kw_only=True, frozen=True):
    """One round. ``dirty`` segments are synced unless ``may_sync`` is false, segment number ``make``
    is made, and ``retired`` ones are deleted if the sync succeeds: the open holds that stood in them
    were written again behind them. ``end`` is the position behind the last line when it begins."""

    directory: Path
    segment_bytes: int
    end: int
    may_sync: bool
    dirty: Sequence[Segment]
    retired: Sequence[Segment]
    make: int | None

    def do(self) -> Done:
        """Do it. What fails is in the answer."""
        done = Done()
        if self.may_sync:
            try:
                for segment in self.dirty:
                    sync(segment.descriptor)
                done.synced = True
            except OSError as error:
                done.sync_error = error
        if done.synced:  # deleting comes before making: it may give the room
            done.removed = [segment for segment in self.retired if _remove(segment)]
        if self.make is not None:
            try:
                done.made = make_segment(self.directory, self.make, self.segment_bytes)
            except OSError as error:
                done.make_error = error
        return done


def _remove(segment: Segment) -> bool:
    try:
        segment.remove()
    except OSError as error:
        logger.warning("%s cannot be removed: %s", segment.path, error)
        return False
    return True
