"""No provider is spoken to in this protocol: every function here refuses."""

from __future__ import annotations

from typing import Any, NoReturn

from dragoman.canonical.errors import UpstreamRejected


def refuse(*_: Any) -> NoReturn:
    """Raises UpstreamRejected."""
    raise UpstreamRejected("The task API is spoken by clients only.")
