"""Virtual keys."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from dragoman.server.admin.documents.common import Given, Names, Shown, change_of
from dragoman.server.admin.documents.money import (
    BUDGET,
    LIMITS,
    METADATA,
    BudgetGiven,
    BudgetShown,
    LimitsGiven,
    LimitsShown,
    empty,
)


class _KeyFields(Given):
    name: str = Field(
        max_length=200,
        description="What to call it; no other key has the name, and it is not digits only.",
        examples=["alice"],
    )
    enabled: bool = Field(True, description="A switch; off, requests with the key get 401.")
    allowed_channels: list[str | int] = Field(
        [], description="Names or ids of the channels it may use; none listed means all."
    )
    allowed_models: Names = Field(
        [], description="The models it may use; none listed means all. A list, or text with commas."
    )
    strict: bool = Field(
        False, description="Whether to refuse its requests that would lose a field in translation."
    )
    admin: bool = Field(False, description="Whether it opens this API.")
    expires_at: str | None = Field(
        None,
        description="A date or time (ISO 8601; UTC if it names no zone) from which on it is refused. "
        "null: never.",
        examples=["2027-01-31T00:00:00Z"],
    )
    user: str = Field("default", max_length=200, description="The name of the user it belongs to.")
    limits: LimitsGiven = LIMITS
    budget: BudgetGiven = BUDGET
    metadata: dict[str, Any] = METADATA


class KeyNew(_KeyFields):
    """A key to make."""

    key: str = Field(
        "",
        max_length=512,
        description="A text of one's own. Left out, a random one is made, which is better.",
    )


KeyChange = change_of(
    _KeyFields,
    "KeyChange",
    "A change of a key: fields that are left out stay, null resets one to its default.",
)


class Key(Shown):
    """A virtual key; its text is kept nowhere."""

    id: str = Field(description="What this API calls it.")
    name: str = Field(description="What people call it.")
    hint: str = Field("", description="How its text begins.")
    enabled: bool = Field(description="A switch.")
    admin: bool = Field(False, description="Whether it opens this API.")
    allowed_channels: list[str] = Field([], description="Names or ids; none listed means all.")
    allowed_models: list[str] = Field([], description="None listed means all.")
    strict: bool = Field(False, description="Whether nothing may be lost in translation.")
    user: str = Field("default", description="The name of the user it belongs to.")
    limits: LimitsShown = empty("Its own limits, beside its user's.")
    budget: BudgetShown = empty("Its own budget, beside its user's.")
    metadata: dict[str, Any] = Field({}, description="The operator's own.")
    created_at: str | None = Field(None, description="ISO 8601; null if not known.")
    last_used_at: str | None = Field(None, description="ISO 8601; null if it never was.")
    expires_at: str | None = Field(None, description="ISO 8601; null for never.")
    revoked_at: str | None = Field(None, description="ISO 8601; null if it was not.")
    source: str = Field(
        description="Where it comes from: `database`, `file`, `environment` or `demo`."
    )
    editable: bool = Field(description="Whether this API can change it.")


class Keys(Shown):
    """Every virtual key."""

    keys: list[Key] = Field(description="The keys.")


class KeyMade(Shown):
    """A key that was just made."""

    key: str = Field(description="The key's text. It is shown this once and kept nowhere.")
    document: Key = Field(description="Everything else about it.")
