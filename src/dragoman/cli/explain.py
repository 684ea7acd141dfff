"""``dragoman explain``: what became of one request, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from dragoman.cli.amounts import dollars
from dragoman.cli.options import AsJson, DatabaseUrl, DataDir, make_options
from dragoman.cli.output import marks, say, show_json
from dragoman.cli.request_log import duration_text, full_id, moment_text, printable, with_log

if TYPE_CHECKING:
    from dragoman.canonical.usage import Usage
    from dragoman.governance.record import RequestRecord, TriedCandidate
    from dragoman.store.request_log import SQLRequestLog

_ENDINGS = {
    "ok": "answered",
    "error": "refused or failed",
    "broken": "broke off after the answer had begun",
    "left": "the client left first",
}


def explain(
    *,
    request_id: Annotated[
        str, typer.Argument(metavar="ID", help="The request's id, or as it begins.")
    ],
    transcript: Annotated[
        bool, typer.Option("--transcript", help="Show prompt and answer too, if they were kept.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show what became of a request: which channels were tried or passed over and why, how long it
    took, what was lost in translation, and what it cost. The id stands in the answer's x-request-id
    header and in 'dragoman requests'.

    \b
    Examples:
      dragoman explain 0199c2a4-7b3e-7a1f
      dragoman explain 0199c2a4-7b3e-7a1f-8c5d-1f2e3d4c5b6a --json
    """

    async def work(log: SQLRequestLog) -> None:
        from dragoman.cli.output import CommandFailed  # noqa: PLC0415
        from dragoman.governance.record import as_document, without_transcript  # noqa: PLC0415

        found = await full_id(log, request_id)
        record = await log.get(found)
        if record is None:
            raise CommandFailed(f"The request {found} has just been pruned.")
        if as_json:
            show_json(as_document(record if transcript else without_transcript(record)))
            return
        for line in _story(record):
            say(line)
        for line in _transcript(record, shown=transcript):
            say(line)

    with_log(make_options(data_dir=data_dir, database_url=database_url), work)


def _story(record: RequestRecord) -> Iterator[str]:
    """Everything but prompt and answer."""
    yield f"Request {record.id}"
    yield from _asked(record)
    yield from _ended(record)
    yield from _candidates(record)
    yield ""
    yield "Timings"
    yield f"  waited for a free place  {duration_text(record.queued_ms)}"
    first = record.first_content_ms
    yield f"  first content after      {'none left' if first is None else duration_text(first)}"
    yield f"  over all                 {duration_text(record.duration_ms)}"
    yield from _translation(record)
    yield ""
    yield f"Usage  {'not known' if record.usage is None else _tokens(record.usage)}"
    yield f"Cost   {_money(record.cost_nano_usd)}"


def _asked(record: RequestRecord) -> Iterator[str]:
    how = " (streamed)" if record.stream else ""
    yield f"  {moment_text(record.started_at, exact=True)}  {printable(record.operation)}{how}"
    yield f"  asked for {printable(record.model) or 'no model'} as {printable(record.protocol)}"
    if record.key_name:
        yield f"  with the key {printable(record.key_name)} (id {printable(record.key_id)})"


def _ended(record: RequestRecord) -> Iterator[str]:
    good, bad = marks()
    mark = good if record.outcome == "ok" else bad
    answered = "from" if record.outcome in ("ok", "broken") else "last tried:"
    by = f" {answered} {printable(record.channel)}" if record.channel else ""
    model = f", model {printable(record.response_model)}" if record.response_model else ""
    ending = _ENDINGS.get(record.outcome, record.outcome)
    yield f"{mark} {record.status}{by}{model}: {ending}"
    if record.error is not None:
        code = f" ({printable(record.code)})" if record.code else ""
        yield f"  the client was told: {printable(record.error)}{code}"


def _candidates(record: RequestRecord) -> Iterator[str]:
    good, bad = marks()
    passed_over = "–" if good == "✓" else "--"
    ordered = f", ordered by {printable(record.strategy)}" if record.strategy else ""
    affine = f", kept to its {printable(record.affinity)}" if record.affinity else ""
    yield ""
    yield f"Candidates{ordered}{affine}"
    for tried in record.tried:
        yield f"  {good if tried.error is None else bad} {_try(tried)}"
        if tried.error is not None:
            yield f"      {_failure(tried)}"
    for skipped in record.skipped:
        yield f"  {passed_over} {printable(skipped.channel)}: {printable(skipped.reason)}"
    if not record.tried and not record.skipped:
        yield "  none: the request ended before a channel was chosen"


def _try(tried: TriedCandidate) -> str:
    credential = f", credential {tried.credential}" if tried.credential else ""
    model = f": {printable(tried.model)}" if tried.model else ""
    protocol = f" as {printable(tried.protocol)}" if tried.protocol else ""
    status = "no status" if tried.status is None else f"status {tried.status}"
    took = duration_text(tried.ended_ms - tried.began_ms)
    return (
        f"{printable(tried.channel)}{credential}{model}{protocol}, {status}, "
        f"{took} (from {duration_text(tried.began_ms)} to {duration_text(tried.ended_ms)})"
    )


def _failure(tried: TriedCandidate) -> str:
    code = f" ({printable(tried.code)})" if tried.code else ""
    verdict = f" [{printable(tried.verdict)}]" if tried.verdict else ""
    return f"{printable(tried.error or '')}{code}{verdict}"


def _translation(record: RequestRecord) -> Iterator[str]:
    if not record.notes:
        return
    yield ""
    yield "Translation"
    width = max(len(note.action.value) for note in record.notes)
    for note in record.notes:
        detail = f": {printable(note.detail)}" if note.detail else ""
        yield f"  {note.action.value:<{width}}  {printable(note.path)}{detail}"


def _tokens(usage: Usage) -> str:
    """The buckets that hold anything."""
    buckets = ((name, getattr(usage, name)) for name in usage.__struct_fields__)
    counts = [
        f"{name.replace('_', ' ')} {count}"
        for name, count in buckets
        if count and name != "estimated"
    ]
    return (", ".join(counts) or "no tokens") + (" (estimated)" if usage.estimated else "")


def _money(nano_usd: int | None) -> str:
    """Exact to the nano-dollar."""
    return "not priced" if nano_usd is None else dollars(nano_usd)


def _transcript(record: RequestRecord, *, shown: bool) -> Iterator[str]:
    kept = record.transcript
    if not shown:
        if kept is not None:
            yield ""
            yield "Prompt and answer were kept: --transcript shows them."
        return
    yield ""
    if kept is None:
        yield "Prompt and answer were not kept (setting log_prompts)."
        return
    for title, body in (("Prompt", kept.request), ("Answer", kept.answer)):
        yield title
        lines = body.decode("utf-8", errors="replace").splitlines()
        yield from (f"  {printable(line)}" for line in lines or ["(empty)"])
