"""What the command line asks for, as the measurements read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.programs import Dragoman, LiteLLM, Nginx, Portkey, Program

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Options:
    """``quick`` shortens everything to a trial. ``litellm`` is a Python, ``portkey`` a package's
    folder. None stands for the measurement's own default."""

    quick: bool = False
    verbose: bool = False
    tls: bool = True
    litellm: Path | None = None
    portkey: Path | None = None
    only: tuple[str, ...] = ()
    rounds: int | None = None
    seconds: float | None = None
    connections: int = 64
    streams: int | None = None

    def programs(self) -> list[Program]:
        """What stands beside the direct call."""
        known = (Dragoman(), Nginx(), LiteLLM(self.litellm), Portkey(self.portkey))
        return [one for one in known if not self.only or one.title.lower() in self.only]

    def choose(self, given: Value | None, *, full: Value, quick: Value) -> Value:
        """A parameter: as given, else the default for a full or a quick run."""
        if given is not None:
            return given
        return quick if self.quick else full

    @property
    def upstream_words(self) -> str:
        """How the upstream is reached, for a note."""
        return "over TLS" if self.tls else "over plain HTTP"
