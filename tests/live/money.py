"""A gateway with users who pay, and what its books say."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.live.administered import ENVIRON, admin
from tests.support.flexible_upstream import Door, FlexibleUpstream
from tests.support.gateway import Gateway

MODEL = "priced"
NANO_PER_TOKEN = 1_000
"""So that amounts are read off at a glance: a dollar a million tokens, in and out."""


class Shop:
    """A gateway in front of one channel whose tokens all cost the same."""

    def __init__(self, gateway: Gateway, door: Door, upstream: FlexibleUpstream) -> None:
        self.gateway = gateway
        self.door = door
        self.upstream = upstream

    def user(self, name: str, *, usd: str = "", **fields: Any) -> int:
        """A new user, prepaid if ``usd`` is given for a start; the id."""
        body = {"name": name, **fields}
        if usd:
            body["prepaid"] = True
        made = self._sent("POST", "/users", body)
        if usd:
            self.top_up(made["id"], usd)
        number: int = made["id"]
        return number

    def top_up(self, user_id: int, usd: str) -> None:
        """More credit."""
        self._sent("POST", f"/users/{user_id}/credits", {"kind": "topup", "amount_usd": usd})

    def key(self, name: str, user: str, **fields: Any) -> str:
        """A new key of a user; its text."""
        text: str = self._sent("POST", "/keys", {"name": name, "user": user, **fields})["key"]
        return text

    def balance(self, user_id: int) -> int:
        """What the user has at this moment, in nano-USD."""
        shown = admin(self.gateway, "GET", f"/users/{user_id}").json
        nano: int = shown["balance_nano_usd"]
        return nano

    def held(self, user_id: int) -> int:
        """What is held at this moment for the user's requests, in nano-USD."""
        nano: int = admin(self.gateway, "GET", f"/users/{user_id}").json["held_nano_usd"]
        return nano

    def booked(self, request_id: str) -> list[dict[str, Any]]:
        """The entries of a request; none if the books do not know it."""
        found = admin(self.gateway, "GET", f"/ledger/{request_id}")
        entries: list[dict[str, Any]] = found.json["entries"] if found.status == 200 else []
        return entries

    def _sent(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        reply = admin(self.gateway, method, path, dict(body))
        assert reply.status in (200, 201), reply.body
        answer: dict[str, Any] = reply.json
        return answer


@contextlib.contextmanager
def shop(
    settings: Mapping[str, Any] | None = None,
    *,
    arguments: tuple[str, ...] = (),
    channel: Mapping[str, Any] | None = None,
    more: Mapping[str, Mapping[str, Any]] | None = None,
    prepare: Callable[[Path], None] | None = None,
) -> Iterator[Shop]:
    """A shop of its own. ``channel`` changes what its channel is, and ``more`` are further ones by
    name; ``prepare`` is given the data directory before the gateway begins."""
    with FlexibleUpstream() as upstream:
        shelves = {"shelf": channel or {}, **(more or {})}
        config = {
            "settings": {"log_level": "info", **(settings or {})},
            "channels": [
                {
                    "id": number,
                    "name": name,
                    "type": "custom",
                    "protocol": "openai_chat",
                    "base_url": upstream.door(name).url,
                    "api_key": f"key-{number}",
                    "models": [MODEL],
                    "max_concurrency": 1000,
                    "prices": {"*": {"input": 1, "output": 1}},
                    **fields,
                }
                for number, (name, fields) in enumerate(shelves.items(), start=1)
            ],
        }
        gateway = Gateway(config, arguments, ENVIRON)
        if prepare is not None:
            (gateway.folder / "data").mkdir()
            prepare(gateway.folder / "data")
        with gateway:
            yield Shop(gateway, upstream.door("shelf"), upstream)
