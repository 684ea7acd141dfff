"""Keys of clients and the answers kept for them, in both homes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dragoman.governance.idempotency import Answered, Claim, Earlier
from dragoman.store import idempotency
from dragoman.store.errors import SecretKeyError
from dragoman.store.idempotency import IdempotentAnswers
from dragoman.store.tables import idempotency as table
from tests.store.homes import Home

SCOPE, OTHER = b"a" * 32, b"b" * 32
PRINT = b"p" * 32
ANSWERED = Answered(200, {"x-request-id": "r1"}, b"the canary's answer")


def claim(request_id: str = "r1", scope: bytes = SCOPE, at: float = 100.0) -> Claim:
    return Claim(scope=scope, fingerprint=PRINT, request_id=request_id, at=at)


def with_answers(home: Home, work: Callable[[IdempotentAnswers, Any], Awaitable[None]]) -> None:
    home.run(lambda store: work(store.idempotency(), store))


def test_a_key_is_claimed_once_and_its_answer_comes_back(home: Home) -> None:
    async def work(answers: IdempotentAnswers, store: Any) -> None:
        assert await answers.claim(claim(), since=0.0) is None
        earlier = await answers.claim(claim("r2"), since=0.0)
        assert earlier == Earlier(fingerprint=PRINT, request_id="r1", is_open=True)
        assert await answers.claim(claim("r3", OTHER), since=0.0) is None
        await answers.settle({SCOPE: ("r1", ANSWERED), OTHER: ("r3", None)})
        earlier = await answers.claim(claim("r2"), since=0.0)
        assert earlier == Earlier(fingerprint=PRINT, request_id="r1", answered=ANSWERED)
        earlier = await answers.claim(claim("r2", OTHER), since=0.0)
        assert earlier == Earlier(fingerprint=PRINT, request_id="r3")

    with_answers(home, work)


def test_a_key_is_free_again_when_it_is_freed_old_or_lost(home: Home) -> None:
    async def work(answers: IdempotentAnswers, store: Any) -> None:
        assert await answers.claim(claim(), since=0.0) is None
        await answers.free(SCOPE, "another")
        assert await answers.claim(claim("r2"), since=0.0) is not None
        await answers.free(SCOPE, "r1")
        assert await answers.claim(claim("r2"), since=0.0) is None
        assert await answers.claim(claim("r3"), since=0.0, lost="r1") is not None
        assert await answers.claim(claim("r3"), since=0.0, lost="r2") is None
        await answers.settle({SCOPE: ("r2", ANSWERED)})  # late: the key is another's now
        await answers.settle({SCOPE: ("r3", ANSWERED)})
        assert await answers.claim(claim("r4"), since=0.0, lost="r3") is not None, "it has ended"
        assert await answers.claim(claim("r4", at=300.0), since=200.0) is None

    with_answers(home, work)


def test_what_is_old_and_too_much_is_forgotten(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(answers: IdempotentAnswers, store: Any) -> None:
        for number in range(6):
            scope = bytes([number]) * 32
            await answers.claim(claim(f"r{number}", scope, at=float(number)), since=0.0)
            await answers.settle({scope: (f"r{number}", ANSWERED)})
        monkeypatch.setattr(idempotency, "_PORTION", 2)
        assert await answers.prune(before=4.0)
        assert await answers.prune(before=4.0)
        assert not await answers.prune(before=4.0)
        assert await answers.claim(claim("x", bytes([3]) * 32), since=0.0) is None
        monkeypatch.setattr(idempotency, "MOST_BYTES", 10)
        assert await answers.prune(before=0.0)
        assert not await answers.prune(before=0.0)
        earlier = await answers.claim(claim("x", bytes([5]) * 32), since=0.0)
        assert earlier == Earlier(fingerprint=PRINT, request_id="r5"), "it is still known"

    with_answers(home, work)


def test_answers_are_sealed_and_bound_to_their_key(home: Home) -> None:
    async def work(answers: IdempotentAnswers, store: Any) -> None:
        for scope in (SCOPE, OTHER):
            await answers.claim(claim("r1", scope), since=0.0)
            await answers.settle({scope: ("r1", ANSWERED)})

        def exchange(connection: Any) -> None:
            rows = {row.scope: row.sealed for row in connection.execute(table.select())}
            assert not any(b"canary" in sealed for sealed in rows.values())
            moved = table.update().where(table.c.scope == OTHER).values(sealed=rows[SCOPE])
            connection.execute(moved)

        await store._write(exchange)
        with pytest.raises(SecretKeyError):
            await answers.claim(claim("r2", OTHER), since=0.0)

    with_answers(home, work)
