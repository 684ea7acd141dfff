"""The application as a fixture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.admin.site import Site


@pytest.fixture
def site() -> Iterator[Site]:
    """The application, with nothing configured but four keys."""
    with Site() as running:
        yield running
