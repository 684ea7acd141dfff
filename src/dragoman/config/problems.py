"""Everything wrong with a configuration, gathered before anything is refused.

One mistake per start is a bad way to learn of ten: a check that fails raises ``Refusal``, whoever
walks over the fields collects those in ``Findings``, and the whole list is shown at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Problem(NamedTuple):
    """What is wrong, and where: a dotted path (``channels.0.timeout``) or a variable's name."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def below(self, step: str | int) -> Problem:
        """The same problem, seen from one step further up."""
        return Problem(f"{step}.{self.path}" if self.path else str(step), self.message)


class Refusal(Exception):
    """A value fails its check. Paths are relative to the value."""

    def __init__(self, *problems: Problem | str) -> None:
        super().__init__()
        self.problems = [Problem("", p) if isinstance(p, str) else p for p in problems]


class ConfigurationRefused(Exception):
    """The configuration cannot be used. ``problems`` is never empty and holds no secret."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = "a problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"{source} has {count}:{lines}")


class Findings:
    """The problems met so far."""

    __slots__ = ("problems",)

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, path: str, message: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(path, message))

    def check(self, step: str | int, check: Callable[..., Any], *values: Any) -> Any:
        """What ``check`` makes of the values; None, with the problems noted, if it refuses."""
        try:
            return check(*values)
        except Refusal as refusal:
            self.problems += [problem.below(step) for problem in refusal.problems]
            return None

    def refuse(self) -> None:
        """Raise what was found as one Refusal, if anything was."""
        if self.problems:
            raise Refusal(*self.problems)

    def refuse_source(self, source: str) -> None:
        """Raise what was found as ConfigurationRefused, if anything was."""
        if self.problems:
            raise ConfigurationRefused(source, self.problems)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown ``name``: the nearest known one, or all if few."""
    choices = {choice.casefold(): choice for choice in sorted(known)}
    near = difflib.get_close_matches(name.casefold(), choices, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {choices[near[0]]!r}?"
    if 0 < len(choices) <= 12:
        return f"; known are {', '.join(choices.values())}"
    return ""
