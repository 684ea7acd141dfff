"""From a request that is over to its entries in the books. Nothing is kept here."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from dragoman.canonical.errors import UpstreamError
from dragoman.canonical.usage import Usage
from dragoman.engine.journey import Attempt
from dragoman.engine.records import Trace
from dragoman.engine.stay import Stay
from dragoman.governance.ledger import (
    OPERATOR,
    USAGE,
    Entry,
    Leg,
    credit_of,
    overrun_of,
    transfer,
    trial_of,
)
from dragoman.governance.money import MOST_NANO
from dragoman.governance.price import Price, cost

logger = logging.getLogger("dragoman.accounting")

_MOST_NAME = 200
_MOST_REASON = 300


def served(
    stay: Stay,
    trace: Trace,
    usage: Usage,
    price: Price | None,
    amount: int | None,
    *,
    outcome: str,
    payable: int,
    now: float,
) -> list[Entry]:
    """What the answering attempt is booked as: its usage, and beside it the overrun if the account can
    pay only ``payable`` of ``amount`` (nano-USD; None if there is no price)."""
    user_id = stay.user.user.id
    account = trial_of(user_id) if stay.trial is not None else credit_of(user_id)
    rest = (amount or 0) - payable
    entry = _entry(
        stay,
        trace,
        trace.journey.attempts[-1],
        usage,
        priced=(price, amount),
        now=now,
        outcome=outcome,
        legs=transfer(account, USAGE, payable),
    )
    if not rest:
        return [entry]
    overrun = msgspec.structs.replace(
        entry,
        id=f"{entry.id}#overrun",
        kind="overrun",
        usage=None,
        cost=rest,
        reason="the upstream took more than was held for the request and than the account had",
        legs=transfer(overrun_of(user_id), USAGE, rest),
    )
    return [msgspec.structs.replace(entry, cost=payable), overrun]


def failed(stay: Stay, trace: Trace, attempts: Sequence[Attempt], now: float) -> list[Entry]:
    """What attempts cost that did not become the answer: the operator's expense, not the client's. One
    that may have been billed without saying so counts with what it was sent, as an estimate."""
    entries = []
    for number, attempt in enumerate(attempts, start=1):
        usage = attempt.usage
        if usage is None or not usage.total:
            if not _may_have_billed(attempt):
                continue
            usage = Usage(input=stay.input_tokens, estimated=True)
        price = stay.price_at(attempt)
        amount = amount_of(usage, price)
        entries.append(
            msgspec.structs.replace(
                _entry(stay, trace, attempt, usage, priced=(price, amount), now=now),
                id=f"{stay.demand.request_id}#{number}",
                kind="attempt",
                outcome="failed",
                response_model=attempt.upstream_model[:_MOST_NAME],
                trial=False,
                reason="" if attempt.error is None else attempt.error.message[:_MOST_REASON],
                legs=transfer(OPERATOR, USAGE, amount or 0),
            )
        )
    return entries


def amount_of(usage: Usage, price: Price | None) -> int | None:
    """What ``usage`` costs, in nano-USD; None without a price, or if it is more than any account can
    hold: then either figure is nonsense, and whoever pays must not suffer for it."""
    if price is None:
        return None
    amount = cost(usage, price)
    if amount > MOST_NANO:
        logger.error("%r at %r cannot be charged: no account can hold so much", usage, price)
        return None
    return amount


def not_booked(entry: Entry) -> Entry:
    """What is kept in place of an entry that cannot be written: it moves nothing."""
    return Entry(
        id=entry.id,
        kind="refused",
        at=entry.at,
        user_id=entry.user_id,
        cost=0,
        reason="it could not be written into the journal; the gateway's log has it",
    )


def _entry(
    stay: Stay,
    trace: Trace,
    attempt: Attempt,
    usage: Usage,
    *,
    priced: tuple[Price | None, int | None],
    now: float,
    outcome: str = "",
    legs: tuple[Leg, ...] = (),
) -> Entry:
    price, amount = priced
    channel, principal, journey = attempt.channel, stay.principal, trace.journey
    return Entry(
        id=stay.demand.request_id,
        kind="usage",
        at=now,
        user_id=stay.user.user.id,
        key_id=principal.key_id,
        key_name=principal.name,
        operation=stay.demand.operation,
        protocol=journey.protocol,
        model=trace.model[:_MOST_NAME],
        response_model=(trace.response_model or attempt.upstream_model)[:_MOST_NAME],
        channel_id=channel.id,
        channel=channel.name,
        provider=channel.provider,
        outcome=outcome,
        usage=usage,
        cost=amount,
        price_source="" if price is None else price.source,
        price_date="" if price is None else price.as_of,
        request_ms=round((now - stay.at) * 1000, 3),
        trial=stay.trial is not None,
        legs=legs,
    )


def _may_have_billed(attempt: Attempt) -> bool:
    """One without an error ended in a defect of ours: nobody knows how far it got."""
    error = attempt.error
    return error is None or (isinstance(error, UpstreamError) and error.may_have_billed)
