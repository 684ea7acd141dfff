"""Users, trials and credits."""

from __future__ import annotations

import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dragoman.server.admin.documents.common import Given, Shown, change_of
from dragoman.server.admin.documents.ledger import Entry
from dragoman.server.admin.documents.money import (
    BUDGET,
    LIMITS,
    METADATA,
    MOST,
    BudgetGiven,
    BudgetShown,
    Dollars,
    LimitsGiven,
    LimitsShown,
    Positive,
    Spent,
)

_MOST_NANO = 2**62


class _UserFields(Given):
    name: str = Field(
        max_length=200,
        description="What to call the user; no other has the name, in whatever case, and it is not "
        "digits only.",
        examples=["alice"],
    )
    email: str = Field("", max_length=200, description="Only remembered.")
    enabled: bool = Field(
        True, description="A switch; off, requests with any of the user's keys get 401."
    )
    prepaid: bool = Field(
        False,
        description="Whether requests are paid from the credit account beforehand, and refused with 402 "
        "when it cannot pay; otherwise the account only counts.",
    )
    limits: LimitsGiven = LIMITS
    budget: BudgetGiven = BUDGET
    metadata: dict[str, Any] = METADATA


class TrialNew(Given):
    """A trial to begin: what may be used for nothing. null is no bound."""

    days: float = Field(3, gt=0, le=3650, description="So long it lasts.")
    usd: Positive | str | None = Field("10", description="US dollars' worth of requests.")
    tokens: int | None = Field(100_000, ge=1, le=MOST, description="Tokens read and written.")
    requests: int | None = Field(1_000, ge=1, le=MOST, description="Requests that were served.")


class UserNew(_UserFields):
    """A user to make."""

    trial: TrialNew | None = Field(None, description="Begin a trial; `{}` is the usual one.")


UserChange = change_of(
    _UserFields,
    "UserChange",
    "A change of a user: fields that are left out stay, null resets one to its default.",
)


class UserTrial(Shown):
    """A trial that was begun; what is used of it stands in the books."""

    ends_at: str = Field(description="ISO 8601.")
    usd: str | None = Field(description="The whole allowance in US dollars; null for no bound.")
    tokens: int | None = Field(description="The whole allowance; null for no bound.")
    requests: int | None = Field(description="The whole allowance; null for no bound.")


class User(Shown):
    """Who owns keys and a credit account."""

    id: int = Field(description="What this API calls the user; never used again.")
    name: str = Field(description="What people call the user.")
    email: str = Field("", description="Only remembered.")
    enabled: bool = Field(description="A switch.")
    prepaid: bool = Field(description="Whether requests are paid from the account beforehand.")
    limits: LimitsShown = Field(description="Limits over all of the user's keys.")
    budget: BudgetShown = Field(description="Budget over all of the user's keys.")
    trial: UserTrial | None = Field(description="The present trial.")
    metadata: dict[str, Any] = Field(description="The operator's own.")
    created_at: str | None = Field(None, description="ISO 8601; null for the built-in users.")
    balance_nano_usd: int = Field(description="The credit account.")
    balance_usd: str = Field(description="The same in US dollars.")
    held_nano_usd: int = Field(description="Held for requests under way.")
    held_usd: str = Field(description="The same in US dollars.")
    available_nano_usd: int = Field(description="The balance without what is held.")
    available_usd: str = Field(description="The same in US dollars.")
    spent: Spent = Field(description="What was spent.")


class Users(Shown):
    """Every user."""

    users: list[User] = Field(description="The users, oldest first.")


class CreditNew(Given):
    """A booking on a user's credit account. Give one of the two amounts."""

    kind: Literal["topup", "refund", "adjustment"] = Field(
        description="`topup`: the user paid; `refund`: what requests took is given back; `adjustment`: "
        "a correction, which may be negative."
    )
    amount_usd: Dollars | str | None = Field(
        None, description="US dollars; text is as good as a number.", examples=["25.00"]
    )
    amount_nano_usd: int | None = Field(
        None, ge=-_MOST_NANO, le=_MOST_NANO, description="Billionths of a US dollar."
    )
    reason: str = Field("", max_length=200, description="For whoever reads the statement.")
    request_id: str = Field(
        "",
        max_length=200,
        description="The request a refund is for; it can be refunded once, and no more than it took.",
    )


class StatementPage(BaseModel):
    """Which part of a statement."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=500, description="At most so many lines.")
    before: int | None = Field(
        None, ge=1, le=2**53, description="Only lines older than the one of this number."
    )
    since: datetime.datetime | None = Field(
        None, description="Not older than this (ISO 8601; UTC if it names no zone; or Unix time)."
    )
    until: datetime.datetime | None = Field(None, description="Older than this.")
    format: Literal["json", "csv"] = Field(
        "json", description="`csv` gives every entry of the user's at once, oldest first."
    )


class StatementLine(Entry):
    """An entry and what it did to the credit account."""

    amount_nano_usd: int = Field(description="What came to the account, or left it.")
    amount_usd: str = Field(description="The same in US dollars.")
    balance_nano_usd: int = Field(description="What the account held afterwards.")
    balance_usd: str = Field(description="The same in US dollars.")


class Statement(Shown):
    """A user's credit account, newest line first."""

    user_id: int = Field(description="Whose it is.")
    opening_nano_usd: int = Field(description="The balance when the time began.")
    opening_usd: str = Field(description="The same in US dollars.")
    closing_nano_usd: int = Field(description="The balance when it ended.")
    closing_usd: str = Field(description="The same in US dollars.")
    lines: list[StatementLine] = Field(description="What moved the account.")
    next: int | None = Field(None, description="Give this as `before` to go on; null at the end.")
