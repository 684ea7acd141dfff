"""Both clients behind one face, so that each test is written once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
from dragoman_client import AsyncDragomanClient, DragomanClient

Answering = Callable[[httpx.Request], httpx.Response]
KEY = "sk-gw-client-0123456789abcdef"
BASE = "http://gateway.test"


class Waiting:
    """The sync client, a new one for each call. ``ask`` calls a method; ``pieces`` reads its stream to
    the end."""

    def __init__(self, base_url: str = BASE, api_key: str = KEY, **options: Any) -> None:
        answering = options.pop("answering", None)
        if answering is not None:
            options["transport"] = httpx.MockTransport(answering)
        self._make = lambda: DragomanClient(api_key, base_url, **options)

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """What the method returns."""
        with self._make() as client:
            return getattr(client, method)(*arguments, **named)

    def pieces(self, method: str, *arguments: Any, **named: Any) -> list[str]:
        """What its stream says."""
        with self._make() as client, getattr(client, method)(*arguments, **named) as stream:
            return list(stream)


class Awaiting:
    """The async client, likewise, and with an event loop for each call."""

    def __init__(self, base_url: str = BASE, api_key: str = KEY, **options: Any) -> None:
        answering = options.pop("answering", None)
        if answering is not None:
            options["transport"] = httpx.MockTransport(answering)
        self._make = lambda: AsyncDragomanClient(api_key, base_url, **options)

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """What the method returns."""

        async def asked() -> Any:
            async with self._make() as client:
                return await getattr(client, method)(*arguments, **named)

        return _run(asked())

    def pieces(self, method: str, *arguments: Any, **named: Any) -> list[str]:
        """What its stream says."""

        async def asked() -> list[str]:
            async with (
                self._make() as client,
                await getattr(client, method)(*arguments, **named) as stream,
            ):
                return [piece async for piece in stream]

        return _run(asked())


Shell = Callable[..., Waiting | Awaiting]
SHELLS: dict[str, Shell] = {"sync": Waiting, "async": Awaiting}


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)
