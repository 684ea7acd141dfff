"""Where the cost of governance goes: its parts one by one, in one process without a network.

First what is done while a request waits, then what is done with it afterwards. Alone in a process
they take less than under load, where threads interrupt each other and caches are shared.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks import material
from benchmarks.options import Options
from benchmarks.report import Table
from dragoman.canonical.usage import Usage
from dragoman.engine.accounting import Accounting
from dragoman.engine.bill import Bill
from dragoman.engine.journey import Attempt, Journey
from dragoman.engine.recorder import Recorder
from dragoman.engine.records import Trace
from dragoman.engine.stay import Demand
from dragoman.engine.telemetry import Telemetry
from dragoman.governance.keys import KeyRing, VirtualKey, digest
from dragoman.governance.ledger import Settled
from dragoman.governance.money import MILLION, NANO
from dragoman.governance.price import Price, Rates
from dragoman.governance.record import RequestRecord
from dragoman.governance.standing import Standing
from dragoman.governance.tokens import quick_count
from dragoman.governance.users import Budget, Limits, User
from dragoman.routing.channel import Channel, Endpoint
from dragoman.routing.plan import Plan
from dragoman.routing.select import RoutingTable
from dragoman.server.ids import new_id
from dragoman.store.journal import Journal
from dragoman.store.sqlite import SQLiteStore

_BATCH = 500
_SECRET_KEY = _PEPPER = b"b" * 32
_AMPLE = Limits(requests_per_minute=10**9, tokens_per_minute=10**12, concurrent_requests=10**6)
_USER = User(id=5, name="bench", prepaid=True, limits=_AMPLE, budget=Budget(week=NANO * 10**6))
_KEY = VirtualKey(
    id="7",
    name="bench",
    digest=digest(material.CLIENT_KEY, _PEPPER),
    user_id=5,
    limits=_AMPLE,
    budget=Budget(day=NANO * 10**6, month=NANO * 10**6),
)
_CHANNEL = Channel(
    id=1,
    name="upstream",
    provider="custom",
    endpoints=(Endpoint("openai_chat", "http://x/v1"),),
    max_concurrency=100_000,
)
_PRICE = Price(rates=Rates(input=150 * MILLION, output=600 * MILLION), source="operator")
_USAGE = Usage(input=42, output=89)
_BODY = material.chat_request()

Costs = dict[str, float]
"""Microseconds a request, by part."""


def measure(options: Options) -> Table:
    """Time every part over some thousand requests, several times."""
    rounds = options.choose(options.rounds, full=9, quick=2)
    batches = 2 if options.quick else 10
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(_measured(Path(folder), rounds, batches))
    table = Table("The parts alone, µs a request", ["", "least", "median"])
    for name in found[0]:
        figures = [costs[name] for costs in found]
        table.rows.append([name, f"{min(figures):.1f}", f"{statistics.median(figures):.1f}"])
    together = [sum(costs.values()) for costs in found]
    table.rows.append(["together", f"{min(together):.1f}", f"{statistics.median(together):.1f}"])
    table.notes.append(
        f"{rounds} rounds of {batches * _BATCH:,} requests. What is done afterwards is done for "
        f"{_BATCH} at a time and told as processor time of all threads."
    )
    return table


async def _measured(folder: Path, rounds: int, batches: int) -> list[Costs]:
    store = await SQLiteStore.open(folder / "books.db", _SECRET_KEY)
    desk = _Desk(folder / "journal", store)
    try:
        found = []
        for _ in range(rounds + 1):  # the first one warms up
            totals: Costs = {}
            for _ in range(batches):
                await desk.batch(totals)
            found.append({name: used / batches / _BATCH for name, used in totals.items()})
        return found[1:]
    finally:
        await desk.journal.close()
        await store.close()


class _Desk:
    """Everything that governs, and nothing else."""

    def __init__(self, folder: Path, store: SQLiteStore) -> None:
        self.journal = Journal.open(folder)
        self._ledger = store.ledger()
        self._log = store.request_log()
        self._ring = KeyRing([_KEY], _PEPPER)
        self._accounting = Accounting(
            clock=time.monotonic,
            wall=time.time,
            journal=self.journal,
            price_of=lambda channel, upstream, public: _PRICE,
        )
        self._accounting.configure([_USER], [_KEY], limits=_AMPLE)
        self._accounting.restore(Standing(balances={"credit:5": NANO * 10**9}), first=True)
        self._telemetry = Telemetry(clock=time.monotonic, provider_of=lambda channel: "custom")
        self._recorder = Recorder(self._log, clock=time.time, limit=10**6, days=30)
        self._table = RoutingTable((_CHANNEL,))
        self._totals: Costs = {}
        self._since = 0

    async def batch(self, totals: Costs) -> None:
        """Some requests, and what follows; adds microseconds to ``totals``."""
        self._totals = totals
        records = [self._request() for _ in range(_BATCH)]
        await self._afterwards("journal → ledger", self._book)
        await self._afterwards("request log", lambda: self._log.add(records))
        self.journal.tend()

    def _request(self) -> RequestRecord:
        trace = Trace(
            Journey(id=new_id(), protocol="openai_chat", started=time.monotonic()), "chat"
        )
        trace.model = trace.response_model = material.MODEL
        plan = trace.journey.plan = Plan(self._table.order(material.MODEL, 0.0))
        self._begin()
        principal = self._ring.authenticate(material.CLIENT_KEY, time.time())
        self._took("recognising the key")
        demand = Demand(trace.journey.id, trace.operation, lambda: quick_count(_BODY), 256)
        bill = Bill(self._accounting, self._accounting.admit(demand, principal, plan), trace)
        self._took("admission, with its line in the journal")
        self._accounting.headers(principal, anthropic=False)
        self._took("headers of the limits")
        slot = plan.pick(0.0)
        assert slot is not None
        attempt = Attempt(slot, "openai_chat")
        trace.journey.attempts.append(attempt)
        self._begin()
        bill.began(attempt)
        trace.usage = _USAGE
        bill.settle()
        bill.headers()
        self._took("settlement, with its line in the journal")
        slot.close(None, 0.0)
        record = trace.record(
            principal, None, status=200, left=False, now=time.monotonic(), unix_now=time.time()
        )
        self._begin()
        self._telemetry.note(record)
        self._took("metrics")
        self._recorder.note(record)
        self._took("noting it for the request log")
        return record

    async def _book(self) -> None:
        # As engine.bookkeeper does.
        while self.journal.behind:
            lines = self.journal.pending(2 * _BATCH)  # two lines a request
            entries = [e for line in lines.lines if isinstance(line, Settled) for e in line.entries]
            await self._ledger.book(entries)
            self.journal.forget(lines.end)

    async def _afterwards(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        before = time.process_time_ns()
        await work()
        used = time.process_time_ns() - before
        self._totals[name] = self._totals.get(name, 0.0) + used / 1000

    def _begin(self) -> None:
        self._since = time.thread_time_ns()

    def _took(self, name: str) -> None:
        now = time.thread_time_ns()
        self._totals[name] = self._totals.get(name, 0.0) + (now - self._since) / 1000
        self._since = time.thread_time_ns()
