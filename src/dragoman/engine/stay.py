"""A request inside the gateway: what it asked for, and what was taken for it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from dragoman.engine.journey import Attempt
from dragoman.engine.parties import Party, UserParty
from dragoman.governance.price import Price
from dragoman.governance.principal import Principal
from dragoman.governance.purse import TrialUse
from dragoman.routing.channel import Channel

_MOST_TOKENS = 10**7
_MOST_ANSWERS = 1_000
"""Clients write what they like; no model writes as much, and amounts must fit 64 bits."""

PriceOf = Callable[[Channel, str, str], Price | None]
"""(channel, upstream model, public model) → the price in force; None if nobody states one."""


class Demand(msgspec.Struct, frozen=True):
    """What a request will need. ``input_tokens`` estimates when it is called, which it is only if
    something depends on it. ``max_output`` is the client's bound, None without (some clients write a
    negative one), 0 for an operation that writes nothing. One that is not ``charged`` (a token count)
    only counts as a request."""

    request_id: str
    operation: str
    input_tokens: Callable[[], int]
    max_output: int | None = None
    answers: int = 1
    charged: bool = True

    def output(self, usual: int) -> int:
        """The most that is written; ``usual`` where the client does not bound it."""
        bound = self.max_output
        each = usual if bound is None or bound < 0 else min(bound, _MOST_TOKENS)
        return each * min(max(self.answers, 1), _MOST_ANSWERS)


class Stay:
    """A request that was admitted, until it is settled or released.

    ``tokens`` and ``nano`` (nano-USD) are what is taken for it, ``trial`` is what pays if not the
    account, which is ``prepaid`` or not, ``at`` is when it came (Unix time). ``cost`` is what it cost once
    it is ``settled``, None if that has no price.
    """

    __slots__ = (
        "_input_tokens",
        "_price_of",
        "_prices",
        "_stated",
        "at",
        "cost",
        "demand",
        "key",
        "nano",
        "open",
        "prepaid",
        "principal",
        "settled",
        "tokens",
        "trial",
        "user",
    )

    def __init__(
        self,
        demand: Demand,
        principal: Principal,
        key: Party,
        user: UserParty,
        *,
        price_of: PriceOf,
        at: float,
        stated: Price | None = None,
    ) -> None:
        """``stated`` is the price where ``price_of`` knows none."""
        self.demand = demand
        self.principal = principal
        self.key = key
        self.user = user
        self.at = at
        self.trial: TrialUse | None = None
        self.tokens = 0
        self.nano = 0
        self.prepaid = user.user.prepaid
        self.open = True
        self.settled = False
        self.cost: int | None = None
        self._price_of = price_of
        self._stated = stated
        self._prices: dict[tuple[int, str], Price | None] = {}
        self._input_tokens: int | None = None

    @property
    def input_tokens(self) -> int:
        """The estimate of what the request reads."""
        if self._input_tokens is None:
            self._input_tokens = self.demand.input_tokens()
        return self._input_tokens

    def price(self, channel: Channel, upstream_model: str, public_model: str) -> Price | None:
        """The price for this request, which stays what it was when it was first asked for: a price
        that changes meanwhile is the next request's."""
        known = (channel.id, upstream_model)
        if known not in self._prices:
            found = self._price_of(channel, upstream_model, public_model)
            self._prices[known] = found or self._stated
        return self._prices[known]

    def price_at(self, attempt: Attempt) -> Price | None:
        """The price where an attempt is made, or was."""
        return self.price(attempt.channel, attempt.upstream_model, attempt.slot.option.model)
