"""Noticing that a client has left."""

from __future__ import annotations

import asyncio

from dragoman.engine.tasks import spawn
from dragoman.server.answer import AsgiAnswer, Receive

WATCH_AFTER_SECONDS = 0.25
"""Short answers need no watch: it costs a task and two context switches. A client that leaves is
still noticed well within the second that the design promises."""


class ClientWatch:
    """Cancels the task that made it as soon as the client leaves, so that the upstream stops with it.

    ``stop`` ends the watch. The cancelled task finds ``answer.client_left`` set.
    """

    def __init__(self, receive: Receive, answer: AsgiAnswer) -> None:
        self._receive = receive
        self._answer = answer
        self._working = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._start = loop.call_later(WATCH_AFTER_SECONDS, self._begin)

    def stop(self) -> None:
        """The answer is complete."""
        self._start.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = spawn(self._until_left(), "client-watch")

    async def _until_left(self) -> None:
        # What is left of the request comes first: the body's end, if nobody waited for it.
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._answer.client_left = True
        if self._working is not None:
            self._working.cancel()
