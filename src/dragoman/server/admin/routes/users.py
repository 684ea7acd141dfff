"""Users, credits and trials."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Response

from dragoman.governance.statements import Sought
from dragoman.server.admin.documents.common import Described
from dragoman.server.admin.documents.ledger import Entry
from dragoman.server.admin.documents.user import (
    CreditNew,
    Statement,
    StatementPage,
    TrialNew,
    User,
    UserChange,
    UserNew,
    Users,
)
from dragoman.server.admin.problems import REFUSED, Problem
from dragoman.server.admin.routes.desk import AtDesk, By, Document, UserId
from dragoman.server.admin.routes.ledger import as_csv, unix

router = APIRouter(tags=["users"])

NewBody = Annotated[dict[str, Any], Described(UserNew), Body()]
ChangeBody = Annotated[dict[str, Any], Described(UserChange), Body()]
CreditBody = Annotated[dict[str, Any], Described(CreditNew), Body()]
TrialBody = Annotated[dict[str, Any], Described(TrialNew), Body()]
_KEY = "Idempotency-Key"
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=_KEY,
        description="A text of your choice, up to 255 visible ASCII characters. Sent again with the same "
        "body, nothing is booked again and the answer is the first one's.",
    ),
]
_MOST_LETTERS = 255


@router.get("/users", response_model=Users)
async def list_users(desk: AtDesk) -> Document:
    """Every user. The first, `default`, owns the keys that name no other; the second, `anonymous`, is
    who asks without a key."""
    return {"users": await desk.administration.accounts.users()}


@router.post("/users", response_model=User, status_code=201)
async def add_user(body: NewBody, by: By, desk: AtDesk) -> Document:
    """Make a user. There is no removing one, because the books name users for good: disable it."""
    return await desk.administration.accounts.add_user(body, by)


@router.get("/users/{user_id}", response_model=User)
async def show_user(user_id: UserId, desk: AtDesk) -> Document:
    """A user, and how the credit account stands at this moment."""
    return await desk.administration.accounts.user(user_id)


@router.patch("/users/{user_id}", response_model=User)
async def change_user(user_id: UserId, body: ChangeBody, by: By, desk: AtDesk) -> Document:
    """Change a user's name, limits, budget or switches. The next request meets the change."""
    return await desk.administration.accounts.change_user(user_id, body, by)


@router.post("/users/{user_id}/credits", response_model=Entry, status_code=201)
async def book_credit(
    user_id: UserId, body: CreditBody, by: By, desk: AtDesk, idempotency_key: IdempotencyKey = None
) -> Document:
    """Top an account up, give back, or correct. The answer is the entry in the books."""
    key = idempotency_key or ""
    if idempotency_key is not None and not _is_good(key):
        words = f"must be 1 to {_MOST_LETTERS} visible ASCII characters"
        raise Problem(REFUSED, f"{_KEY}: {words}.", problems=[(_KEY, words)])
    return await desk.administration.accounts.book_credit(user_id, body, by, key)


@router.post("/users/{user_id}/trial", response_model=User)
async def start_trial(user_id: UserId, body: TrialBody, by: By, desk: AtDesk) -> Document:
    """Begin a trial, in place of the one there may be. What is left out is as usual: 3 days, 10 US
    dollars, 100,000 tokens, 1,000 requests; null is no bound."""
    return await desk.administration.accounts.start_trial(user_id, body, by)


@router.delete("/users/{user_id}/trial", response_model=User)
async def end_trial(user_id: UserId, by: By, desk: AtDesk) -> Document:
    """End a trial; from now on requests are charged to the account."""
    return await desk.administration.accounts.end_trial(user_id, by)


@router.get("/users/{user_id}/statement", response_model=Statement)
async def show_statement(
    user_id: UserId, page: Annotated[StatementPage, Query()], desk: AtDesk
) -> Document | Response:
    """What moved the credit account, newest first, with the balance after each line. As CSV it is
    every entry of the user's, oldest first."""
    since, until = unix(page.since), unix(page.until)
    if page.format == "csv":
        sought = Sought(user_id=user_id, since=since, until=until)
        return await as_csv(desk, sought, f"statement-{user_id}")
    return await desk.administration.accounts.statement(
        user_id, since, until, page.limit, page.before
    )


def _is_good(key: str) -> bool:
    return 0 < len(key) <= _MOST_LETTERS and key.isascii() and key.isprintable() and " " not in key
