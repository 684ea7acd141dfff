"""Who may answer a request: the routing table asked with what is known of the caller and the session."""

from __future__ import annotations

import msgspec

from dragoman.canonical.errors import ModelNotFound, Unavailable
from dragoman.engine.journey import Journey
from dragoman.governance.principal import Principal
from dragoman.routing.affinity import Affinity, Place
from dragoman.routing.channel import Channel
from dragoman.routing.plan import Plan
from dragoman.routing.select import Order, RoutingTable


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The switches that decide how requests are routed."""

    enable_fallback: bool = True
    high_availability: bool = False
    session_affinity: bool = True


class Wish(msgspec.Struct, frozen=True):
    """What a request asks for. ``session`` and ``previous`` as in ``protocols.base.Parsed``."""

    model: str
    session: str = ""
    previous: str = ""
    provider: str = ""
    """Only channels to this provider (its id) may answer."""
    any_model: bool = False
    """High-availability mode may put another model in its place."""


def make_plan(
    journey: Journey,
    wish: Wish,
    principal: Principal,
    *,
    table: RoutingTable,
    rules: Rules,
    affinity: Affinity,
    now: float,
) -> Plan:
    """The candidates for ``wish``, best first. Raises as ``RoutingTable.order``."""
    order = _order(wish, principal, table, rules, now)
    prefer: Place | None = None
    pinned = False
    if rules.session_affinity and wish.session:
        # A key in front: one client's name for a session says nothing about another's.
        session = f"{principal.key_id} {wish.session}"
        journey.sessions.append(session)
        prefer = affinity.find(session, now)
    if wish.previous:
        stored = affinity.find(answer_name(principal, wish.previous), now)
        if stored is not None:
            prefer, pinned = stored, True
    return Plan(order, prefer=prefer, pinned=pinned, fallback=rules.enable_fallback)


def answer_name(principal: Principal, answer_id: str) -> str:
    """The name under which the place of a stored answer is remembered."""
    return f"{principal.key_id} answer {answer_id}"


def _order(
    wish: Wish, principal: Principal, table: RoutingTable, rules: Rules, now: float
) -> Order:
    def allowed(channel: Channel) -> bool:
        return _of_provider(channel, wish) and principal.may_use_channel(channel.id, channel.name)

    restriction = allowed if wish.provider or principal.allowed_channels else None
    if wish.provider:
        _check_provider(wish, table, any_model=rules.high_availability and wish.any_model)
    if rules.high_availability and wish.any_model:
        order = table.any_order(wish.model, now, restriction, principal.may_use_model)
    else:
        order = table.order(wish.model, now, restriction)
    if wish.provider:
        order.excluded = [
            (channel, why if _of_provider(channel, wish) else f"not {wish.provider}")
            for channel, why in order.excluded
        ]
    return order


def _check_provider(wish: Wish, table: RoutingTable, *, any_model: bool) -> None:
    """Raise ModelNotFound or Unavailable if it is not the key's doing that none of the provider's
    channels may answer."""
    own = [channel for channel in table.channels if channel.provider == wish.provider]
    serving = [channel for channel in own if any_model or channel.serves(wish.model)]
    if not serving:
        raise ModelNotFound(
            f"No channel to {wish.provider} has the model '{wish.model[:100]}'.", param="model"
        )
    if not any(channel.enabled for channel in serving):
        raise Unavailable(f"Every channel to {wish.provider} that has the model is disabled.")


def _of_provider(channel: Channel, wish: Wish) -> bool:
    return not wish.provider or channel.provider == wish.provider
