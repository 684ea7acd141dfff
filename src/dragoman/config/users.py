"""Users and bookings as an operator writes them: over the admin API and on the command line. Pure."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from dragoman.config import checks, limits
from dragoman.config.checks import Check
from dragoman.config.fields import read_fields
from dragoman.config.problems import Problem, Refusal
from dragoman.governance.money import MOST_NANO, usd_text
from dragoman.governance.users import ANONYMOUS_USER_ID, DEFAULT_USER_ID, Trial, User

TRIAL_DAYS = 3
TRIAL_USD = "10"
TRIAL_TOKENS = 100_000
TRIAL_REQUESTS = 1_000
"""What a trial allows if nothing else is said."""

_DAY_SECONDS = 86_400
_MOST_DAYS = 3650
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


def email(value: Any) -> str:
    """Something that a letter could be sent to; nothing else is made of it. Raises Refusal."""
    address = checks.text(value)
    if not _EMAIL.fullmatch(address):
        raise Refusal("must be an address such as ann@example.com")
    return address


USER: Mapping[str, Check] = {
    "name": checks.label,
    "email": checks.blank_or(email, blank=("",), then=""),
    "enabled": checks.boolean,
    "prepaid": checks.boolean,
    "limits": limits.limits,
    "budget": limits.budget,
    "metadata": limits.metadata,
}
"""What of a user can be given and changed."""
USER_FIELDS = (*USER, "trial")

TRIAL: Mapping[str, Check] = {
    "days": checks.positive(_MOST_DAYS),
    "usd": checks.nullable(limits.positive_amount),
    "tokens": checks.nullable(checks.whole(1, limits.MOST)),
    "requests": checks.nullable(checks.whole(1, limits.MOST)),
}

CREDIT: Mapping[str, Check] = {
    "kind": checks.one_of("topup", "refund", "adjustment"),
    "amount_usd": checks.nullable(limits.amount),
    "amount_nano_usd": checks.nullable(checks.whole(-MOST_NANO, MOST_NANO)),
    "reason": checks.blank_or(checks.text, blank=("",), then=""),
    "request_id": checks.blank_or(checks.text, blank=("",), then=""),
}


class Credit(msgspec.Struct, kw_only=True, frozen=True):
    """A booking by hand: ``nano`` USD come to the user's credit, or leave it if negative. A refund may
    be for one request."""

    kind: str
    nano: int
    reason: str = ""
    request_id: str = ""


def read_user(raw: Any) -> dict[str, Any]:
    """The fields of a new user. Raises Refusal."""
    return read_fields(raw, USER, required=("name",))


def changed_user(user: User, changes: Mapping[str, Any]) -> User:
    """``user`` with the changes made; null resets a field. Raises Refusal."""
    defaults = User(id=user.id, name=user.name)
    given = {name: value for name, value in changes.items() if value is not None}
    fields = read_fields(given, USER)
    for name in changes:
        if name in USER and name not in fields:
            fields[name] = getattr(defaults, name)
    if changes.get("name", "") is None:
        raise Refusal(Problem("name", "must not be null: every user has one"))
    after = msgspec.structs.replace(user, **fields)
    if user.id in (DEFAULT_USER_ID, ANONYMOUS_USER_ID) and after.name != user.name:
        raise Refusal(Problem("name", f"of the built-in user {user.name!r} never changes"))
    if user.id == DEFAULT_USER_ID and not after.enabled:
        raise Refusal(
            Problem(
                "enabled",
                f"the user {user.name!r} owns every key that names no other, and cannot be disabled; "
                "disable the keys",
            )
        )
    return after


def read_trial(raw: Any, now: float) -> Trial:
    """A trial that begins at ``now`` (Unix time); what is left out is as usual, null is no bound.
    Raises Refusal."""
    usual = {
        "days": TRIAL_DAYS,
        "usd": TRIAL_USD,
        "tokens": TRIAL_TOKENS,
        "requests": TRIAL_REQUESTS,
    }
    given = usual | raw if isinstance(raw, dict) else raw
    fields = read_fields(given, TRIAL)
    return Trial(
        ends_at=now + fields["days"] * _DAY_SECONDS,
        nano_usd=fields["usd"],
        tokens=fields["tokens"],
        requests=fields["requests"],
    )


def trial_document(trial: Trial) -> dict[str, Any]:
    """A trial as it is shown."""
    ends = datetime.datetime.fromtimestamp(int(trial.ends_at), datetime.UTC)
    return {
        "ends_at": ends.isoformat().replace("+00:00", "Z"),
        "usd": None if trial.nano_usd is None else usd_text(trial.nano_usd),
        "tokens": trial.tokens,
        "requests": trial.requests,
    }


def read_credit(raw: Any) -> Credit:
    """A booking that is asked for. Raises Refusal."""
    fields = read_fields(raw, CREDIT, required=("kind",))
    named = [name for name in ("amount_usd", "amount_nano_usd") if fields.get(name) is not None]
    if not named:
        raise Refusal(Problem("amount_usd", "is missing"))
    if len(named) > 1:
        raise Refusal(Problem("amount_nano_usd", "says the same as amount_usd: give one of them"))
    nano: int = fields[named[0]]
    kind: str = fields["kind"]
    if nano == 0:
        raise Refusal(Problem(named[0], "must not be zero"))
    if nano < 0 and kind != "adjustment":
        raise Refusal(
            Problem(
                named[0], f"must be more than zero; what a {kind} cannot take an adjustment can"
            )
        )
    request_id = fields.get("request_id", "")
    if request_id and kind != "refund":
        raise Refusal(Problem("request_id", f"is for a refund, not for a {kind}"))
    return Credit(kind=kind, nano=nano, reason=fields.get("reason", ""), request_id=request_id)
