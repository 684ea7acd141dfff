"""The scripted upstream: bare sockets on loopback, in a thread of their own.

::

    with FaultServer() as upstream:
        ...  # a channel at upstream.url whose model is "reset-before.one"
        assert upstream.asked("reset-before.one") == 1
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from types import TracebackType

from tests.support.faults.behaviours import BEHAVIOURS
from tests.support.faults.doors import DOORS, LOOPBACK, Door
from tests.support.faults.exchange import Peer, has_key, understand
from tests.support.faults.refusals import refuse
from tests.support.standin.script import VendorError

START_SECONDS = 10.0


class FaultServer:
    """A context manager; ``url`` is its root, below which the vendors' paths lie.

    The counts may be read from any thread.
    """

    def __init__(self) -> None:
        self.url = ""
        self.visits_elsewhere = 0
        """Connections to the server that redirects point to."""
        self._complaints: list[str] = []
        self._asked: Counter[str] = Counter()
        self._busy: Counter[str] = Counter()
        self._released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._elsewhere = ""
        self._doors: list[Door] = []
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fault-server", daemon=True)

    def __enter__(self) -> FaultServer:
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise RuntimeError("the scripted upstream did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    def asked(self, model: str) -> int:
        """How many requests came for ``model``."""
        return self._asked[model]

    def busy(self, model: str) -> int:
        """How many of them still go on."""
        return self._busy[model]

    def complaints(self) -> list[str]:
        """What was wrong with requests, or with the server itself, since this was last asked."""
        told, self._complaints = self._complaints, []
        return told

    def release(self, model: str) -> None:
        """The client has got the beginning of the answer: what breaks after content may break."""
        self._loop.call_soon_threadsafe(self._release, model)

    def door(self, kind: str) -> Door:
        """A new address of a kind in ``DOORS``."""

        async def make() -> Door:
            door = DOORS[kind]()
            self._doors.append(door)
            return door

        return asyncio.run_coroutine_threadsafe(make(), self._loop).result(START_SECONDS)

    def _release(self, model: str) -> None:
        self._released[model].set()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        # Handshakes that the gateway ends are no news.
        self._loop.set_exception_handler(lambda loop, context: None)
        server = await asyncio.start_server(self._connected, LOOPBACK, 0)
        other = await asyncio.start_server(self._visited, LOOPBACK, 0)
        self.url, self._elsewhere = (
            f"http://{LOOPBACK}:{one.sockets[0].getsockname()[1]}" for one in (server, other)
        )
        self._ready.set()
        await self._stop.wait()
        for door in self._doors:
            door.close()
        server.close()
        other.close()

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits_elsewhere += 1
        writer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the gateway went away, as it may
        except TimeoutError:
            self._complaints.append("the gateway waited too long, or kept the client waiting")
        except Exception as error:  # noqa: BLE001 - a test must see it, whatever it is
            self._complaints.append(repr(error))
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection is good for another."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        pairs = (line.split(":", 1) for line in lines)
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        try:
            question = understand(first.split(" ")[1], headers, body)
        except VendorError as error:
            self._complaints.append(f"{first}: {error.message}")
            return False
        if not has_key(headers):
            self._complaints.append(f"{first}: the key is missing")
        model = question.model
        self._asked[model] += 1
        self._busy[model] += 1
        peer = Peer(
            reader,
            writer,
            released=self._released[model],
            number=self._asked[model],
            elsewhere=self._elsewhere,
        )
        behave = BEHAVIOURS.get(model.partition(".")[0], refuse(404))
        try:
            await behave(peer, question)
        finally:
            self._busy[model] -= 1
        return not peer.ended
