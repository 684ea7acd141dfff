"""The gateway in its own process, between the clients and vendors that do what the tests say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.clients_python.vendor import Vendor
from tests.live.administered import ENVIRON
from tests.live.money import Shop
from tests.support.flexible_upstream import Door, FlexibleUpstream
from tests.support.gateway import Gateway

MODEL = "gpt-4o-mini"
EMBEDDER = "text-embedding-3-small"
PAINTER = "gpt-image-1"
MOODY = "moody"
"""A model of the vendor whose answers a test may spoil."""
NANO_PER_TOKEN = 1_000


@dataclass(frozen=True)
class Scene:
    """``shop`` has users and keys, ``vendor`` does the tasks, ``door`` serves ``MOODY``."""

    shop: Shop
    vendor: Vendor
    door: Door

    @property
    def url(self) -> str:
        """The gateway's base URL."""
        return self.shop.gateway.url


@contextlib.contextmanager
def scene() -> Iterator[Scene]:
    """All of it."""
    with FlexibleUpstream() as upstream, Vendor() as vendor:
        door = upstream.door("moody")
        able = _channel(1, vendor.url, [MODEL, EMBEDDER, PAINTER])
        channels = [able, _channel(2, door.url, [MOODY])]
        config = {"settings": {"log_level": "info"}, "channels": channels}
        with Gateway(config, (), ENVIRON) as gateway:
            yield Scene(Shop(gateway, door, upstream), vendor, door)


def _channel(number: int, url: str, models: list[str]) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"channel {number}",
        "type": "custom",
        "protocol": "openai_chat",
        "base_url": url,
        "api_key": "key-1",
        "models": models,
        "max_concurrency": 1000,
        "max_retries": 0,
        # A dollar a million tokens, in and out: amounts are read off at a glance.
        "prices": {"*": {"input": 1, "output": 1}},
    }
