"""Names the Messages API accepts, for those that other protocols allow and it does not.

Source: the patterns in its error messages (``tools.0.custom.name: String should match pattern
'^[a-zA-Z0-9_-]{1,128}$'``, ``tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_LEGAL = re.compile(r"[a-zA-Z0-9_-]+")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")

MAX_TOOL_NAME = 128


class Renamer:
    """Maps each name to a legal one: the same in, the same out, and no two alike.

    ``known`` are names to keep as they are where they are legal, whatever else is mapped.
    """

    def __init__(self, known: Iterable[str] = (), limit: int | None = None) -> None:
        self._limit = limit
        self._mapped: dict[str, str] = {}
        self._taken: set[str] = set()
        for name in known:
            if self._is_legal(name):
                self._taken.add(name)
                self._mapped[name] = name

    def __call__(self, name: str) -> str:
        """The legal name that stands for ``name``."""
        mapped = self._mapped.get(name)
        if mapped is None:
            mapped = self._mapped[name] = self._free(name)
            self._taken.add(mapped)
        return mapped

    def _is_legal(self, name: str) -> bool:
        return _LEGAL.fullmatch(name) is not None and (
            self._limit is None or len(name) <= self._limit
        )

    def _free(self, name: str) -> str:
        stem = _ILLEGAL.sub("_", name)[: self._limit] or "_"
        candidate, number = stem, 1
        while candidate in self._taken:
            number += 1
            suffix = f"_{number}"
            room = None if self._limit is None else self._limit - len(suffix)
            candidate = stem[:room] + suffix
        return candidate
