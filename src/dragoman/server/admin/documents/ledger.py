"""The books, and sums of what was used."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from dragoman.server.admin.documents.common import Shown
from dragoman.server.admin.documents.records import Tokens


class Leg(Shown):
    """What an entry does to one account."""

    account: str = Field(
        description="`credit:<user id>`, `trial:<user id>`, `overrun:<user id>`, `operator`, `usage`, "
        "`cash`, `grants` or `adjustments`."
    )
    amount_nano_usd: int = Field(description="What comes to it, or leaves it if negative.")
    amount_usd: str = Field(description="The same in US dollars.")


class Entry(Shown):
    """One booking. Its legs sum to zero; nothing ever changes it."""

    number: int | None = Field(None, description="Its place in the books, counted from 1.")
    id: str = Field(description="The request's id, or one of its own.")
    kind: str = Field(
        description="`usage`, `overrun`, `attempt`, `topup`, `refund`, `adjustment`, `trial` or `orphan`."
    )
    at: str = Field(description="ISO 8601.")
    user_id: int = Field(description="Whose it is.")
    key_id: str = Field("", description="The key's id.")
    key_name: str = Field("", description="The key's name at that time.")
    operation: str = Field("", description="What was asked for.")
    protocol: str = Field("", description="What the client spoke.")
    model: str = Field("", description="The model asked for.")
    response_model: str = Field("", description="The model that answered.")
    channel_id: int | None = Field(None, description="The number of the channel that answered.")
    channel: str = Field("", description="Its name at that time.")
    provider: str = Field("", description="The provider's id.")
    outcome: str = Field("", description="How the request ended; of a trial, `started` or `ended`.")
    usage: Tokens | None = Field(None, description="What was used.")
    cost_nano_usd: int | None = Field(None, description="What it cost; null: nobody says.")
    cost_usd: str | None = Field(None, description="The same in US dollars.")
    price_source: str = Field("", description="Who said what it costs.")
    price_date: str = Field("", description="Of when that is.")
    request_ms: float = Field(0.0, description="How long the request took.")
    trial: bool = Field(False, description="Whether the user's trial paid.")
    actor: str = Field("", description="Who booked it by hand.")
    reason: str = Field("", description="Why.")
    legs: list[Leg] = Field([], description="What it moved.")


class Entries(Shown):
    """A page of the books, newest first."""

    entries: list[Entry] = Field(description="The entries.")
    next: int | None = Field(None, description="Give this as `before` to go on; null at the end.")


class Booked(Shown):
    """An entry, and what else was booked for the same request."""

    entries: list[Entry] = Field(description="The entries, oldest first.")


class _Sought(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user: int | None = Field(None, ge=1, le=2**53, description="The user's number.")
    key: str | None = Field(None, max_length=200, description="The key's id.")
    model: str | None = Field(None, max_length=400, description="The model asked for.")
    channel: str | None = Field(None, max_length=200, description="The channel's name.")
    provider: str | None = Field(None, max_length=200, description="The provider's id.")
    since: datetime.datetime | None = Field(
        None, description="Not older than this (ISO 8601; UTC if it names no zone; or Unix time)."
    )
    until: datetime.datetime | None = Field(None, description="Older than this.")


class EntryPage(_Sought):
    """Which entries."""

    kind: str | None = Field(None, max_length=20, description="The kind of entry.")
    limit: int = Field(50, ge=1, le=500, description="At most so many.")
    before: int | None = Field(
        None, ge=1, le=2**53, description="Only entries older than the one of this number."
    )
    format: Literal["json", "csv"] = Field(
        "json", description="`csv` gives everything that fits at once, oldest first."
    )


class UsagePage(_Sought):
    """Which usage, and how to sum it."""

    bucket: Literal["hour", "day", "month"] = Field("day", description="What to sum by.")
    by: Literal["user", "key", "model", "channel", "provider"] | None = Field(
        None, description="What else to sum by; left out, everything of a time is one sum."
    )
    attempts: bool = Field(
        False,
        description="Whether to sum what failed on the way to a fallback and cost the operator, instead "
        "of what users used.",
    )


class UsageRow(Shown):
    """What was used in an hour, day or month (UTC)."""

    start: str = Field(description="When it began (ISO 8601).")
    of: str | None = Field(None, description="The user's or key's id, or the model's … name.")
    name: str | None = Field(None, description="The same for people.")
    requests: int = Field(description="Requests that were served.")
    errors: int = Field(description="Those of them that failed.")
    input_tokens: int = Field(description="Tokens read.")
    cached_tokens: int = Field(description="Those of them that came from a provider's cache.")
    output_tokens: int = Field(description="Tokens written.")
    unpriced: int = Field(description="Requests without a known price; they are not in the cost.")
    estimated: int = Field(description="Requests whose tokens no provider has counted.")
    cost_nano_usd: int = Field(description="What it cost.")
    cost_usd: str = Field(description="The same in US dollars.")


class UsageRows(Shown):
    """What was used over time."""

    rows: list[UsageRow] = Field(description="The sums, oldest first.")
