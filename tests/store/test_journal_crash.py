"""kill -9 at random moments: what was acknowledged is there. ``DRAGOMAN_CRASHES=200`` for more."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

from dragoman.store.journal import Journal
from tests.support.journals import SMALL, drain, end, released

CRASHES = int(os.environ.get("DRAGOMAN_CRASHES", "4"))

Said = set[tuple[str, str]]
"""Kind and id of lines."""


def write_and_be_killed(folder: Path, seconds: float) -> tuple[Said, Said]:
    """What the process had acknowledged, and what it had taken to the tables, when it was killed
    ``seconds`` after its first word."""
    said: dict[str, Said] = {"journal": set(), "table": set()}
    command = [sys.executable, "-m", "tests.support.journals", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        killer: threading.Timer | None = None
        for text in writer.stdout:
            if killer is None:
                killer = threading.Timer(seconds, writer.kill)
                killer.start()
            word, kind, name = text.split()
            said[word].add((kind, name))
    assert writer.returncode == -9
    return said["journal"], said["table"]


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    dice = random.Random(os.environ.get("DRAGOMAN_CRASH_SEED"))
    for crash in range(CRASHES):
        acknowledged, tables = write_and_be_killed(folder, dice.uniform(0.0, 0.3))
        journal = Journal.open(folder, segment_bytes=4 * SMALL)
        orphans = {one.id for one in journal.orphans}
        kept = {(type(line).__name__, line.id) for line in drain(journal)}
        for orphan in journal.orphans:
            journal.append(released(orphan.id.removeprefix("req-")))
        drain(journal)
        end(journal)

        assert acknowledged <= kept | tables, f"crash {crash}"
        holds = {name for kind, name in acknowledged if kind == "Hold"}
        ended = {name for kind, name in acknowledged if kind == "Settled"}
        # One line may have been written without the process living to say so.
        assert orphans - holds <= {name for kind, name in kept if kind == "Hold"}
        assert len(orphans ^ (holds - ended)) <= 1, f"crash {crash}"
