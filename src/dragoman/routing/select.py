"""Which channels may answer a request, in which order."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from dragoman.canonical.errors import Forbidden, ModelNotFound, Unavailable
from dragoman.routing.channel import Channel
from dragoman.routing.fleet import Credential, Fleet, Lane

_MAX_REMEMBERED = 4096  # clients choose model names: the memory of them must not grow with them
_MAX_PARTS = 100  # one per different restriction of keys
_MAX_TURNS = 1000  # of a weighted round robin; finer weights are rounded

Allowed = Callable[[Channel], bool]
PriceOf = Callable[[Channel, str], float | None]
"""(channel, public model name) → what a typical request costs there, None if unknown."""
Lists = Callable[[Channel, str], bool | None]
"""(channel, public model name) → whether the provider lists the model; None if that is not known."""
NamesOf = Callable[[Channel], Iterable[str]]
"""The public model names to show for a channel."""


class Option(msgspec.Struct, frozen=True, eq=False):
    """A channel that may answer, its live state, and the public model name to ask it for.

    ``credentials`` are those that belong to ``channel`` as it is here: a request that outlives a
    change of the configuration must not send the new secret to the old address. ``tier`` counts from
    0, the best.
    """

    channel: Channel
    lane: Lane
    model: str
    credentials: Sequence[Credential]
    tier: int


class Strategies(msgspec.Struct, kw_only=True, frozen=True):
    """How the channels of one priority are ordered: by ``default``, unless a pattern in ``groups``
    fits the model's name (the first that does counts)."""

    default: str = "round_robin"
    groups: Mapping[str, str] = {}

    def of(self, model: str) -> str:
        """The strategy for ``model``."""
        for pattern, strategy in self.groups.items():
            if fnmatch.fnmatchcase(model.casefold(), pattern.casefold()):
                return strategy
        return self.default


class Tier:
    """Channels of one priority that serve one model, and whose turn it is."""

    __slots__ = ("_cycle", "_parts", "_seconds", "_turn", "options")

    def __init__(self, options: tuple[Option, ...]) -> None:
        self.options = options
        self._cycle = _turns(options)
        self._turn = itertools.count()
        self._seconds: dict[int, tuple[Sequence[int], itertools.count[int]]] = {}
        self._parts: dict[tuple[int, ...], tuple[Tier, list[tuple[Channel, str]]]] = {}

    def next(self) -> tuple[Option, ...]:
        """All of them, beginning with whose turn it is. The second is whose turn it would be without
        the first: if that is full or failing, the others share its turns as their weights say."""
        options = self.options
        if len(options) < 2:
            return options
        first = self._cycle[next(self._turn) % len(self._cycle)]
        others = options[first + 1 :] + options[:first]
        if len(others) > 1:
            if (known := self._seconds.get(first)) is None:
                known = self._seconds[first] = (_turns(others), itertools.count())
            cycle, turn = known
            second = cycle[next(turn) % len(cycle)]
            others = others[second:] + others[:second]
        return (options[first], *others)

    def part(self, options: tuple[Option, ...]) -> tuple[Tier, list[tuple[Channel, str]]]:
        """(a tier of some of its ``options``, what is excluded and why). It has turns of its own: the
        shares of a key that may not use all of them are as the weights say, too."""
        name = tuple(option.channel.id for option in options)
        part = self._parts.get(name)
        if part is None:
            if len(self._parts) >= _MAX_PARTS:
                self._parts.clear()
            others = [option.channel for option in self.options if option not in options]
            barred = [(channel, "the key may not use it") for channel in others]
            part = self._parts[name] = (Tier(options), barred)
        return part


class Order(msgspec.Struct, kw_only=True):
    """The answer to "who may?": ``options`` best first; ``excluded`` are (channel, why) of those that
    have the model but may not be asked."""

    options: list[Option]
    excluded: list[tuple[Channel, str]]
    strategy: str


class RoutingTable:
    """The channels of one configuration, arranged per model; replaced whole when it changes."""

    def __init__(
        self,
        channels: tuple[Channel, ...],
        fleet: Fleet | None = None,
        *,
        strategies: Strategies | None = None,
        price_of: PriceOf = lambda channel, model: None,
        lists: Lists = lambda channel, model: None,
        names_of: NamesOf = Channel.names,
    ) -> None:
        """``fleet`` has a lane for each of the channels; None makes one. ``lists`` is asked about
        channels that state no models of their own, ``names_of`` for the names to show."""
        if fleet is None:
            fleet = Fleet()
            fleet.configure(channels)
        self.channels = channels
        self._lanes = {channel.id: fleet.lane(channel.id) for channel in channels}
        self._strategies = strategies or Strategies()
        self._price_of = price_of
        self._lists = lists
        self._names_of = names_of
        self._models: dict[str, tuple[Channel, ...]] | None = None
        self._tiers: dict[str, tuple[Tier, ...]] = {}
        self._any: tuple[Tier, ...] | None = None

    def order(self, model: str, now: float, allowed: Allowed | None = None) -> Order:
        """Who may answer for ``model``: lowest priority number first, within a priority as the
        model's strategy says.

        ``allowed`` is the caller's restriction, None for none. Raises ModelNotFound if no channel
        has the model, Unavailable if those that have it are switched off, Forbidden if the caller may
        use none of them.
        """
        tiers = self._tiers.get(model)
        if tiers is None:
            tiers = self._arrange(model)
        order = self._ordered(tiers, self._strategies.of(model), now, allowed)
        if not order.options:
            raise _barred(model)
        return order

    def foremost(self, model: str, allowed: Allowed | None = None) -> Sequence[Option]:
        """Among whom the turn of the next request for ``model`` would be, without taking it: the first
        tier or, if the lowest price decides, the one that has it. Nobody's health is looked at. Raises as
        ``order``."""
        tiers = self._tiers.get(model)
        if tiers is None:
            tiers = self._arrange(model)
        for tier in tiers:
            usable = [one for one in tier.options if allowed is None or allowed(one.channel)]
            if usable:
                if self._strategies.of(model) == "lowest_price":
                    return (min(usable, key=self._price),)
                return usable
        raise _barred(model)

    def any_order(
        self,
        model: str,
        now: float,
        allowed: Allowed | None = None,
        may_use_model: Callable[[str], bool] = lambda model: True,
    ) -> Order:
        """High-availability mode: every enabled channel by priority, whatever model was asked for.

        Each is asked for the first of its models that the caller may use; a channel without a list
        is asked for ``model``. Raises Unavailable if no channel is enabled, Forbidden if the caller
        may use none.
        """
        if self._any is None:
            self._any = self._tiers_of([channel for channel in self.channels if channel.enabled])
        if not self._any:
            raise Unavailable("No channel is enabled.")
        order = self._ordered(self._any, self._strategies.default, now, allowed)
        options = []
        for option in order.options:
            name = option.model or model
            if not may_use_model(name):
                channel = option.channel
                others = (*channel.models, *channel.aliases) if channel.models else ()
                name = next((other for other in others if may_use_model(other)), "")
            if not name:
                order.excluded.append((option.channel, "the key may not use its models"))
            else:
                same = name == option.model
                options.append(option if same else msgspec.structs.replace(option, model=name))
        if not options:
            raise Forbidden("This key may not use any channel.", code="channel_not_allowed")
        return Order(options=options, excluded=order.excluded, strategy="high_availability")

    def models(self) -> dict[str, tuple[Channel, ...]]:
        """Every model name the enabled channels list, with the channels that have it."""
        if self._models is None:
            names: dict[str, list[Channel]] = {}
            for channel in self.channels:
                if channel.enabled:
                    for name in self._names_of(channel):
                        names.setdefault(name, []).append(channel)
            self._models = {name: tuple(channels) for name, channels in names.items()}
        return self._models

    def _ordered(
        self, tiers: tuple[Tier, ...], strategy: str, now: float, allowed: Allowed | None
    ) -> Order:
        options: list[Option] = []
        excluded: list[tuple[Channel, str]] = []
        for tier in tiers:
            part = tier
            if allowed is not None:
                usable = tuple(option for option in tier.options if allowed(option.channel))
                if len(usable) < len(tier.options):
                    part, barred = tier.part(usable)
                    excluded += barred
            members = part.next()
            if strategy != "round_robin" and len(members) > 1:
                options += self._by_strategy(strategy, members, now)
            else:
                options += members
        return Order(options=options, excluded=excluded, strategy=strategy)

    def _by_strategy(self, strategy: str, members: tuple[Option, ...], now: float) -> list[Option]:
        """``members`` by merit; equals keep their turns, because sorting is stable."""
        match strategy:
            case "least_busy":
                return sorted(members, key=_business)
            case "lowest_latency":
                return sorted(members, key=lambda option: _slowness(option.lane, now))
            case _:
                return sorted(members, key=self._price)

    def _price(self, option: Option) -> float:
        price = self._price_of(option.channel, option.model)
        return math.inf if price is None else price

    def _arrange(self, model: str) -> tuple[Tier, ...]:
        serving = [channel for channel in self.channels if channel.serves(model)]
        enabled = [channel for channel in serving if channel.enabled]
        if not enabled:
            if serving:
                raise Unavailable(
                    f"Every channel that has the model '{_shown(model)}' is disabled."
                )
            raise self._unknown(model)
        tiers = self._tiers_of(enabled, model)
        if len(self._tiers) >= _MAX_REMEMBERED:
            self._tiers.clear()
        self._tiers[model] = tiers
        return tiers

    def _tiers_of(self, channels: list[Channel], model: str | None = None) -> tuple[Tier, ...]:
        """``model`` None means each channel's first. Channels that are unlikely to have ``model`` come
        last, whatever their priority: lists are not always complete, so they are not left out."""
        ranked = sorted(
            ((self._doubt(channel, model), channel) for channel in channels), key=lambda one: one[0]
        )
        groups = itertools.groupby(ranked, key=lambda one: one[0])
        return tuple(
            Tier(tuple(self._option(channel, model, tier) for _, channel in group))
            for tier, (_, group) in enumerate(groups)
        )

    def _option(self, channel: Channel, model: str | None, tier: int) -> Option:
        lane = self._lanes[channel.id]
        if model is None:
            model = channel.models[0] if channel.models else ""
        return Option(channel, lane, model, lane.credentials, tier)

    def _doubt(self, channel: Channel, model: str | None) -> tuple[int, int, bool]:
        """By what a channel is ranked: whether it is unlikely to have ``model`` (2: its provider has
        neither it nor the like of it), its priority, whether that is a guess."""
        if model is None or channel.models or channel.lists(model):
            return 0, channel.priority, False
        listed = self._lists(channel, model)
        if listed:
            return 0, channel.priority, False
        suits = channel.suits(model)
        if listed is None and suits is not False:
            return 0, channel.priority, True
        return 1 if suits else 2, channel.priority, True

    def _unknown(self, model: str) -> ModelNotFound:
        shown = _shown(model)
        if not self.channels:
            return ModelNotFound(
                f"The model '{shown}' does not exist: no channel is configured yet.", param="model"
            )
        known = sorted(self.models())
        near = difflib.get_close_matches(model[:100], known, n=3, cutoff=0.4) or known[:3]
        hint = f" Nearest: {', '.join(near)}." if near else ""
        return ModelNotFound(f"The model '{shown}' does not exist.{hint}", param="model")


def _barred(model: str) -> Forbidden:
    return Forbidden(
        f"This key may not use any channel that has the model '{_shown(model)}'.",
        code="channel_not_allowed",
    )


def _business(option: Option) -> float:
    limiter = option.lane.limiter
    return (limiter.in_flight + limiter.waiting) / option.channel.weight


def _slowness(lane: Lane, now: float) -> float:
    """What is not measured goes first, once: while its answer is awaited, the measured are used."""
    latency = lane.latency(now)
    if latency is not None:
        return latency
    return 0.0 if lane.limiter.in_flight == 0 else math.inf


def _turns(options: tuple[Option, ...]) -> Sequence[int]:
    return _weighted_cycle(tuple(option.channel.weight for option in options))


@functools.lru_cache(maxsize=256)
def _weighted_cycle(weights: tuple[int, ...]) -> Sequence[int]:
    """The order of turns (indexes) of a smooth weighted round robin.

    Weights 5, 1, 1 give 0 0 1 0 2 0 0: the heavy one's turns are spread, not in a row. The method is
    nginx's: at each turn every member gains its weight, the richest is taken and pays the sum.
    """
    if len(set(weights)) < 2:
        return range(len(weights))
    divisor = math.gcd(*weights)
    shares = [weight // divisor for weight in weights]
    if (total := sum(shares)) > _MAX_TURNS:
        shares = [max(1, round(share * _MAX_TURNS / total)) for share in shares]
        total = sum(shares)
    current = [0] * len(shares)
    cycle = []
    for _ in range(total):
        current = [now + share for now, share in zip(current, shares, strict=True)]
        chosen = current.index(max(current))
        current[chosen] -= total
        cycle.append(chosen)
    return tuple(cycle)


def _shown(model: str) -> str:
    return model if len(model) <= 100 else model[:100] + "…"
