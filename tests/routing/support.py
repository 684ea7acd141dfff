"""Channels, failures and places for the tests of the routing room."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dragoman.canonical.errors import (
    GatewayError,
    UpstreamFailed,
    UpstreamModelMissing,
    UpstreamRateLimited,
    UpstreamRefusedCredential,
    UpstreamRejected,
    UpstreamUnreachable,
)
from dragoman.canonical.secret import Secret
from dragoman.routing.channel import Channel, Endpoint
from dragoman.routing.fleet import Fleet
from dragoman.routing.plan import Plan, Slot
from dragoman.routing.select import Order, RoutingTable


def channel(id: int = 1, **fields: Any) -> Channel:
    """A channel for the model ``m``; ``keys`` are its credentials as text."""
    keys = fields.pop("keys", ())
    fields.setdefault("models", ("m",))
    return Channel(
        id=id,
        name=f"c{id}",
        provider="custom",
        endpoints=(Endpoint("openai_chat", fields.pop("url", "http://x.test")),),
        credentials=tuple(Secret(key) for key in keys),
        **fields,
    )


class Site:
    """A fleet with its table, and a clock that stands still unless it is moved."""

    def __init__(self, *channels: Channel, now: float = 1000.0, **table: Any) -> None:
        self.now = now
        self.told: list[str] = []
        self.fleet = Fleet(lambda channel, what: self.told.append(f"{channel.name}: {what}"))
        self.table = self.configure(*channels, **table)

    def configure(self, *channels: Channel, **table: Any) -> RoutingTable:
        """Replace the configuration."""
        self.fleet.configure(channels)
        self.table = RoutingTable(channels, self.fleet, **table)
        return self.table

    def plan(self, model: str = "m", **fields: Any) -> Plan:
        """A new request's plan."""
        return Plan(self.table.order(model, self.now), **fields)

    def pick(self, plan: Plan) -> Slot | None:
        """The plan's next slot."""
        return plan.pick(self.now)

    def fail(self, plan: Plan, slot: Slot, error: GatewayError) -> None:
        """End an attempt with ``error``."""
        verdict = slot.close(error, self.now)
        plan.failed(slot, error, verdict)

    def walk(self, plan: Plan, *errors: GatewayError) -> list[tuple[int, int]]:
        """(channel, credential) of one attempt per error, while there are candidates."""
        tried = []
        for error in errors:
            slot = self.pick(plan)
            if slot is None:
                break
            tried.append((slot.channel.id, slot.credential.number))
            self.fail(plan, slot, error)
        return tried

    def answer(self, model: str = "m", seconds: float = 0.0) -> int:
        """One request that is answered at once; the channel it was."""
        slot = self.pick(self.plan(model))
        assert slot is not None
        self.now += seconds
        slot.close(None, self.now)
        return slot.channel.id

    def open_circuit(self, channel_id: int) -> None:
        """Fail a channel until it is left alone."""
        lane = self.fleet.lane(channel_id)
        for _ in range(5):
            lane.settle(lane.credentials[0], "m", down(), seconds=0.1, now=self.now)
        assert not lane.credentials[0].circuit.closed


def ids(order: Order | Iterable[Channel]) -> list[int]:
    """The channels' ids, in order."""
    if isinstance(order, Order):
        return [option.channel.id for option in order.options]
    return [one.id for one in order]


def down(status: int = 500) -> UpstreamFailed:
    return UpstreamFailed("down", upstream_status=status)


def refused() -> UpstreamUnreachable:
    return UpstreamUnreachable("refused")


def bad_key(status: int = 401) -> UpstreamRefusedCredential:
    return UpstreamRefusedCredential("bad key", upstream_status=status)


def limited(retry_after: float | None = None) -> UpstreamRateLimited:
    return UpstreamRateLimited("slow down", upstream_status=429, retry_after=retry_after)


def missing() -> UpstreamModelMissing:
    return UpstreamModelMissing("no such model", upstream_status=404)


def bad_request() -> UpstreamRejected:
    return UpstreamRejected("bad", upstream_status=400)
