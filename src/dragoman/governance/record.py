"""What the request log remembers of one request; prompts and secrets are not among it."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from dragoman.canonical.notes import Note
from dragoman.canonical.usage import Usage


class TriedCandidate(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One attempt. ``credential`` counts the channel's credentials from 1, 0 if it has none; times
    are milliseconds since the request began; ``verdict`` says what the outcome meant for the channel
    (``routing.verdict``), ``status`` the upstream's HTTP status if it answered."""

    channel_id: int
    channel: str
    credential: int = 0
    protocol: str = ""
    model: str = ""
    began_ms: float = 0.0
    ended_ms: float = 0.0
    status: int | None = None
    error: str | None = None
    code: str | None = None
    verdict: str = ""


class SkippedCandidate(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A candidate that was passed over, and why, in words for the operator."""

    channel_id: int
    channel: str
    reason: str


class Transcript(msgspec.Struct, kw_only=True, frozen=True):
    """Prompt and answer as the client sent and got them, kept only if the operator asked for it
    (``log_prompts``), sealed at rest, and never part of a list."""

    request: bytes
    answer: bytes = b""


class RequestRecord(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One request, as ``dragoman explain`` shows it.

    ``id`` is a UUID of version 7 made when the request came, so that the order of ids is the order of
    time: lists are sorted and continued by it. ``started_at`` is Unix time; durations are
    milliseconds: ``queued_ms`` waiting for a free place, ``first_content_ms`` until the first content
    left for the client (None if none did), ``duration_ms`` over all. ``model`` is the name asked for,
    ``channel`` the one that answered or was tried last. ``status`` is what the client got (499: it
    left first), ``error`` what it was told. ``outcome`` is ``ok``, ``error`` (refused or failed),
    ``broken`` (failed after content had left) or ``left``.
    ``finish`` says why the answer ended (``canonical.response.FinishReason``), empty if that is not
    known. ``cost_nano_usd`` None means not priced; ``user_id`` is whose key it was.
    """

    id: str
    started_at: float
    operation: str
    protocol: str
    model: str
    stream: bool = False
    key_id: str = ""
    key_name: str = ""
    status: int = 0
    outcome: str = "ok"
    error: str | None = None
    code: str | None = None
    channel_id: int | None = None
    channel: str | None = None
    response_model: str = ""
    finish: str = ""
    queued_ms: float = 0.0
    first_content_ms: float | None = None
    duration_ms: float = 0.0
    strategy: str = ""
    affinity: str = ""
    tried: tuple[TriedCandidate, ...] = ()
    skipped: tuple[SkippedCandidate, ...] = ()
    notes: tuple[Note, ...] = ()
    usage: Usage | None = None
    cost_nano_usd: int | None = None
    user_id: int = 0
    transcript: Transcript | None = None


class Filter(msgspec.Struct, kw_only=True, frozen=True):
    """Which records to list, newest first. ``before`` is a record's id to go on from; the times are
    Unix time, ``since`` included and ``until`` not; ``channel``, ``key`` and ``model`` are exact
    names, ``outcome`` as in RequestRecord."""

    limit: int = 50
    before: str | None = None
    since: float | None = None
    until: float | None = None
    channel: str | None = None
    key: str | None = None
    model: str | None = None
    outcome: str | None = None

    def fits(self, record: RequestRecord) -> bool:
        """Whether ``record`` is wanted, ``limit`` aside."""
        return (
            (self.before is None or record.id < self.before)
            and (self.since is None or record.started_at >= self.since)
            and (self.until is None or record.started_at < self.until)
            and self.channel in (None, record.channel)
            and self.key in (None, record.key_name)
            and self.model in (None, record.model)
            and self.outcome in (None, record.outcome)
        )


def without_transcript(record: RequestRecord) -> RequestRecord:
    """The record as lists show it."""
    if record.transcript is None:
        return record
    return msgspec.structs.replace(record, transcript=None)


def first_id(at: float) -> str:
    """What no id made at or after the Unix time ``at`` sorts below, and every earlier one does (to
    the millisecond): the beginning of a UUID of version 7, RFC 9562 section 5.7."""
    digits = f"{min(max(int(at * 1000), 0), 2**48 - 1):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def as_document(record: RequestRecord) -> dict[str, Any]:
    """The record as plain JSON values with every field named, defaults too. A transcript's bytes
    become text; what is not UTF-8 in them shows as U+FFFD."""
    document: dict[str, Any] = _plain(record)
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value.value if isinstance(value, enum.Enum) else value
