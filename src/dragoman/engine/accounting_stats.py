"""What the accounting tells ``/metrics``: sums over all users, never a figure per user or key."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class AccountingStats(msgspec.Struct, kw_only=True, frozen=True):
    """Limits and money at one moment; None for what is not known. Amounts are nano-USD.

    ``refused`` counts, since the start, the requests that were not let in, by what they lacked (a few
    fixed words: ``requests``, ``tokens``, ``concurrency``, ``budget``, ``credit``, ``trial``, …).
    ``holds`` are requests under way that money is held for, ``held`` that money. ``balances`` is the
    sum of all users' credit, ``exhausted`` the number of accounts that have none left.
    ``unpriced`` counts attempts that were served and that nobody states a price of, ``absorbed`` what
    failed attempts cost the operator. ``journal_lines`` and ``journal_bytes`` are what is not in the
    tables yet, ``journal_room`` says whether the journal takes more, ``books_known`` whether the tables
    could be read.
    """

    refused: Mapping[str, int] = {}
    holds: int | None = None
    held: int | None = None
    balances: int | None = None
    exhausted: int | None = None
    unpriced: int | None = None
    absorbed: int | None = None
    journal_lines: int | None = None
    journal_bytes: int | None = None
    journal_room: bool | None = None
    books_known: bool | None = None
