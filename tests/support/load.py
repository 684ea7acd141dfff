"""Clients that ask as fast as they are answered, and remember exactly what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

PROMPT = "Say hello."


@dataclass
class Told:
    """What clients saw the end of: request id → tokens of its usage; and how many times each status
    was answered."""

    served: dict[str, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)

    def add(self, status: int) -> None:
        """One more answer of that status."""
        self.statuses[status] = self.statuses.get(status, 0) + 1


async def load(url: str, keys: Sequence[str], told: Told, *, model: str, workers: int) -> None:
    """Ask ``url`` from so many connections, whole and streamed in turn, until cancelled or nobody
    answers any more."""
    connector = aiohttp.TCPConnector(limit=workers)
    async with aiohttp.ClientSession(connector=connector) as session:
        asking = [_ask_on(session, url, keys, told, model, n) for n in range(workers)]
        await asyncio.gather(*asking)


async def _ask_on(
    session: aiohttp.ClientSession, url: str, keys: Sequence[str], told: Told, model: str, n: int
) -> None:
    with contextlib.suppress(aiohttp.ClientError, OSError):
        while True:
            n += 1
            await ask_once(
                session, url, keys[n % len(keys)], told, model=model, stream=bool(n // 2 % 2)
            )


async def ask_once(
    session: aiohttp.ClientSession, url: str, key: str, told: Told, *, model: str, stream: bool
) -> None:
    """One request; what it was charged is noted once its last byte is there."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": 50,
        "stream": stream,
    }
    if stream:
        body["stream_options"] = {"include_usage": True}
    headers = {"authorization": f"Bearer {key}"}
    async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as reply:
        data = await reply.read()
        told.add(reply.status)
        if reply.status != 200:
            return
        if stream:
            events = [line[6:] for line in data.split(b"\n") if line.startswith(b"data: ")]
            if not events or events[-1] != b"[DONE]":
                return
            usage = json.loads(events[-2])["usage"]
        else:
            usage = json.loads(data)["usage"]
        told.served[reply.headers["x-request-id"]] = usage["total_tokens"]


def some_time(least: float, most: float) -> float:
    """A pause that no two runs share."""
    return random.uniform(least, most)
