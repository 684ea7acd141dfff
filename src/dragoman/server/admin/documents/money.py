"""Limits, budgets and amounts, as keys, users and settings have them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

# pydantic reads no other TypedDict before Python 3.12.
from typing_extensions import TypedDict

from dragoman.server.admin.documents.common import Shown

MOST = 10**12

_MOST_USD = 2**62 / 10**9

Dollars = Annotated[float, Field(ge=-_MOST_USD, le=_MOST_USD)]
Positive = Annotated[float, Field(gt=0, le=_MOST_USD)]
_Requests = Annotated[int, Field(ge=1, le=MOST, description="So many requests may begin.")]
_Tokens = Annotated[
    int, Field(ge=1, le=MOST, description="So many tokens may be read and written.")
]
_AtOnce = Annotated[
    int, Field(ge=1, le=1_000_000, description="So many requests may be under way at once.")
]
_Amount = Annotated[
    Annotated[float, Field(ge=0, le=_MOST_USD)] | str,
    Field(description="The most that may be spent, in US dollars; text is as good as a number."),
]
_Spent = Annotated[str, Field(description="US dollars.")]


class LimitsGiven(TypedDict, total=False):
    """Limits; what is left out is not limited."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]

    requests_per_minute: _Requests
    requests_per_hour: _Requests
    requests_per_day: _Requests
    tokens_per_minute: _Tokens
    tokens_per_hour: _Tokens
    tokens_per_day: _Tokens
    concurrent_requests: _AtOnce


class LimitsShown(TypedDict, total=False):
    """Limits; what is left out is not limited."""

    requests_per_minute: _Requests
    requests_per_hour: _Requests
    requests_per_day: _Requests
    tokens_per_minute: _Tokens
    tokens_per_hour: _Tokens
    tokens_per_day: _Tokens
    concurrent_requests: _AtOnce


class BudgetGiven(TypedDict, total=False):
    """The most that may be spent in a calendar day, week (from Monday) and month, all UTC, and in all;
    what is left out is not bounded."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]

    day: _Amount
    week: _Amount
    month: _Amount
    total: _Amount


class BudgetShown(TypedDict, total=False):
    """The most that may be spent in a calendar day, week (from Monday) and month, all UTC, and in all;
    what is left out is not bounded."""

    day: _Spent
    week: _Spent
    month: _Spent
    total: _Spent


def empty(description: str) -> Any:
    """A field that is an empty object unless something is said. (A TypedDict has no other default.)"""
    return Field({}, description=description)


LIMITS: Any = Field(
    {},
    description="How much may be asked, and how much at once; what is left out is not limited.",
    examples=[{"requests_per_minute": 60, "concurrent_requests": 5}],
)
BUDGET: Any = Field(
    {},
    description="The most that may be spent, in US dollars, in a calendar day, week (from Monday) and "
    "month (UTC) and in all.",
    examples=[{"day": 5, "month": "100"}],
)
METADATA: Any = Field({}, description="An object of the operator's own.")


class Spent(Shown):
    """What was spent in the present day, week and month (UTC) and in all, in US dollars."""

    day: str = Field(description="Today.")
    week: str = Field(description="Since Monday.")
    month: str = Field(description="Since the first.")
    total: str = Field(description="Ever.")
