"""Users and the books as they are shown: plain JSON, money as integers and as decimal text."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dragoman.config.export import iso_moment, shown
from dragoman.config.users import USER
from dragoman.governance.ledger import Entry
from dragoman.governance.money import usd_text
from dragoman.governance.standing import Spending
from dragoman.governance.statements import Booked, Statement, StatementLine, UsageRow
from dragoman.governance.users import User
from dragoman.server.admin.accounts import Live
from dragoman.server.admin.contract import Document


def user_fields(user: User) -> Document:
    """What of a user was written down."""
    return {
        "id": user.id,
        **shown(user, (*USER, "trial")),
        "created_at": iso_moment(user.created_at) if user.created_at else None,
    }


def user_document(user: User, live: Live, spent: Spending) -> Document:
    """A user with the money of today."""
    balance, held = live
    return {
        **user_fields(user),
        **money("balance", balance),
        **money("held", held),
        **money("available", balance - held),
        "spent": {name: usd_text(nano) for name, nano in msgspec.structs.asdict(spent).items()},
    }


def entry_document(entry: Entry, number: int | None = None) -> Document:
    """An entry of the books; ``number`` is its place in them."""
    document = {
        "number": number,
        "id": entry.id,
        "kind": entry.kind,
        "at": iso_moment(entry.at),
        "user_id": entry.user_id,
        "key_id": entry.key_id,
        "key_name": entry.key_name,
        "operation": entry.operation,
        "protocol": entry.protocol,
        "model": entry.model,
        "response_model": entry.response_model,
        "channel_id": entry.channel_id,
        "channel": entry.channel,
        "provider": entry.provider,
        "outcome": entry.outcome,
        "usage": None if entry.usage is None else msgspec.to_builtins(entry.usage),
        "price_source": entry.price_source,
        "price_date": entry.price_date,
        "request_ms": entry.request_ms,
        "trial": entry.trial,
        "actor": entry.actor,
        "reason": entry.reason,
        "legs": [{"account": leg.account, **money("amount", leg.amount)} for leg in entry.legs],
    }
    return document | money("cost", entry.cost)


def booked_document(booked: Booked) -> Document:
    """An entry in its place."""
    return entry_document(booked.entry, booked.number)


def line_document(line: StatementLine) -> Document:
    """A line of a statement."""
    return {
        **entry_document(line.entry, line.number),
        **money("amount", line.amount),
        **money("balance", line.balance),
    }


def statement_document(statement: Statement) -> Document:
    """A page of a statement."""
    lines = [line_document(line) for line in statement.lines]
    return {
        "user_id": statement.user_id,
        **money("opening", statement.opening),
        **money("closing", statement.closing),
        "lines": lines,
        "next": lines[-1]["number"] if statement.more and lines else None,
    }


def usage_document(
    row: UsageRow, names: Mapping[int, str], key_names: Mapping[str, str]
) -> Document:
    """A sum of usage; ``names`` are users', by id."""
    used = row.used
    of = row.of
    name = names.get(of, str(of)) if isinstance(of, int) else key_names.get(of or "", of)
    return {
        "start": iso_moment(row.start),
        "of": None if of is None else str(of),
        "name": name,
        "requests": used.requests,
        "errors": used.errors,
        "input_tokens": used.input,
        "cached_tokens": used.cached,
        "output_tokens": used.output,
        "unpriced": used.unpriced,
        "estimated": used.estimated,
        **money("cost", used.cost),
    }


def money(name: str, nano: int | None) -> Document:
    """An amount, twice."""
    return {f"{name}_nano_usd": nano, f"{name}_usd": None if nano is None else usd_text(nano)}
