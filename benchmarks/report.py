"""Tables, on the terminal and in Markdown, with what one must know to believe them."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("dragoman", "granian", "aiohttp", "uvloop", "msgspec")
_BUSY_SHARE = 0.25


@dataclass
class Table:
    """Rows of text; the first column is left-aligned, the others right. ``notes`` stand below."""

    title: str
    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For the terminal."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.head))]

        def line(cells: Sequence[str]) -> str:
            padded = [
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ]
            return "  ".join(padded).rstrip()

        ruler = "  ".join("-" * width for width in widths)
        body = [line(self.head), ruler, *map(line, self.rows), *self.notes]
        return "\n".join([self.title, "", *body, ""])

    def markdown(self) -> str:
        """For a document."""
        aligned = ["---", *["---:"] * (len(self.head) - 1)]
        lines = [f"| {' | '.join(cells)} |" for cells in (self.head, aligned, *self.rows)]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"**{self.title}**\n", *lines, *notes])


@dataclass(frozen=True)
class Circumstances:
    """When, where and how something was measured, and whether the machine was busy before."""

    command: str
    compared: Sequence[str] = ()
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])
    date: datetime.date = field(default_factory=datetime.date.today)

    def lines(self) -> list[str]:
        """Sentences for people."""
        packages = [f"{name} {found}" for name in _PACKAGES if (found := _version(name))]
        software = [f"Python {platform.python_version()}", *packages, *self.compared]
        lines = [
            f"{self.date.isoformat()} · {machine()} · {', '.join(software)}",
            f"`{self.command}`",
        ]
        if self.busy:
            lines.append(
                f"The machine was busy with other work (load {self.load_before:.1f} before the "
                "start): these figures only show that the measurement works."
            )
        return lines

    @property
    def busy(self) -> bool:
        """Whether something else was using the processors."""
        return self.load_before > _BUSY_SHARE * (os.cpu_count() or 1)


def machine() -> str:
    """Processors and memory."""
    cores = os.cpu_count() or 1
    model = _found(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo")) or platform.machine()
    kibibytes = _found(r"MemTotal:\s*(\d+)", Path("/proc/meminfo"))
    memory = f", {int(kibibytes) / 2**20:.0f} GiB" if kibibytes else ""
    return f"{cores} cores ({model.strip()}){memory}, {platform.system()}"


def write_markdown(path: Path, name: str, content: str) -> None:
    """Put ``content`` between ``<!-- name -->`` and ``<!-- /name -->`` in the document, whose prose
    stays as it is; without such a place it is added at the end."""
    text = path.read_text(encoding="utf-8") if path.exists() else "# Performance\n"
    block = f"<!-- {name} -->\n\n{content}\n\n<!-- /{name} -->"
    place = re.compile(rf"<!-- {name} -->.*?<!-- /{name} -->", re.DOTALL)
    if found := place.search(text):
        text = text[: found.start()] + block + text[found.end() :]
    else:
        text += f"\n## {name.capitalize()}\n\n{block}\n"
    path.write_text(text, encoding="utf-8")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _found(pattern: str, path: Path) -> str:
    try:
        match = re.search(pattern, path.read_text(encoding="utf-8"))
    except OSError:
        return ""
    return match[1] if match else ""
