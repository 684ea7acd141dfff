"""What is remembered: changes, and requests."""

from __future__ import annotations

import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dragoman.server.admin.documents.common import Shown

_LATEST = 2**53


class Change(Shown):
    """Something that was done over this API, the console or the command line."""

    id: int = Field(description="It grows from line to line.")
    at: str = Field(description="ISO 8601.")
    actor: str = Field(description="The name of the admin key.")
    via: str = Field(description="`key`, `session` or `cli`.")
    address: str = Field("", description="Where it was done from.")
    action: str = Field(description="`channel.add`, `key.revoke`, `sign-in.refused` …")
    target: str = Field("", description="What was changed.")
    changes: dict[str, Any] = Field(
        {}, description="Field → [before, after]; `***` stands for secrets."
    )


class Audit(Shown):
    """A page of the audit, newest first."""

    entries: list[Change] = Field(description="The lines.")
    next: int | None = Field(None, description="Give this as `before` to go on; null at the end.")


class AuditPage(BaseModel):
    """Which page of the audit."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=500, description="At most so many.")
    before: int | None = Field(
        None, ge=1, le=_LATEST, description="Only entries older than this id."
    )


class RequestPage(BaseModel):
    """Which requests."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=500, description="At most so many.")
    before: str | None = Field(
        None, max_length=100, description="The id of a request, to go on with what is older."
    )
    since: datetime.datetime | None = Field(
        None, description="Not older than this (ISO 8601; UTC if it names no zone; or Unix time)."
    )
    until: datetime.datetime | None = Field(None, description="Older than this.")
    channel: str | None = Field(None, max_length=200, description="The channel's name.")
    key: str | None = Field(None, max_length=200, description="The key's name.")
    model: str | None = Field(None, max_length=400, description="The model's name.")
    outcome: Literal["ok", "error", "broken", "left"] | None = Field(
        None, description="How it ended."
    )


class Tried(Shown):
    """One attempt. Times are milliseconds since the request began."""

    channel_id: int = Field(description="The channel's number.")
    channel: str = Field(description="The channel's name.")
    credential: int = Field(0, description="Counted from 1; 0 for a channel without credentials.")
    protocol: str = Field("", description="What was spoken with the provider.")
    model: str = Field("", description="The provider's name for the model.")
    began_ms: float = Field(0.0, description="When it began.")
    ended_ms: float = Field(0.0, description="When it was over.")
    status: int | None = Field(None, description="The provider's HTTP status, if it answered.")
    error: str | None = Field(None, description="What went wrong, in words.")
    code: str | None = Field(None, description="What went wrong, in a word for programs.")
    verdict: str = Field("", description="What that meant for the channel.")


class Skipped(Shown):
    """A candidate that was passed over."""

    channel_id: int = Field(description="The channel's number.")
    channel: str = Field(description="The channel's name.")
    reason: str = Field(description="Why, in words.")


class TranslationNote(Shown):
    """What became of a field in translation."""

    path: str = Field(description="Where the field stood, with dots between the steps.")
    action: str = Field(description="`kept`, `renamed`, `emulated`, `clamped` or `dropped`.")
    detail: str = Field("", description="More on it.")


class Tokens(Shown):
    """Tokens in buckets that do not overlap."""

    input: int = Field(0, description="Text read, as far as no cache had it.")
    cache_read: int = Field(0, description="Read from the provider's cache.")
    cache_write_5m: int = Field(0, description="Written to a cache for five minutes.")
    cache_write_1h: int = Field(0, description="Written to a cache for an hour.")
    input_audio: int = Field(0, description="Sound heard.")
    input_image: int = Field(0, description="Images seen.")
    output: int = Field(0, description="Text written for the client.")
    reasoning: int = Field(0, description="Thought.")
    output_audio: int = Field(0, description="Sound made.")
    output_image: int = Field(0, description="Images made.")
    estimated: bool = Field(False, description="Whether the provider reported none of this.")


class Transcript(Shown):
    """Prompt and answer as the client sent and got them."""

    request: str = Field(description="The body that the client sent.")
    answer: str = Field("", description="What it got; of a stream, the bytes of its events.")


class Request(Shown):
    """One request to the gateway. Durations are milliseconds."""

    id: str = Field(description="As in the response header `x-request-id`.")
    started_at: str = Field(description="ISO 8601.")
    operation: str = Field(description="What was asked for: `generate`, `embed`, `count_tokens` …")
    protocol: str = Field(description="What the client spoke.")
    model: str = Field(description="The model asked for.")
    stream: bool = Field(False, description="Whether the answer was to come in pieces.")
    key_id: str = Field("", description="The id of the key.")
    key_name: str = Field("", description="The name of the key at that time.")
    user_id: int = Field(0, description="The number of the key's user; 0 if not known.")
    status: int = Field(description="What the client got; 499: it left before.")
    outcome: str = Field(
        description="`ok`, `error` (refused or failed), `broken` (failed after content had left) or "
        "`left` (the client did)."
    )
    error: str | None = Field(None, description="What went wrong, in words.")
    code: str | None = Field(None, description="What went wrong, in a word for programs.")
    channel_id: int | None = Field(None, description="The number of the channel that answered.")
    channel: str | None = Field(None, description="Its name at that time.")
    response_model: str = Field("", description="The model that answered.")
    finish: str = Field("", description="Why the answer ended: `stop`, `length`, `tool_calls` …")
    queued_ms: float = Field(0.0, description="Waiting for a free place.")
    first_content_ms: float | None = Field(None, description="Until content left for the client.")
    duration_ms: float = Field(0.0, description="From the first byte to the last.")
    strategy: str = Field("", description="How the candidates were ordered.")
    affinity: str = Field("", description="Whether the conversation kept its channel.")
    tried: list[Tried] = Field([], description="Every attempt, in order.")
    skipped: list[Skipped] = Field([], description="Every candidate passed over, and why.")
    notes: list[TranslationNote] = Field([], description="What became of fields in translation.")
    usage: Tokens | None = Field(None, description="What was used; null if nothing was.")
    cost_nano_usd: int | None = Field(
        None, description="Billionths of a US dollar; null if the model has no known price."
    )
    transcript: Transcript | None = Field(
        None, description="Only if the setting `log_prompts` is on, and only for a single request."
    )


class Requests(Shown):
    """A page of the request log, newest first."""

    requests: list[Request] = Field(description="The requests.")
    next: str | None = Field(None, description="Give this as `before` to go on; null at the end.")
