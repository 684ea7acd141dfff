"""What ``dragoman requests`` and ``dragoman explain`` share: the log opened beside a running gateway,
and its values in words."""

from __future__ import annotations

import asyncio
import datetime
import difflib
import re
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import typer

from dragoman.cli.options import opened_store
from dragoman.cli.output import CommandFailed

if TYPE_CHECKING:
    from dragoman.runtime import Options
    from dragoman.store.request_log import SQLRequestLog

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d{1,6})\s*([smhdw])")
_DATED_ID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7.*")
_COMPARED = 500
_MAX_SHOWN = 5
_JUST_NOW_SECONDS = 600.0


def with_log(options: Options, work: Callable[[SQLRequestLog], Coroutine[Any, Any, None]]) -> None:
    """Open the database, do ``work`` with its request log, close it. Raises as ``opened_store``."""

    async def run() -> None:
        async with opened_store(options) as opened:
            await work(opened.store.request_log())

    asyncio.run(run())


async def full_id(log: SQLRequestLog, given: str) -> str:
    """The one id that is ``given`` or begins with it. Raises CommandFailed, with what may be wrong."""
    wanted = given.strip().lower()
    found = await log.ids(wanted, _MAX_SHOWN + 1) if wanted.isascii() else []
    if len(found) == 1 or wanted in found:
        return found[0] if len(found) == 1 else wanted
    if found:
        shown = "".join(f"\n  {one}" for one in found[:_MAX_SHOWN])
        more = "\n  ..." if len(found) > _MAX_SHOWN else ""
        raise CommandFailed(f"Several requests begin with {given!r}, newest first:{shown}{more}")
    raise CommandFailed(f"No request in the log has the id {given!r}. {await _why(log, wanted)}")


async def _why(log: SQLRequestLog, wanted: str) -> str:
    """What may be wrong with an id that is not in the log."""
    oldest = await log.reaches_back_to()
    if oldest is None:
        return (
            "The log is empty: it is switched off (setting request_log_limit 0), nothing was asked "
            "yet, or this is another gateway's data directory (--data-dir)."
        )
    known = await log.ids("", _COMPARED)
    if wanted.isascii():
        known += await log.neighbours(wanted)
    if near := difflib.get_close_matches(wanted, known, n=1, cutoff=0.85):
        return f"Did you mean {near[0]}?"
    if (dated := _DATED_ID.fullmatch(wanted)) is None:
        return (
            "An id looks like 0199c2a4-7b3e-7a1f-8c5d-1f2e3d4c5b6a: it stands in every answer's "
            "x-request-id header, and 'dragoman requests' lists them."
        )
    began = int(dated[1] + dated[2], 16) / 1000
    if began < oldest:
        return (
            f"It is of {moment_text(began)}, and the log reaches back to {moment_text(oldest)}: "
            "older requests were pruned (settings request_log_limit, request_log_days)."
        )
    if time.time() - began < _JUST_NOW_SECONDS:
        return "A request is in the log a second after it has ended; is this one still running?"
    return (
        f"It is of {moment_text(began)}: it may be another gateway's (--data-dir), or the gateway "
        "ended before it was written."
    )


def since_moment(text: str, option: str = "--since") -> float:
    """The moment (Unix time) that ``1h`` ago or a date means. Raises BadParameter."""
    from dragoman.config.checks import moment  # noqa: PLC0415 - not needed for --help
    from dragoman.config.problems import Refusal  # noqa: PLC0415

    if found := _AGO.fullmatch(text.strip().lower()):
        return time.time() - int(found[1]) * _UNITS[found[2]]
    try:
        return moment(text.strip())
    except Refusal:
        raise typer.BadParameter(
            "give a time that has passed since, such as 30m, 1h or 2d, or a date such as 2027-01-31",
            param_hint=option,
        ) from None


def moment_text(seconds: float, *, exact: bool = False) -> str:
    """Unix time as ISO 8601 in UTC, to the second or ``exact`` to the millisecond."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    text = moment.isoformat(timespec="milliseconds" if exact else "seconds")
    return text.replace("+00:00", "Z")


def duration_text(milliseconds: float) -> str:
    """``85 ms`` or ``1.23 s``."""
    if milliseconds < 999.5:
        return f"{milliseconds:.1f} ms" if 0 < milliseconds < 10 else f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.2f} s"


def printable(text: str) -> str:
    """Text from outside, made harmless to a terminal: what it would act on shows as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
