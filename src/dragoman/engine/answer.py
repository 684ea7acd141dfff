"""The client's side of a request, as the pipeline sees it."""

from __future__ import annotations

Headers = dict[str, str]


class Answer:
    """Where an answer goes. ``begun``: the status line has left, so errors must follow in the
    stream's own form."""

    begun: bool = False

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a complete answer."""
        raise NotImplementedError

    async def begin(self, headers: Headers) -> None:
        """Send the status line (200) and headers of a streamed answer."""
        raise NotImplementedError

    async def write(self, data: bytes) -> None:
        """Send some of the body; returns when the client's connection can take more."""
        raise NotImplementedError

    async def end(self) -> None:
        """Complete a streamed answer."""
        raise NotImplementedError

    def hurry(self, seconds: float) -> None:
        """Keep the connection alive at this interval from now on, if it is kept alive at all."""
