"""What became of a field in translation: data, not log lines."""

from __future__ import annotations

import enum
from collections import Counter

import msgspec

from dragoman.canonical.parts import Extensions


class Action(enum.StrEnum):
    """kept: carried under an extension · renamed: same meaning, other form · emulated: the target
    cannot say it, something else does the job · clamped: moved into the target's range · dropped."""

    KEPT = "kept"
    RENAMED = "renamed"
    EMULATED = "emulated"
    CLAMPED = "clamped"
    DROPPED = "dropped"


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """``path`` is dotted, in canonical terms (``settings.seed``, ``messages.2.parts.0``)."""

    path: str
    action: Action
    detail: str = ""


class Notes:
    """Collects the notes of one translation."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[Note] = []

    def dropped(self, path: str, detail: str = "") -> None:
        self.items.append(Note(path, Action.DROPPED, detail))

    def emulated(self, path: str, detail: str = "") -> None:
        self.items.append(Note(path, Action.EMULATED, detail))

    def clamped(self, path: str, detail: str = "") -> None:
        self.items.append(Note(path, Action.CLAMPED, detail))

    def renamed(self, path: str, detail: str = "") -> None:
        self.items.append(Note(path, Action.RENAMED, detail))

    def kept(self, path: str, detail: str = "") -> None:
        self.items.append(Note(path, Action.KEPT, detail))

    def foreign(self, path: str, extensions: Extensions | None, protocol: str) -> None:
        """Note every extension field that does not belong to ``protocol`` as dropped.

        Fields whose name begins with an underscore are their protocol's bookkeeping (item ids, which
        of two spellings was used): nothing is lost to anyone else, so nothing is noted.
        """
        if not extensions:
            return
        for owner, fields in extensions.items():
            if owner != protocol:
                for field in fields:
                    if field.startswith("_"):
                        continue
                    self.dropped(f"{path}.{field}" if path else field, f"only {owner} knows it")


def summary(notes: list[Note]) -> str:
    """Counts per action for the ``dragoman-translation`` header: ``dropped=2, renamed=1``."""
    counts = Counter(note.action.value for note in notes)
    return ", ".join(f"{action}={counts[action]}" for action in sorted(counts))
