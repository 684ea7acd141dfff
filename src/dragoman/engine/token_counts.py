"""Counting input tokens as each model would, learned from what it has counted before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol as Interface

from dragoman.canonical.errors import GatewayError
from dragoman.canonical.request import Request
from dragoman.canonical.usage import Usage
from dragoman.engine.estimate import features_of
from dragoman.governance.calibration import Calibration, Learned
from dragoman.governance.tokens import quick_count
from dragoman.protocols.base import Parsed

KEEP_SECONDS = 180.0
"""How often what was learned is kept; a kill -9 loses so much of it."""


class CountsMemory(Interface):
    """Where what was learned outlives the process. Neither may fail."""

    def load(self) -> Sequence[Learned]:
        """What was kept last; nothing if it cannot be read."""
        ...

    def save(self, learned: Sequence[Learned]) -> None:
        """Keep it in place of that. Called on a thread."""
        ...


class TokenCounter:
    """Counts without asking anybody. A model's key is what ``model_key`` makes of its provider and its
    name there."""

    def __init__(self, calibration: Calibration | None = None) -> None:
        self.calibration = Calibration() if calibration is None else calibration

    def count(self, key: str, request: Request) -> int:
        """Input tokens of ``request``; at least 1."""
        return self.calibration.count(key, features_of(request))

    def count_parsed(self, key: str, parsed: Parsed, request: Callable[[], Request]) -> int:
        """As ``count``, for a request that may not be decoded yet, nor need let itself be."""
        try:
            return self.count(key, request())
        except GatewayError:
            return quick_count(parsed.body)

    def learn(self, key: str, request: Callable[[], Request], usage: Usage | None) -> None:
        """Take in what an upstream reported for a request, which is decoded only if there is something
        to learn from it. For after the answer: it takes some 30 µs, and 10 more per KB."""
        if usage is None or usage.estimated or usage.input_audio or usage.input_image:
            return
        if usage.total_input == 0 or not self.calibration.wants(key):
            return
        try:
            features = features_of(request())
        except GatewayError:
            return  # it was forwarded unread, and holds what only its own protocol knows
        self.calibration.observe(key, features, usage.total_input)

    def learn_count(self, key: str, request: Request, counted: int) -> None:
        """Take in what an upstream's counting route answered."""
        if self.calibration.wants(key):
            self.calibration.observe(key, features_of(request), counted)


class LastingCounts:
    """Keeps what a counter has learned over restarts: ``run`` until it is cancelled, ``close`` at the
    end."""

    def __init__(
        self, counter: TokenCounter, memory: CountsMemory | None, seconds: float = KEEP_SECONDS
    ) -> None:
        """Takes up what ``memory`` holds; saves every ``seconds``, if there is anything new. Does
        nothing without a memory."""
        self._calibration = counter.calibration
        self._memory = memory
        self._seconds = seconds
        if memory is not None:
            self._calibration.load(memory.load())
        self._kept = self._calibration.learned

    async def run(self) -> None:
        """Save now and then."""
        while True:
            await asyncio.sleep(self._seconds)
            await self._save()

    async def close(self) -> None:
        """Save the last of it."""
        await self._save()

    async def _save(self) -> None:
        memory, learned = self._memory, self._calibration.learned
        if memory is None or learned == self._kept:
            return
        self._kept = learned
        await asyncio.to_thread(lambda: memory.save(self._calibration.dump()))


def model_key(provider: str, upstream_model: str) -> str:
    """What a model's calibration is filed under: channels of one provider share it."""
    return f"{provider}/{upstream_model}"
