"""Saying things: tables, JSON, complaints."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Sequence
from typing import Any

import typer


class ExitCode(enum.IntEnum):
    """What the process ends with; wrong usage is 2, by the command-line library."""

    DONE = 0
    FAILED = 1
    REFUSED = 3


class CommandFailed(Exception):
    """The command cannot do what was asked; the message says why and what to do."""


def say(text: str = "") -> None:
    """A line for the user."""
    typer.echo(text)


def remark(text: str) -> None:
    """A line beside the result, so that the result alone can be piped on."""
    typer.echo(text, err=True)


def complain(text: str) -> None:
    """Why the command ends."""
    remark(f"dragoman: {text}")


def show_json(value: Any) -> None:
    """A value for programs."""
    say(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under headings, each column as wide as its widest cell."""
    table = [[heading.upper() for heading in headings], *([*row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say("  ".join(cells).rstrip())


def marks() -> tuple[str, str]:
    """The signs for good and bad that the terminal can show."""
    try:
        "✓✗".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "ok", "!!"
    return "✓", "✗"
