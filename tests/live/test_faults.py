"""The fault table: everything an upstream can do wrong, as every official SDK sees it.

Alone, a faulty channel makes the SDK raise with the promised status; with a healthy channel behind
it, nothing that goes wrong before the first content reaches the client at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.live.cells import MODES
from tests.live.faults_cells import (
    CELLS,
    Asker,
    Cell,
    Result,
    cells,
    channel,
    configuration,
    in_flight,
    settles,
)
from tests.live.raw import ask, path_of, request_body
from tests.support.clients.base import Failed
from tests.support.faults.doors import Door
from tests.support.faults.refusals import CANARY
from tests.support.faults.server import FaultServer
from tests.support.faults.table import (
    ANSWERED,
    BAD_GATEWAY,
    OVERLOADED,
    RAISED_IN_STREAM,
    TIMED_OUT,
    Promise,
)
from tests.support.gateway import TOKEN, Gateway
from tests.support.standin.script import GREETING
from tests.support.upstream import KEY

MAX_ATTEMPTS = 3
NEVER_CAME = (openai.APIConnectionError, anthropic.APIConnectionError)
"""What the SDKs raise, timeouts among it, when the gateway does not answer as HTTP should."""

SILENCE = re.compile(r"fell silent|said nothing|longer than \\d")
"""The gateway's words for its deadlines."""

# fault, max_retries → attempts and promise, of channels with nothing behind them. What another try
# cannot mend is not tried again: a refused key, an answer that was made and is no good.
REPEATS = [
    ("recovers-1", 1, 2, ANSWERED),
    ("recovers-2", 2, 3, ANSWERED),
    ("recovers-2", 1, 2, BAD_GATEWAY),
    ("status-500", 10, 3, BAD_GATEWAY),
    ("status-529", 10, 3, OVERLOADED),
    ("status-401", 10, 1, BAD_GATEWAY),
    ("ok-page", 10, 1, BAD_GATEWAY),
]
CROWD = range(4)
ENDLESS = "endless.comments"


def repeated(fault: str, max_retries: int, mode: str) -> str:
    """The model, and the channel, of a test of repetition."""
    return f"{fault}.up-to-{max_retries}.{mode}"


def further_channels(root: str) -> Iterator[dict[str, Any]]:
    """Channels for what the table does not hold."""
    yield {**channel(root, ENDLESS, "openai_chat", [ENDLESS]), "timeout": 1}
    for mode in MODES:
        for fault, max_retries, _, _ in REPEATS:
            name = repeated(fault, max_retries, mode)
            yield {**channel(root, name, "openai_chat", [name]), "max_retries": max_retries}
        for number in CROWD:
            name = f"status-500.crowd.{mode}.{number}"
            aliases = {f"crowd.{mode}": name}
            yield {**channel(root, name, "openai_chat", list(aliases)), "aliases": aliases}


@pytest.fixture(scope="session")
def faulty() -> Iterator[FaultServer]:
    """The scripted upstream."""
    with FaultServer() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def doors(faulty: FaultServer) -> dict[Cell, Door]:
    """An address of its own for every cell whose fault lies before the exchange."""
    shared = faulty.door("connect-hang")  # nobody ever gets in, so nobody is counted
    return {
        cell: shared if cell.row.door == "connect-hang" else faulty.door(cell.row.door)
        for cell in CELLS
        if cell.row.door
    }


@pytest.fixture(scope="session")
def fault_config(faulty: FaultServer, doors: dict[Cell, Door]) -> dict[str, Any]:
    """A configuration with a channel for every cell."""
    return configuration(faulty, doors, further_channels(faulty.url))


@pytest.fixture(scope="session")
def ids(fault_config: dict[str, Any]) -> dict[str, int]:
    """The channels' ids by their names."""
    return {one["name"]: one["id"] for one in fault_config["channels"]}


@pytest.fixture(scope="session")
def fault_gateway(fault_config: dict[str, Any]) -> Iterator[Gateway]:
    """The gateway that has them."""
    with Gateway(fault_config) as running:
        yield running
        _, traceback, told = running.logs().partition("Traceback")
        assert not traceback, f"the gateway itself failed: {told[:3000]}"


@pytest.fixture(scope="session")
def asker(
    request: pytest.FixtureRequest, fault_gateway: Gateway, faulty: FaultServer
) -> Iterator[Asker]:
    """Every SDK, pointed at the gateway."""
    wanted = (getattr(item, "callspec", None) for item in request.session.items)
    params = (spec.params.get("cell") for spec in wanted if spec is not None)
    slow = [one for one in params if isinstance(one, Cell) and one.row.waits]
    asker = Asker(fault_gateway, faulty, slow)
    yield asker
    asker.close()


@pytest.fixture
def cell(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Cell:
    """The cell a test is parametrised with, noted for the table."""
    found: Cell = request.param
    record_property("fault", (found.row.title, found.setting, found.client, found.mode))
    return found


@pytest.fixture
def result(
    cell: Cell,
    asker: Asker,
    fault_gateway: Gateway,
    faulty: FaultServer,
    doors: dict[Cell, Door],
    ids: dict[str, int],
) -> Iterator[Result]:
    """What the SDK made of the cell; afterwards, what holds whatever the promise is."""
    visits = faulty.visits_elsewhere
    result = asker.result(cell)
    yield result
    if result.failure is not None and not cell.row.waits:
        assert not SILENCE.search(result.failure.message), "a deadline ended what was over before"
    attempts = faulty.asked(cell.model)
    if cell in doors:
        attempts = doors[cell].connections or 0
        if doors[cell].connections is None:  # nobody can count what never arrives: ask the log
            attempts = fault_gateway.logs().count(f"channel '{cell.model}' failed")
    assert 1 <= attempts <= MAX_ATTEMPTS
    assert attempts + faulty.asked(f"healthy.{cell.model}") <= MAX_ATTEMPTS
    assert settles(lambda: faulty.busy(cell.model) == 0), "the upstream still works on it"
    channels = {ids[cell.model]}
    assert settles(lambda: in_flight(fault_gateway, channels) == 0), "a place was not given back"
    assert faulty.visits_elsewhere == visits, "a redirect was followed"
    assert faulty.complaints() == []
    healthy = f"healthy.{cell.client}"
    path, body = path_of(cell.client, healthy), request_body(cell.client, healthy)
    assert ask(fault_gateway, "POST", path, body).status == 200, "the next request fails"


@cells("relayed", "translated")
def test_the_only_channel_fails(cell: Cell, result: Result) -> None:
    promise = cell.row.promise(cell.mode)
    if promise == ANSWERED:
        answered(result, cell.model)
    elif promise == RAISED_IN_STREAM:
        raised_in_stream(result, cell.model)
    else:
        refused(result, promise)
        if cell.fault == "status-429-after":
            assert result.headers["retry-after"] == "7"
        if cell.fault in ("status-401", "status-403"):
            assert result.headers["x-should-retry"] == "false"


@cells("backed")
def test_a_healthy_channel_stands_behind(cell: Cell, result: Result, faulty: FaultServer) -> None:
    promise = cell.row.promise(cell.mode)
    name, model = cell.backup
    if promise == ANSWERED:
        answered(result, cell.model)
    elif promise == RAISED_IN_STREAM:
        raised_in_stream(result, cell.model)
    else:
        answered(result, name)
        assert faulty.asked(model) == 1
        return
    assert faulty.asked(model) == 0, "the second channel was asked without need"


def answered(result: Result, by: str) -> None:
    """The right answer came, from the channel of this name."""
    assert result.failure is None
    assert result.outcome is not None
    assert result.outcome.text == GREETING
    assert result.outcome.finish
    assert result.headers["dragoman-channel"] == by


def refused(result: Result, statuses: frozenset[int]) -> None:
    """The SDK raised its own error, from an HTTP answer of one of these statuses."""
    assert result.failure is not None, f"it answered {result.outcome}"
    assert result.status in statuses
    assert result.failure.status == result.status
    assert result.headers["x-request-id"]
    _is_decent(result.failure)


def raised_in_stream(result: Result, by: str) -> None:
    """The SDK raised its own error after the answer had begun."""
    assert result.failure is not None, f"it took {result.outcome} for the whole answer"
    assert result.status == 200
    assert result.headers["dragoman-channel"] == by
    _is_decent(result.failure)


def _is_decent(failure: Failed) -> None:
    assert not isinstance(failure.__cause__, NEVER_CAME)
    told = f"{failure.message} {failure.headers}"
    for secret in (CANARY, KEY, TOKEN, "Traceback", 'File "'):
        assert secret not in told
    assert failure.message.strip()


# -- beyond the table --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("fault", "max_retries", "attempts", "promise"), REPEATS)
@pytest.mark.row("S2-41")
def test_the_last_channel_is_repeated_as_often_as_max_retries_says(
    asker: Asker,
    faulty: FaultServer,
    fault: str,
    max_retries: int,
    attempts: int,
    promise: Promise,
    mode: str,
) -> None:
    model = repeated(fault, max_retries, mode)
    result = asker.ask("openai_chat", model, mode)
    if promise == ANSWERED:
        answered(result, model)
    else:
        refused(result, promise)
    assert faulty.asked(model) == attempts


@pytest.mark.parametrize("mode", MODES)
def test_of_many_failing_channels_three_are_tried_once_each(
    asker: Asker, faulty: FaultServer, mode: str
) -> None:
    refused(asker.ask("anthropic_messages", f"crowd.{mode}", mode), BAD_GATEWAY)
    asked = [faulty.asked(f"status-500.crowd.{mode}.{number}") for number in CROWD]
    assert sorted(asked) == [0, 1, 1, 1]


@pytest.mark.row("S2-40")
def test_comments_are_no_content(asker: Asker) -> None:
    """A stream that only ever says it is alive has the channel's timeout to begin, like any other."""
    refused(asker.ask("openai_responses", ENDLESS, "streamed"), TIMED_OUT)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells the peak")
@pytest.mark.parametrize("mode", MODES)
def test_a_bomb_is_not_unpacked(asker: Asker, fault_gateway: Gateway, mode: str) -> None:
    """128 MiB of blanks in half a megabyte: the peak stays near the limit for answers."""
    process = Path(f"/proc/{fault_gateway.pid}")
    (process / "clear_refs").write_text("5")  # the peak is counted from here
    before = _mebibytes(process, "VmRSS")
    refused(asker.ask("openai_chat", f"gzip-bomb.relayed.openai_chat.{mode}", mode), BAD_GATEWAY)
    assert _mebibytes(process, "VmHWM") - before <= 64


def _mebibytes(process: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", (process / "status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) // 1024
