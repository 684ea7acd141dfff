"""``dragoman audit``: who changed what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragoman.cli.options import (
    AsJson,
    ConfigFile,
    DatabaseUrl,
    DataDir,
    make_options,
    with_runtime,
)
from dragoman.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from dragoman.runtime import Runtime

_SHOWN_LETTERS = 100


def audit(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="So many entries.")] = 20,
    before: Annotated[
        int | None, typer.Option("--before", metavar="ID", help="Only those older than this one.")
    ] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show what was changed, by whom and from where, newest first; sign-ins as well.

    \b
    Examples:
      dragoman audit
      dragoman audit --limit 100 --json
    """
    from dragoman.runtime.documents import audit_document  # noqa: PLC0415

    async def work(runtime: Runtime) -> None:
        entries = [audit_document(one) for one in await runtime.store.audit(limit, before)]
        if as_json:
            show_json(entries)
        elif entries:
            headings = ("id", "at", "who", "action", "target", "changes")
            show_table(headings, [_row(entry) for entry in entries])
        else:
            say("Nothing was changed yet.")

    with_runtime(make_options(config, data_dir, database_url), work)


def _row(entry: dict[str, Any]) -> list[str]:
    place = f" {entry['address']}" if entry["address"] else ""
    changes = ", ".join(
        f"{field}: {_json(before)} → {_json(after)}"
        for field, (before, after) in entry["changes"].items()
    )
    return [
        str(entry["id"]),
        entry["at"][:19],
        f"{entry['actor']} ({entry['via']}{place})",
        entry["action"],
        entry["target"],
        changes if len(changes) <= _SHOWN_LETTERS else f"{changes[: _SHOWN_LETTERS - 1]}…",
    ]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
