"""What requests would cost, and what they have cost: the billing part of Hugging Face's task API.

These requests are no model's: they are not in the request log, cost nothing, and count as requests
towards the limits of their key, its user and the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from typing import Protocol as Interface

from dragoman.canonical.errors import GatewayError, RouteNotFound
from dragoman.canonical.usage import Usage
from dragoman.engine.pipeline import JSON_HEADERS
from dragoman.governance.ledger import Entry
from dragoman.governance.price import Price, cost
from dragoman.governance.principal import Principal
from dragoman.governance.statements import Used
from dragoman.protocols.hf_tasks import billing
from dragoman.protocols.hf_tasks.billing import CostItem, UsageRecord
from dragoman.protocols.hf_tasks.tasks import task_of
from dragoman.routing.channel import Channel
from dragoman.server.body import read_body
from dragoman.server.gateway import Gateway, check_model
from dragoman.server.inference import Incoming
from dragoman.server.routes import Operation, Route

OPERATIONS = frozenset({Operation.ASK_COST, Operation.SHOW_USAGE, Operation.BILL_REQUESTS})
MAX_BODY_BYTES = 4 * 1024 * 1024
"""Ten thousand requests, each with a name of three hundred letters."""
_AT_ONCE = 100
"""Requests that are priced before others get their turn: some milliseconds, if each has a model of its
own that was not asked for before."""


class Charged(NamedTuple):
    """A request that was served, and what it cost in all, in nano-USD; None if it has no price."""

    entry: Entry
    cost: int | None


class Bills(Interface):
    """What the books say of one user's requests. Both raise Unavailable when they cannot be read."""

    async def used(
        self, user_id: int, *, limit: int, offset: int
    ) -> tuple[Sequence[Charged], Used]:
        """The user's requests, newest first, ``limit`` of them after ``offset`` others, with those that
        were settled a moment ago; and the sums of all."""
        ...

    async def costs(self, user_id: int, request_ids: Sequence[str]) -> Mapping[str, int | None]:
        """What requests of the user's cost, in nano-USD, by their ids; None for one without a price.
        Others are left out."""
        ...


class Billing:
    """Answers ``OPERATIONS``."""

    def __init__(self, gateway: Gateway, bills: Bills | None) -> None:
        """Without ``bills`` there is no usage to show."""
        self._gateway = gateway
        self._bills = bills

    async def answer(self, route: Route, incoming: Incoming) -> None:
        """Answer an authenticated request. Raises GatewayError while nothing was sent."""
        try:
            match route.operation:
                case Operation.ASK_COST:
                    body = await self._ask_cost(incoming)
                case Operation.SHOW_USAGE:
                    body = await self._show_usage(incoming)
                case _:
                    body = await self._bill_requests(incoming)
        except GatewayError:
            incoming.answer.about = self._limits(incoming)
            raise
        ids = {"x-request-id": incoming.id, "inference-id": incoming.id}
        headers = {**JSON_HEADERS, **ids, **self._limits(incoming)}
        await incoming.answer.whole(200, headers, body)

    async def _ask_cost(self, incoming: Incoming) -> bytes:
        items = billing.decode_cost_request(await _body(incoming))
        with self._gateway.accounting.visit(incoming.principal):
            prices: dict[str, list[Price]] = {}
            costs: list[int | None] = []
            for place, item in enumerate(items):
                if item.model not in prices:
                    prices[item.model] = self._prices(item.model, place, incoming.principal)
                costs.append(_cost(item, prices[item.model]))
                if place % _AT_ONCE == _AT_ONCE - 1:
                    await asyncio.sleep(0)
        return billing.encode_costs(items, costs, _warnings(prices))

    async def _show_usage(self, incoming: Incoming) -> bytes:
        page = billing.decode_page(incoming.scope["query_string"].decode("latin-1"))
        with self._gateway.accounting.visit(incoming.principal):
            requests, totals = await self._books().used(
                incoming.principal.user_id, limit=page.limit, offset=page.offset
            )
        return billing.encode_usage(
            [_record(one) for one in requests], totals.requests, totals.cost
        )

    async def _bill_requests(self, incoming: Incoming) -> bytes:
        request_ids = billing.decode_request_ids(await _body(incoming))
        with self._gateway.accounting.visit(incoming.principal):
            costs = await self._books().costs(incoming.principal.user_id, request_ids)
        return billing.encode_request_costs(costs)

    def _prices(self, model: str, place: int, principal: Principal) -> list[Price]:
        """The prices of those among whom the next request's turn is. Raises, as a request for the model
        would, what names the item."""

        def allowed(channel: Channel) -> bool:
            return principal.may_use_channel(channel.id, channel.name)

        try:
            check_model(principal, model)
            options = self._gateway.routing.foremost(model, allowed)
        except GatewayError as error:
            error.param = f"requests.{place}.model"
            raise
        charged = (
            self._gateway.accounting.price(option.channel, option.model) for option in options
        )
        return [price for price in charged if price is not None]

    def _books(self) -> Bills:
        if self._bills is None:
            raise RouteNotFound("This gateway keeps no books.")
        return self._bills

    def _limits(self, incoming: Incoming) -> dict[str, str]:
        return self._gateway.accounting.headers(incoming.principal, anthropic=False)


async def _body(incoming: Incoming) -> bytes:
    return await read_body(incoming.headers, incoming.receive, MAX_BODY_BYTES)


def _cost(item: CostItem, prices: Iterable[Price]) -> int | None:
    """The dearest of ``prices``, so that taking turns does not make the bill larger than this."""
    usage = Usage(input=item.input_tokens, output=item.output_tokens)
    return max((cost(usage, price) for price in prices), default=None)


def _warnings(prices: Mapping[str, Sequence[Price]]) -> list[str]:
    return [
        f"The model '{model}' has no price here: its cost is not known, and not in the total."
        for model, known in prices.items()
        if not known
    ]


def _record(one: Charged) -> UsageRecord:
    entry, usage = one.entry, one.entry.usage
    return UsageRecord(
        request_id=entry.id,
        timestamp=billing.timestamp(entry.at),
        task=task_of(entry.operation, entry.protocol),
        model=entry.model,
        input_tokens=None if usage is None else usage.total_input,
        output_tokens=None if usage is None else usage.total_output,
        cost_nano_usd=one.cost,
        user_id=str(entry.user_id),
    )
