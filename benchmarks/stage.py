"""The upstream and the programs in front of it, started for one measurement and stopped after it."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from benchmarks.certificate import make_certificate
from benchmarks.children import Child, DidNotStart, free_port
from benchmarks.http1 import Address, Ask, Connection
from benchmarks.material import UPSTREAM_KEY
from benchmarks.programs import Place, Program, chat_ask, plain_name


@dataclass(frozen=True)
class Way:
    """One way to the upstream: a request and where to send it. ``what`` tells a program's requests
    apart; ``child`` is None for the direct way."""

    name: str
    address: Address
    ask: Ask
    what: str = ""
    child: Child | None = None

    @property
    def title(self) -> str:
        """For a table."""
        return f"{self.name}, {self.what}" if self.what else self.name


class Stage:
    """A context manager that holds one run's files and processes."""

    def __init__(self, *, tls: bool, pause: float = 0.0, lasting: float = 0.0) -> None:
        """``pause`` and ``lasting`` are the upstream's: seconds between a stream's chunks and of the
        whole stream."""
        self._tls = tls
        self._timing = ["--pause", str(pause), "--lasting", str(lasting)]
        self._stack = contextlib.ExitStack()
        self.upstream = Address(0)
        self.skipped: list[str] = []

    def __enter__(self) -> Stage:
        try:
            self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            self._start_upstream()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def place(self, program: Program) -> Place:
        """A fresh directory and port for ``program``."""
        directory = tempfile.mkdtemp(prefix=plain_name(program.title) + "-", dir=self.directory)
        return Place(Path(directory), free_port(), self.upstream)

    def direct(self, *, stream: bool = False) -> Way:
        """Without anything in between."""
        ask = chat_ask({"authorization": f"Bearer {UPSTREAM_KEY}"}, stream=stream)
        return Way("direct", self.upstream, ask)

    def start(self, program: Program, *, stream: bool = False) -> list[Way]:
        """Start ``program`` and see that it answers; no ways, and a word in ``skipped``, if not."""
        if program.lacking:
            self.skipped.append(f"{program.title} was not measured: {program.lacking}.")
            return []
        place = self.place(program)
        child = self._stack.enter_context(launch(program, place))
        try:
            child.await_port(place.port)
            ways = [
                Way(program.title, Address(place.port), ask, what, child)
                for what, ask in program.asks(self.upstream, stream=stream).items()
            ]
            for way in ways:
                _see_answer(way)
        except (DidNotStart, OSError, ValueError) as error:
            print(f"{program.title}: {error}", file=sys.stderr)
            self.skipped.append(f"{program.title} was not measured: it did not answer.")
            return []
        return ways

    def start_all(self, programs: Sequence[Program], *, stream: bool = False) -> list[Way]:
        """The direct way and those of every program that can be measured."""
        ways = [self.direct(stream=stream)]
        for program in programs:
            print(f"starting {program.title} ...", file=sys.stderr)
            ways += self.start(program, stream=stream)
        return ways

    def _start_upstream(self) -> None:
        port = free_port()
        argv: list[str | Path] = [sys.executable, "-m", "benchmarks.upstream", str(port)]
        authority = None
        if self._tls:
            made = make_certificate(self.directory)
            argv += ["--chain", made.chain, "--key", made.key]
            authority = made.authority
        root = str(Path(__file__).parent.parent)
        child = Child(
            [*argv, *self._timing],
            log=self.directory / "upstream.log",
            environ={"PYTHONPATH": root},
        )
        self._stack.enter_context(child)
        child.await_port(port)
        self.upstream = Address(port, authority)


def launch(program: Program, place: Place, environ: Mapping[str, str] | None = None) -> Child:
    """``program`` started in ``place``, with ``environ`` added to its environment."""
    prepared = program.prepare(place)
    added = {**prepared.environ, **(environ or {})}
    return Child(prepared.argv, log=place.directory / "log", environ=added)


def _see_answer(way: Way) -> None:
    if b'"stream":true' in way.ask.body:
        return  # a stream may last; the measurement itself counts what fails
    connection = Connection(way.address)
    try:
        reply = connection.ask(way.ask.encode())
        if reply.status != 200:
            raise ValueError(f"{way.title} answered {reply.status}: {reply.body[:500]!r}")
    finally:
        connection.close()
