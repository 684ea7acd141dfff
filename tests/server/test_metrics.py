"""The text of ``/metrics``, beside what comes of requests."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.engine.accounting_stats import AccountingStats
from dragoman.engine.bookkeeper import BooksState
from tests.server.metrics_page import STATS, page


def samples(stats: AccountingStats = STATS, books: BooksState | None = None) -> dict[str, float]:
    """Name and labels → value."""
    return {
        one.name + "".join(f",{name}={value}" for name, value in one.labels.items()): one.value
        for one in asyncio.run(page(stats=stats, books=books))
    }


def test_limits_and_money_are_shown() -> None:
    found = samples()
    assert (
        found.items()
        >= {
            "dragoman_requests_refused_total,reason=requests": 3,
            "dragoman_requests_refused_total,reason=budget": 1,
            "dragoman_requests_refused_total,reason=credit": 2,
            "dragoman_requests_refused_total,reason=trial": 4,
            "dragoman_holds": 2,
            "dragoman_credit_held_usd": 0.5,
            "dragoman_credit_balance_usd": 12.5,
            "dragoman_accounts_exhausted": 1,
            "dragoman_attempts_unpriced_total": 6,
            "dragoman_cost_absorbed_usd_total": 0.25,
            "dragoman_journal_lines": 7,
            "dragoman_journal_bytes": 800,
            "dragoman_journal_room": 1,
            "dragoman_books_known": 0,
        }.items()
    )


def test_what_is_not_known_is_not_shown_as_zero() -> None:
    found = samples(AccountingStats())
    assert not [name for name in found if "credit" in name or "journal" in name]


@pytest.mark.parametrize("discrepancies", [None, 2])
def test_the_books_are_shown(discrepancies: int | None) -> None:
    books = BooksState(behind=1, away_seconds=12.5, discrepancies=discrepancies)
    found = samples(books=books)
    assert found["dragoman_books_away_seconds"] == 12.5
    assert found.get("dragoman_ledger_discrepancies") == discrepancies


def test_channels_are_shown_whatever_they_are_called() -> None:
    found = samples()
    own = 'channel=quo"ted\nname,provider=openai'
    assert found[f"dragoman_channel_up,{own}"] == 1
    circuit = "dragoman_channel_circuit," + own.replace(",", ",credential=0,")
    assert found[f"{circuit},state=closed"] == 1
    assert found[f"{circuit},state=open"] == 0
    off = "channel=off,provider=openai"
    assert (found[f"dragoman_channel_up,{off}"], found[f"dragoman_channel_enabled,{off}"]) == (0, 0)
    states = {
        state: found[f"dragoman_provider_channels,provider=openai,state={state}"]
        for state in ("configured", "enabled", "up")
    }
    assert states == {"configured": 2, "enabled": 1, "up": 1}
    assert found["dragoman_queue_limit"] == 9
    assert found["dragoman_models"] == 1
