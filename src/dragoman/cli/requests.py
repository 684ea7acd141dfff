"""``dragoman requests``: the request log, newest first."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dragoman.cli.options import AsJson, DatabaseUrl, DataDir, make_options
from dragoman.cli.output import say, show_json, show_table
from dragoman.cli.request_log import (
    duration_text,
    moment_text,
    printable,
    since_moment,
    with_log,
)

if TYPE_CHECKING:
    from dragoman.governance.record import Filter, RequestRecord
    from dragoman.store.request_log import SQLRequestLog

_HEADINGS = ("time", "id", "key", "model", "channel", "status", "duration")
_WIDTHS = (20, 18, 16, 28, 16, 10, 0)
_ID_LETTERS = 18
"""As much of an id as tells its time to a quarter of a microsecond: enough to find it by."""
_CELL_LETTERS = 60  # clients choose what they ask for
_FOLLOW_SECONDS = 1.0


def requests(
    *,
    channel: Annotated[
        str | None,
        typer.Option("--channel", metavar="NAME", help="Only those that came to it last."),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="NAME", help="Only those of this key.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Only those that asked for it.")
    ] = None,
    outcome: Annotated[
        Literal["ok", "error", "broken", "left"] | None,
        typer.Option(
            "--outcome",
            help="Only those that ended so; broken: it failed after the answer had begun; left: the "
            "client went away.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="WHEN", help="Only those begun since 30m, 1h, 2d or a date."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=1_000_000, help="At most so many.")
    ] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new ones as they end, newest last.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show what was asked, newest first. A request is listed within a second after it has ended. The
    letters of its id that are shown are enough for 'dragoman explain'.

    \b
    Examples:
      dragoman requests --outcome error --since 1h
      dragoman requests --channel main --follow
      dragoman requests --json --limit 1000 | jq '.[].usage.output'
    """
    from dragoman.governance.record import Filter  # noqa: PLC0415 - not needed for --help

    for option, name in {"--channel": channel, "--key": key, "--model": model}.items():
        if name is not None and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise typer.BadParameter("is not UTF-8", param_hint=option)
    wanted = Filter(
        limit=limit,
        channel=channel,
        key=key,
        model=model,
        outcome=outcome,
        since=None if since is None else since_moment(since),
    )

    async def work(log: SQLRequestLog) -> None:
        if follow:
            await _follow(log, wanted, as_json)
        else:
            await _list(log, wanted, as_json)

    with contextlib.suppress(KeyboardInterrupt):  # how a person ends --follow
        with_log(make_options(data_dir=data_dir, database_url=database_url), work)


async def _list(log: SQLRequestLog, wanted: Filter, as_json: bool) -> None:
    from dragoman.governance.record import as_document  # noqa: PLC0415

    records = await log.find(wanted)
    if as_json:
        show_json([as_document(record) for record in records])
    elif records:
        show_table(_HEADINGS, [_cells(record) for record in records])
    elif await log.reaches_back_to() is None:
        say("The request log is empty. Is it switched off (setting request_log_limit 0)?")
    else:
        say("No request in the log is like that.")


async def _follow(log: SQLRequestLog, wanted: Filter, as_json: bool) -> None:
    """Show the newest, then look every second for more, until interrupted."""
    if not as_json:
        say(_line([heading.upper() for heading in _HEADINGS]))
    position = await log.position()
    newest = [*reversed(await log.find(wanted))]
    shown = {record.id for record in newest}
    for record in newest:
        _show(record, as_json)
    while True:
        await asyncio.sleep(_FOLLOW_SECONDS)
        position, written = await log.written_after(position)
        for record in written:
            if wanted.fits(record) and record.id not in shown:
                _show(record, as_json)


def _show(record: RequestRecord, as_json: bool) -> None:
    """One line."""
    from dragoman.governance.record import as_document  # noqa: PLC0415

    if as_json:
        say(json.dumps(as_document(record), ensure_ascii=False))
    else:
        say(_line(_cells(record)))


def _line(cells: Sequence[str]) -> str:
    """Cells in columns of a fixed width, because later rows are not known yet."""
    padded = (cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
    return "  ".join(padded).rstrip()


def _cells(record: RequestRecord) -> list[str]:
    ended_otherwise = record.outcome in ("broken", "left")
    return [
        moment_text(record.started_at),
        record.id[:_ID_LETTERS],
        _name(record.key_name),
        _name(record.model),
        _name(record.channel or ""),
        f"{record.status} {record.outcome}" if ended_otherwise else str(record.status),
        duration_text(record.duration_ms),
    ]


def _name(text: str) -> str:
    cut = text if len(text) <= _CELL_LETTERS else f"{text[: _CELL_LETTERS - 3]}..."
    return printable(cut) or "-"
