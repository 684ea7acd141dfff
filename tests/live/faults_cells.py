"""The fault table's cells, the configuration that holds them all, and how one is asked.

Every cell has a channel of its own, named after it and listing one model of that name, so that no
cell's failures bench another's channel. Setting by setting:

relayed      the only channel speaks the client's protocol
translated   the only channel speaks another one
backed       behind the faulty channel (one or the other) stands a healthy one of lower priority
"""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Container, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from tests.live.cells import CLIENTS, MODES
from tests.support.clients.base import Ask, Client, Failed, Outcome
from tests.support.faults.doors import Door
from tests.support.faults.server import FaultServer
from tests.support.faults.table import ANSWERED, BY_NAME, FAULTS, RAISED_IN_STREAM, Fault
from tests.support.gateway import BASES, TOKEN, Gateway
from tests.support.upstream import KEY

SETTINGS = ("relayed", "translated", "backed")
ABROAD = {  # client → the upstream protocol it is translated to; each is somebody's
    "openai_chat": "anthropic_messages",
    "openai_responses": "gemini_generate",
    "anthropic_messages": "openai_chat",
    "gemini_generate": "openai_responses",
}
FIRST_ABROAD = ("openai_responses", "anthropic_messages")
"""Clients whose faulty channel, in the setting ``backed``, is the one that needs translation."""

_AT_ONCE = 64
_GEMINI_MODEL = re.compile(r"/models/([^:]+):")


class Cell(NamedTuple):
    """One test."""

    fault: str
    setting: str
    client: str
    mode: str

    @property
    def model(self) -> str:
        """The model to ask for; also the channel's name."""
        return ".".join(self)

    @property
    def row(self) -> Fault:
        """The fault with its promises."""
        return BY_NAME[self.fault]

    @property
    def protocol(self) -> str:
        """What the faulty channel speaks."""
        abroad = self.setting == "translated" or (
            self.setting == "backed" and self.client in FIRST_ABROAD
        )
        return ABROAD[self.client] if abroad else self.client

    @property
    def backup(self) -> tuple[str, str]:
        """(name, upstream model) of the healthy channel behind it."""
        protocol = self.client if self.protocol != self.client else ABROAD[self.client]
        return f"backup-{protocol}", f"healthy.{self.model}"


CELLS = [
    Cell(fault.name, setting, client, mode)
    for fault in FAULTS
    for setting in SETTINGS
    for client in CLIENTS
    for mode in MODES
]


def rows_of(cell: Cell) -> list[str]:
    """The requirements that this cell proves: a channel's timeout, and failover."""
    rows = ["S2-40"] if cell.row.waits and not cell.row.door else []
    promise = cell.row.promise(cell.mode)
    if cell.setting == "backed" and promise not in (ANSWERED, RAISED_IN_STREAM):
        rows.append("S2-45")
    return rows


def cells(*settings: str) -> pytest.MarkDecorator:
    """Parametrise a test over every cell of some settings."""
    found = [
        pytest.param(cell, id=cell.model, marks=[pytest.mark.row(row) for row in rows_of(cell)])
        for cell in CELLS
        if cell.setting in settings
    ]
    return pytest.mark.parametrize("cell", found, indirect=True)


def configuration(
    upstream: FaultServer, doors: dict[Cell, Door], more: Iterable[dict[str, Any]] = ()
) -> dict[str, Any]:
    """One channel per cell, one backup per protocol, then ``more`` channels without their ids."""
    channels = []
    for cell in CELLS:
        root = doors[cell].url if cell in doors else upstream.url
        one = channel(root, cell.model, cell.protocol, [cell.model])
        channels.append({**one, "timeout": cell.row.timeout})
    for protocol in CLIENTS:
        name = f"backup-{protocol}"
        backed = [cell for cell in CELLS if cell.setting == "backed" and cell.backup[0] == name]
        aliases = {cell.model: cell.backup[1] for cell in backed}
        one = channel(upstream.url, name, protocol, [*aliases, f"healthy.{protocol}"])
        channels.append({**one, "aliases": aliases, "priority": 2})
    channels += more
    return {
        "settings": {"log_level": "info"},
        "channels": [{"id": number, **one} for number, one in enumerate(channels, start=1)],
        "tokens": [{"id": 1, "name": "faults", "key": TOKEN}],
    }


def channel(root: str, name: str, protocol: str, models: list[str]) -> dict[str, Any]:
    """A channel's entry without its id."""
    return {
        "name": name,
        "type": "custom",
        "protocol": protocol,
        "base_url": root + BASES[protocol],
        "api_key": KEY,
        "models": models,
        "timeout": 20,
        "max_retries": 0,
        "max_concurrency": 1000,
        "cooldown_seconds": 0,
    }


@dataclass
class Result:
    """What became of one question. ``status`` and ``headers`` are those of the HTTP answer; status 0
    means that none came."""

    outcome: Outcome | None = None
    failure: Failed | None = None
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)


class Asker:
    """Asks through the official SDKs and looks over their shoulder.

    Cells that end by a deadline are asked all at once, as soon as the first of them is wanted.
    """

    def __init__(self, gateway: Gateway, upstream: FaultServer, slow: Iterable[Cell]) -> None:
        self._upstream = upstream
        self._heads: dict[str, tuple[int, dict[str, str]]] = {}
        self._clients = {name: make(gateway.url, TOKEN) for name, make in CLIENTS.items()}
        for client in self._clients.values():
            _http_client(client).event_hooks = {"request": [], "response": [self._seen]}
        self._slow = list(slow)
        self._early: dict[Cell, Future[Result]] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._lock = threading.Lock()

    def result(self, cell: Cell) -> Result:
        """Ask what the cell asks."""
        if not cell.row.waits:
            return self.ask(cell.client, cell.model, cell.mode)
        with self._lock:
            if not self._early:
                self._early = {
                    one: self._pool.submit(self.ask, one.client, one.model, one.mode)
                    for one in self._slow
                }
        return self._early[cell].result()

    def ask(self, client: str, model: str, mode: str = "plain") -> Result:
        """Ask a model through one SDK."""
        result = Result()
        try:
            result.outcome = self._clients[client].ask(Ask(model, stream=mode == "streamed"))
        except Failed as failure:
            result.failure = failure
        result.status, result.headers = self._heads.pop(model, (0, {}))
        return result

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _seen(self, response: Any) -> None:
        """The head of an answer has come. The gateway holds it back until there is content, so the
        upstream may now break what it breaks after content."""
        request = response.request
        found = _GEMINI_MODEL.search(urllib.parse.unquote(request.url.path))
        model = found[1] if found else json.loads(request.content)["model"]
        self._heads[model] = response.status_code, dict(response.headers)
        self._upstream.release(model)


def _http_client(client: Client) -> Any:
    """The SDK's own HTTP client."""
    sdk: Any = client.sdk  # type: ignore[attr-defined]
    if client.protocol == "gemini_generate":
        return sdk._api_client._httpx_client
    return sdk._client


def in_flight(gateway: Gateway, channels: Container[int]) -> int:
    """The places in use at the channels of these ids, as ``/health`` tells them."""
    with urllib.request.urlopen(f"{gateway.url}/health", timeout=10) as response:
        lanes = json.load(response)["lanes"]
    found = [lane["in_flight"] for lane in lanes if lane["id"] in channels]
    assert found, "/health does not know the channels"
    return sum(found)


def settles(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether ``condition()`` becomes true in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
