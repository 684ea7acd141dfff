"""Settings and fixtures for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests.live.cells import IMPOSSIBLE
from tests.live.faults_cells import SETTINGS
from tests.rows import REQUIREMENTS, read_rows
from tests.support.fault_report import FaultReport
from tests.support.faults.table import FAULTS
from tests.support.matrix_report import MatrixReport
from tests.support.upstream import StandIn

# Codecs are fast but the first example compiles decoders, so there is no deadline per example.
_shared = {
    "deadline": None,
    "suppress_health_check": [
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.data_too_large,
    ],
}
hypothesis.settings.register_profile("quick", max_examples=60, **_shared)
hypothesis.settings.register_profile("thorough", max_examples=500, **_shared)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_configure(config: pytest.Config) -> None:
    """Let the pair matrix and the fault table be printed at the end."""
    config.pluginmanager.register(MatrixReport(IMPOSSIBLE))
    rows = [fault.title for fault in FAULTS]
    config.pluginmanager.register(FaultReport(rows, SETTINGS))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a marker that names a row which docs/requirements.md does not have."""
    known = read_rows(REQUIREMENTS.read_text(encoding="utf-8"))
    for item in items:
        for mark in item.iter_markers("row"):
            unknown = [row for row in mark.args if row not in known]
            if unknown or not mark.args:
                raise pytest.UsageError(f"{item.nodeid} names no row of {REQUIREMENTS}: {unknown}")


@pytest.fixture(scope="session")
def upstream_server() -> Iterator[StandIn]:
    """The stand-in upstream, one per process."""
    with StandIn() as upstream:
        yield upstream


@pytest.fixture
def upstream(upstream_server: StandIn) -> StandIn:
    """The stand-in upstream with no requests recorded yet."""
    upstream_server.clear()
    return upstream_server
