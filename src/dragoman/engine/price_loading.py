"""Reading the shipped prices beside the first requests, in a thread, if a channel may need them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable

from dragoman.engine.price_book import PriceBook
from dragoman.engine.tasks import spawn
from dragoman.routing.channel import Channel


class PriceLoading:
    """Begins it once. A request that comes earlier waits for it: none has no price because its price
    was not read yet. ``tasks`` are those to cancel at the end."""

    def __init__(self, prices: PriceBook) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self._prices = prices

    def begin(self, channels: Iterable[Channel]) -> None:
        """Read them if that has not begun, and one of these channels may need them."""
        if not self.tasks and not self._prices.is_loaded and self._prices.needs_data(channels):
            self.tasks.append(spawn(self._load(), "price-data"))

    async def _load(self) -> None:
        await asyncio.to_thread(self._prices.load)
        gc.freeze()  # it stays: the collector need not look at it again
