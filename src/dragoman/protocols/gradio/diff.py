"""The edits in which the queue sends what has changed (dialects ``sse_v2`` and later).

The first event has an output whole, the later ones a list of ``[action, path, value]``: ``append`` to
a text, ``replace``, ``add`` and ``delete``; an empty path is the value itself. Source:
``gradio_client/utils.py``, ``apply_diff``.
"""

from __future__ import annotations

from typing import Any

from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.parts import Json

_ACTIONS = frozenset({"append", "replace", "add", "delete"})


def are_edits(value: Json) -> bool:
    """Whether ``value`` is a list of edits (an empty one means no change), not a value of its own."""
    return isinstance(value, list) and all(map(_is_edit, value))


def _is_edit(value: Json) -> bool:
    match value:
        case [str(action), list(), _]:
            return action in _ACTIONS
        case _:
            return False


def apply(value: Json, edits: Json) -> Json:
    """``value`` with ``edits`` made; it may be changed in place. Raises UpstreamBroken if they do not
    fit."""
    try:
        for action, path, new in edits:
            value = _apply(value, path, action, new)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise UpstreamBroken("The Gradio server's edits do not fit what it sent before.") from None
    return value


def _apply(value: Json, path: list[Any], action: str, new: Json) -> Json:
    if not path:
        return new if action == "replace" else value + new
    place = value
    for step in path[:-1]:
        place = place[step]
    last = path[-1]
    match action:
        case "replace":
            place[last] = new
        case "append":
            place[last] += new
        case "delete":
            del place[last]
        case _ if isinstance(place, list):
            place.insert(int(last), new)
        case _:
            place[last] = new
    return value
