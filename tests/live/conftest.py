"""The gateway process, and a cell of the pair matrix as a fixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.live.captures import MODELS
from tests.live.cells import CLIENTS
from tests.support.clients.base import Ask, Client
from tests.support.gateway import TOKEN, Gateway, configuration
from tests.support.upstream import StandIn


@pytest.fixture(scope="session")
def gateway(upstream_server: StandIn) -> Iterator[Gateway]:
    """One gateway process in front of the stand-in."""
    with Gateway(configuration(upstream_server.url, MODELS)) as running:
        yield running


@pytest.fixture(scope="session")
def clients(gateway: Gateway) -> dict[str, Client]:
    """Every SDK, pointed at the gateway."""
    return {name: make(gateway.url, TOKEN) for name, make in CLIENTS.items()}


@dataclass
class Cell:
    """One client in front of one upstream; ``question`` asks it for a scenario."""

    client: Client
    protocol: str
    upstream: str
    streamed: bool

    def question(self, scenario: str, prompt: str = "Say hello.", **options: object) -> Ask:
        """An Ask for ``scenario`` at this cell's upstream, in its mode."""
        return Ask(f"{self.upstream}/{scenario}", prompt, stream=self.streamed, **options)  # type: ignore[arg-type]


@pytest.fixture
def cell(
    request: pytest.FixtureRequest,
    clients: dict[str, Client],
    upstream: StandIn,
    record_property: Callable[[str, object], None],
) -> Cell:
    """The cell a test is parametrised with, noted for the matrix."""
    client, target, topic, mode = request.param
    record_property("cell", (client, target, topic, mode))
    return Cell(clients[client], client, target, mode == "streamed")
