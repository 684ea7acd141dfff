"""The gateway without any governance, to compare with: ``python -m benchmarks.bare_gateway PORT
CONFIG DATA``.

The same server, pipeline and routing as ``dragoman serve``. Nobody is asked for a key, nothing is
limited, priced, booked, counted or logged.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from unittest import mock

import uvloop

from dragoman.canonical.usage import Usage
from dragoman.cli.wiring import profile_of
from dragoman.engine.accounting import Accounting
from dragoman.engine.records import Trace
from dragoman.engine.stay import Demand, Stay
from dragoman.governance.principal import Principal
from dragoman.protocols.registry import protocols
from dragoman.routing.plan import Plan
from dragoman.runtime import Options, Runtime
from dragoman.server import run
from dragoman.server.gateway import Gateway
from dragoman.server.metrics import Access


class _NoAccounting(Accounting):
    """Lets everybody in and forgets them."""

    def admit(self, demand: Demand, principal: Principal, plan: Plan) -> Stay:
        key, user = self.parties.of(principal)
        return Stay(demand, principal, key, user, price_of=self._price_of, at=0.0)

    def settle(self, stay: Stay, trace: Trace, usage: Usage, outcome: str) -> int | None:
        stay.open = False
        return None

    def release(self, stay: Stay, trace: Trace) -> None:
        stay.open = False

    def headers(self, principal: Principal, *, anthropic: bool) -> dict[str, str]:
        return {}


class _Nobody:
    """In the place of those who are told of every request."""

    def __init__(self, gateway: Gateway, **others: object) -> None:
        gateway.record = lambda record: None

    def configure(self, access: Access) -> None:
        """Nothing."""

    def start(self) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""


async def serve(port: int, config: Path, data_dir: Path) -> None:
    """Serve on loopback until SIGTERM."""
    options = Options(
        config=config,
        data_dir=data_dir,
        environ=dict(os.environ),
        directory=data_dir.parent,
        serving=True,
    )
    runtime = await Runtime.open(options)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(runtime.close)
        stack.enter_context(mock.patch.object(run, "Observing", _Nobody))
        await run.run_server(
            runtime,
            host="127.0.0.1",
            port=port,
            protocols=protocols(),
            profile_of=profile_of,
            catalog=runtime.catalog,
            accounting=_NoAccounting(clock=time.monotonic, wall=time.time),
        )


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
