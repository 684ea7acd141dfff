"""Function arguments that Vertex AI streams piece by piece.

Each piece is a value at a JSON path (``$.filters[0].name``), and a string may come in several. With
``streamFunctionCallArguments`` on; source: ``PartialArg`` and ``FunctionCall`` in google-genai's types.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.parts import Json
from dragoman.protocols.gemini_generate.types import PartialArg

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,5})\]|\['([^']*)'\]|\["([^"]*)"\]""")
_MAX_STEPS = 100


class PartialArguments:
    """Puts the pieces together: ``add`` each, then read ``value``."""

    def __init__(self) -> None:
        self.value: dict[str, Json] = {}
        self._unfinished: str | None = None  # the path of a string that more is to be added to

    def add(self, piece: PartialArg) -> None:
        """Put one piece in its place. Raises UpstreamBroken for a path that leads nowhere."""
        path = piece.json_path or ""
        steps = _steps(path)
        holder: Any = self.value
        for step, following in pairwise(steps):
            holder = _into(holder, step, [] if isinstance(following, int) else {})
        value = _value(piece)
        if isinstance(value, str) and self._unfinished == path:
            value = str(_into(holder, steps[-1], "")) + value
        _put(holder, steps[-1], value)
        self._unfinished = path if piece.will_continue and isinstance(value, str) else None


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    position = 1
    while path.startswith("$") and position < len(path):
        match = _STEP.match(path, position)
        if match is None or len(steps) >= _MAX_STEPS:
            steps.clear()
            break
        name, index, single, double = match.groups()
        steps.append(int(index) if index is not None else name or single or double or "")
        position = match.end()
    if not steps:
        raise UpstreamBroken("The upstream streams arguments at a path that leads nowhere.")
    return steps


def _into(holder: Any, step: str | int, empty: Json) -> Any:
    """What ``holder`` holds at ``step``, put there if it is not."""
    if isinstance(holder, dict) and isinstance(step, str):
        return holder.setdefault(step, empty)
    if isinstance(holder, list) and isinstance(step, int) and step <= len(holder):
        if step == len(holder):
            holder.append(empty)
        return holder[step]
    raise UpstreamBroken("The upstream streams arguments in an order that makes no sense.")


def _put(holder: Any, step: str | int, value: Json) -> None:
    _into(holder, step, value)
    holder[step] = value


def _value(piece: PartialArg) -> Json:
    for value in (piece.string_value, piece.bool_value):
        if value is not None:
            return value
    number = piece.number_value
    if number is None:
        return None
    return int(number) if number.is_integer() else number
