"""There are no clients that speak Gradio to us: every function here refuses."""

from __future__ import annotations

from typing import Any, NoReturn

from dragoman.canonical.errors import InvalidRequest


def refuse(*_: Any) -> NoReturn:
    """Raises InvalidRequest."""
    raise InvalidRequest("Gradio is spoken to upstreams only.")
