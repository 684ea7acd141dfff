"""Processes that a measurement starts: on loopback, with their memory read, and surely stopped."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType

_STOP_SECONDS = 5.0
_LOG_TAIL = 2000


class DidNotStart(RuntimeError):
    """A program ended, or stayed silent, before it could be measured."""


class Child:
    """A running program, stopped with all its descendants when the block is left."""

    def __init__(
        self, argv: Sequence[str | Path], *, log: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        """Start it; what it prints goes to ``log``. Its working directory is the log's."""
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environ or {})},
                cwd=log.parent,
                start_new_session=True,  # a Ctrl-C reaches us alone, and we stop the whole group
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        self._signal(signal.SIGKILL)  # the group may hold more than the process just waited for
        self._process.wait()

    def check(self) -> None:
        """Raise DidNotStart if it has ended."""
        if (code := self._process.poll()) is not None:
            tail = self.log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]
            raise DidNotStart(f"{self._process.args!r} ended with {code}:\n{tail}")

    def await_port(self, port: int, seconds: float = 90.0) -> None:
        """Return once something listens there. Raises DidNotStart."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.check()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.02)
        raise DidNotStart(f"{self._process.args!r} does not listen after {seconds:g} s.")

    def memory(self) -> int:
        """Bytes it and its descendants have resident; what they share counts once. 0 if unknown."""
        return sum(_resident(pid) for pid in _family(self._process.pid))

    def processor_seconds(self) -> float:
        """Processor time it and its living descendants have used so far. 0 if unknown."""
        return sum(_used(pid) for pid in _family(self._process.pid))

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def free_port() -> int:
    """A port on loopback that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def raise_file_limit() -> int:
    """Allow this process and those it starts as many open files as the system lets it; how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextlib.contextmanager
def stopping_cleanly() -> Iterator[None]:
    """Turn SIGTERM into an exit that leaves every ``with`` block, as Ctrl-C does."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text(encoding="ascii").split():
                yield from _family(int(child))


def _used(pid: int) -> float:
    if sys.platform != "linux":
        return 0.0
    try:  # the processor clock of another process, as clock_getcpuclockid(3) names it there
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def _resident(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:  # it has just ended, or this is no Linux
        return 0
    return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if "Pss:" in line)
