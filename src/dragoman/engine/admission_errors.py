"""What a client is told when its limits or its money do not allow a request.

Only a rate limit looks retryable. Money that is out is 402, with the protocol's own quota code: a 429
for it once made a client retry 1.6 million times (topoteretes/cognee#4321).
"""

from __future__ import annotations

import datetime
import math

from dragoman.canonical.errors import (
    CreditExhausted,
    Forbidden,
    GatewayError,
    NotConfigured,
    RateLimited,
    Unavailable,
)
from dragoman.governance.limits import Refusal
from dragoman.governance.money import dollars, usd_text
from dragoman.governance.purse import TrialUse

_AT_ONCE_SECONDS = 1.0


def rate_limited(scope: str, refusal: Refusal) -> GatewayError:
    """429 for a limit of ``scope`` (``key``, ``user``, ``gateway``)."""
    seconds = _AT_ONCE_SECONDS if refusal.seconds is None else refusal.seconds
    whose = {"key": "This key's", "user": "Your account's"}.get(scope, "The gateway's")
    return RateLimited(
        f"Rate limit exceeded: {whose} limit is {refusal.amount} {refusal.what}. "
        f"Try again in {math.ceil(seconds)} s.",
        retry_after=seconds,
    )


def too_large_for_limit(tokens: int, most: int) -> GatewayError:
    """429 for a request that no wait would let through."""
    error = RateLimited(
        f"The request has some {tokens} tokens, more than its limit of {most} ever allows at once: "
        "send less.",
        code="request_larger_than_limit",
    )
    error.retryable = False
    error.headers["x-should-retry"] = "false"
    return error


def out_of_budget(scope: str, period: str, amount: int) -> GatewayError:
    """402 for a budget that is used up."""
    whose = "key" if scope == "key" else "account"
    span = "in all" if period == "total" else f"a {period}"
    return CreditExhausted(
        f"The budget of this {whose}, {dollars(amount)} {span}, does not allow this request. "
        "Do not retry it: the operator can raise the budget."
    )


def out_of_credit(needed: int, available: int) -> GatewayError:
    """402 for an account that cannot pay."""
    return CreditExhausted(
        f"Insufficient credits: this request may cost {dollars(needed)}, and {dollars(available)} are "
        "available. Do not retry it before credit is added, or ask for fewer output tokens."
    )


def trial_over(use: TrialUse) -> GatewayError:
    """403 for a trial whose time is over."""
    end = datetime.datetime.fromtimestamp(use.trial.ends_at, datetime.UTC)
    error = Forbidden(f"Your trial ended on {end:%Y-%m-%d}.", code="trial_expired")
    error.headers.update(
        {"x-trial-expired": "true", "x-trial-end-date": end.isoformat(timespec="seconds")}
    )
    return error


def trial_used_up(use: TrialUse, what: str) -> GatewayError:
    """429 for a trial of which ``what`` is used up, with what is left of everything."""
    error = RateLimited(
        f"Your trial's {what} are used up, or do not suffice for this request.",
        code="trial_limit_exceeded",
    )
    error.retryable = False
    error.headers["x-should-retry"] = "false"
    for name, left in use.left().items():
        if left is not None:
            shown = usd_text(left) if name == "credits" else str(left)
            error.headers[f"x-trial-remaining-{name}"] = shown
    return error


def no_price(model: str) -> GatewayError:
    """503 for a model that nobody states a price of, where a price is needed."""
    error = NotConfigured(
        f"The model '{model[:100]}' has no price here, and requests that have to be paid for need one. "
        "The operator can state it: dragoman prices set CHANNEL MODEL --input … --output ….",
        code="model_unpriced",
    )
    error.headers["x-should-retry"] = "false"  # SDKs would repeat a 503
    return error


def books_closed(reason: str) -> GatewayError:
    """503 while nothing can be booked."""
    return Unavailable(f"The gateway cannot take requests now: {reason}.", retry_after=5)
