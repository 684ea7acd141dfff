"""Channels to route over: groups of them in one gateway, each group behind a model of its own.

::

    TURNS = Group("turns", a={}, b={"weight": 2})   # two channels that serve the model "turns"

    def test_turns(site: Site) -> None:
        assert site.ask(TURNS).channel == "a"
        assert len(site.door(TURNS, "a").seen) == 1
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.live.raw import Reply, path_of, request_body
from tests.support.flexible_upstream import Door, FlexibleUpstream
from tests.support.gateway import TOKEN, Gateway


class Group:
    """Channels that serve one model. Without ``max_concurrency`` a channel takes fifty at once; the
    first credential of channel ``a`` of the group ``turns`` is ``turns.a-key``."""

    def __init__(self, model: str, **channels: dict[str, Any]) -> None:
        self.model = model
        self.channels = channels

    def name(self, channel: str) -> str:
        """The channel's name in the configuration, and of its door."""
        return f"{self.model}.{channel}"

    def entries(self, upstream: FlexibleUpstream) -> list[dict[str, Any]]:
        """The channels as the configuration has them, without ids."""
        return [
            {
                "name": self.name(channel),
                "type": "custom",
                "protocol": "openai_chat",
                "base_url": upstream.door(self.name(channel)).url,
                "api_key": f"{self.name(channel)}-key",
                "models": [self.model],
                "max_retries": 0,
                "max_concurrency": 50,
                **fields,
            }
            for channel, fields in self.channels.items()
        ]


def configuration(
    upstream: FlexibleUpstream,
    groups: Iterable[Group],
    settings: dict[str, Any] | None = None,
    tokens: Iterable[dict[str, Any]] = (),
) -> dict[str, Any]:
    """A ``config.json``; ids count from 1."""
    channels = [entry for group in groups for entry in group.entries(upstream)]
    everyone = {"name": "everyone", "key": TOKEN}
    return {
        "settings": settings or {},
        "channels": [{"id": number, **one} for number, one in enumerate(channels, start=1)],
        "tokens": [{"id": number, **one} for number, one in enumerate([everyone, *tokens], 1)],
    }


class Told:
    """An answer of the gateway; ``channel`` is who gave it, without the group's name."""

    def __init__(self, reply: Reply) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self.body = reply.body
        self.channel = reply.headers.get("dragoman-channel", "").rpartition(".")[2]

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Site:
    """A gateway and the upstream behind it."""

    def __init__(self, upstream: FlexibleUpstream, gateway: Gateway) -> None:
        self.upstream = upstream
        self.gateway = gateway

    def door(self, group: Group, channel: str) -> Door:
        """The upstream of one channel."""
        return self.upstream.door(group.name(channel))

    def doors(self, group: Group) -> list[Door]:
        """The upstreams of all."""
        return [self.door(group, channel) for channel in group.channels]

    def ask(
        self,
        model: Group | str,
        *,
        protocol: str = "openai_chat",
        headers: dict[str, str] | None = None,
        key: str = TOKEN,
        **body: Any,
    ) -> Told:
        """One request over a connection of its own; a stream is read to its end."""
        name = model if isinstance(model, str) else model.model
        path = path_of(protocol, name)
        if protocol == "gemini_generate" and body.pop("stream", False):
            path = path.replace(":generateContent", ":streamGenerateContent")
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=40)
        try:
            connection.request(
                "POST",
                path,
                body=json.dumps(request_body(protocol, name, **body)).encode(),
                headers={
                    "content-type": "application/json",
                    "authorization": f"Bearer {key}",
                    **(headers or {}),
                },
            )
            return Told(Reply(connection.getresponse()))
        finally:
            connection.close()

    def channels(self, model: Group | str, times: int, **how: Any) -> Counter[str]:
        """Who answered ``times`` requests, made one after the other and all answered."""
        answers = [self.ask(model, **how) for _ in range(times)]
        assert [one.status for one in answers] == [200] * times
        return Counter(one.channel for one in answers)

    def health(self) -> dict[str, Any]:
        """What ``/health`` says."""
        with urllib.request.urlopen(f"{self.gateway.url}/health", timeout=10) as response:
            found: dict[str, Any] = json.load(response)
        return found

    def lane(self, group: Group, channel: str) -> dict[str, Any]:
        """What ``/health`` says of one channel."""
        ids = {one["name"]: one["id"] for one in self.gateway.config["channels"]}
        wanted = ids[group.name(channel)]
        found: dict[str, Any] = next(
            lane for lane in self.health()["lanes"] if lane["id"] == wanted
        )
        return found

    def in_use(self) -> int:
        """Places in use at all channels, and requests waiting for one."""
        return sum(lane["in_flight"] + lane["waiting"] for lane in self.health()["lanes"])


@contextlib.contextmanager
def serving(
    groups: Iterable[Group],
    settings: dict[str, Any] | None = None,
    tokens: Iterable[dict[str, Any]] = (),
) -> Iterator[Site]:
    """A gateway with these groups in front of an upstream of its own."""
    with FlexibleUpstream() as upstream:
        config = configuration(upstream, groups, settings, tokens)
        with Gateway(config) as gateway:
            yield Site(upstream, gateway)


def settles(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether ``condition()`` becomes true in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
