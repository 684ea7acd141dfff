"""What the task API says of money: costs in advance, usage, and what Hugging Face asks its providers.

Money is integer nano-USD (1e-9 USD); ``cost_usd`` is the same as an exact decimal number. What has no
price has the cost null, which is not the same as zero. Sources: the task API's documentation, and
huggingface/hub-docs ``docs/inference-providers/register-as-a-provider.md`` for ``requestIds``.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.protocols.hf_tasks.tasks import check_task
from dragoman.protocols.wire_json import read_client

MOST_AT_ONCE = 10_000
"""Requests that costs are asked of in one call."""
MOST_TOKENS = 1_000_000_000
MOST_RECORDS = 1_000
"""Usage records in one answer."""
MOST_OFFSET = 1_000_000_000

_Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_encode = msgspec.json.Encoder().encode


class CostItem(msgspec.Struct, frozen=True):
    """A request to be: how many tokens a model would read and write."""

    task: _Name
    model: _Name
    input_tokens: _Tokens
    output_tokens: _Tokens


class Page(msgspec.Struct, frozen=True):
    """Which records of many: ``limit`` of them after ``offset`` others."""

    limit: int = 100
    offset: int = 0


class UsageRecord(msgspec.Struct, frozen=True):
    """A request that was served. ``timestamp`` is ISO 8601; counts that nobody knows are null, and so is
    the cost without a price."""

    request_id: str
    timestamp: str
    task: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    cost_nano_usd: int | None
    user_id: str


class _CostRequest(msgspec.Struct, frozen=True):
    requests: Annotated[list[CostItem], msgspec.Meta(max_length=MOST_AT_ONCE)]


class _BillingRequest(msgspec.Struct, frozen=True, rename="camel"):
    request_ids: Annotated[list[_Name], msgspec.Meta(max_length=MOST_AT_ONCE)]


_costs = msgspec.json.Decoder(_CostRequest)
_ids = msgspec.json.Decoder(_BillingRequest)


def decode_cost_request(body: bytes) -> list[CostItem]:
    """``{"requests": [{task, model, input_tokens, output_tokens}]}``. Raises InvalidRequest that names
    the field."""
    items = read_client(body, _costs).requests
    for place, item in enumerate(items):
        check_task(item.task, f"requests.{place}.task")
    return items


def encode_costs(
    items: Sequence[CostItem], costs: Sequence[int | None], warnings: Sequence[str]
) -> bytes:
    """The answer: each item with its cost, and their sum. ``warnings`` are left out if there are
    none."""
    answer: dict[str, Any] = {
        "total_cost_nano_usd": sum(cost for cost in costs if cost is not None),
        "costs": [
            {
                "task": item.task,
                "model": item.model,
                "input_tokens": item.input_tokens,
                "output_tokens": item.output_tokens,
                "cost_nano_usd": cost,
                "cost_usd": None if cost is None else _usd(cost),
            }
            for item, cost in zip(items, costs, strict=True)
        ],
        "currency": "USD",
    }
    if warnings:
        answer["warnings"] = warnings
    return _encode(answer)


def decode_page(query: str) -> Page:
    """``limit`` and ``offset`` of a query string. Raises InvalidRequest that names the field."""
    given = dict(parse_qsl(query, keep_blank_values=True))
    return Page(
        limit=_number(given, "limit", Page().limit, 1, MOST_RECORDS),
        offset=_number(given, "offset", Page().offset, 0, MOST_OFFSET),
    )


def encode_usage(records: Sequence[UsageRecord], total_records: int, total_cost: int) -> bytes:
    """The answer: a page of records, newest first, and the totals of all that there are."""
    return _encode(
        {
            "records": records,
            "total_records": total_records,
            "total_cost_nano_usd": total_cost,
        }
    )


def decode_request_ids(body: bytes) -> list[str]:
    """``{"requestIds": […]}``. Raises InvalidRequest that names the field."""
    return read_client(body, _ids).request_ids


def encode_request_costs(costs: Mapping[str, int | None]) -> bytes:
    """``{"requests": [{requestId, costNanoUsd}]}``; what has no price is left out, because Hugging Face
    would take a zero for its price."""
    return _encode(
        {
            "requests": [
                {"requestId": request_id, "costNanoUsd": cost}
                for request_id, cost in costs.items()
                if cost is not None
            ]
        }
    )


def timestamp(at: float) -> str:
    """Unix time as ISO 8601 in UTC, to the millisecond."""
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _number(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    # Only plain digits are a number here: int() would take "１０", "1_0" and " 10 " as well.
    if text.isascii() and text.isdecimal() and len(text) <= len(str(most)):
        number = int(text)
        if least <= number <= most:
            return number
    raise InvalidRequest(f"{name} must be a whole number from {least} to {most}.", param=name)


def _usd(nano: int) -> msgspec.Raw:
    """Nano-USD as a JSON number in dollars, exact and in plain digits."""
    return msgspec.Raw(f"{Decimal(nano).scaleb(-9).normalize():f}".encode())
