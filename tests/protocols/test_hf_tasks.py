"""The task API's errors and bills: its own shapes, and nothing but refusals for nonsense."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.errors import (
    GatewayError,
    InvalidRequest,
    RateLimited,
    Unavailable,
    UpstreamRejected,
)
from dragoman.protocols.hf_tasks import billing
from dragoman.protocols.hf_tasks.billing import CostItem, Page, UsageRecord
from dragoman.protocols.hf_tasks.errors import ERROR_TYPES, encode_error
from dragoman.protocols.hf_tasks.tasks import TASKS, task_of
from tests.protocols.test_conformance_errors import RETRIED_UNASKED, every_error

ITEM = CostItem("embedding", "m", 1, 2)


def shown(error: GatewayError) -> tuple[dict[str, str], dict[str, str]]:
    """Headers and body."""
    reply = encode_error(error, "req-7")
    assert reply.status == error.status
    return dict(reply.headers), json.loads(reply.body)


@pytest.mark.row("S4-40")
@every_error
def test_every_error_has_the_documented_body(kind: type[GatewayError]) -> None:
    error = kind("What to mend.", param="messages.0")
    headers, body = shown(error)
    assert set(body) == {"error", "error_type", "message"}
    assert body["error"] == "What to mend."
    assert body["error_type"] == ERROR_TYPES[error.status]
    assert body["message"].startswith("field: messages.0")
    assert body["message"].endswith("request: req-7")
    assert headers["x-request-id"] == "req-7"
    discouraged = not error.retryable and error.status in RETRIED_UNASKED
    assert headers.get("x-should-retry") == ("false" if discouraged else None)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequest"),
        (401, "Unauthorized"),
        (402, "PaymentRequired"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (418, "BadRequest"),
        (429, "TooManyRequests"),
        (500, "InternalServerError"),
        (502, "BadGateway"),
        (503, "ServiceUnavailable"),
        (504, "GatewayTimeout"),
        (599, "InternalServerError"),
    ],
)
def test_the_type_follows_from_the_status(status: int, name: str) -> None:
    assert shown(UpstreamRejected("x", status=status))[1]["error_type"] == name


@pytest.mark.parametrize(("seconds", "written"), [(0.2, "1"), (7.0, "7"), (7.1, "8")])
def test_retry_after_is_in_whole_seconds(seconds: float, written: str) -> None:
    for kind in (RateLimited, Unavailable):
        assert shown(kind("Wait.", retry_after=seconds))[0]["retry-after"] == written


@given(st.lists(st.one_of(st.none(), st.integers(0, 2**62)), max_size=5))
def test_dollars_are_exact_and_in_plain_digits(costs: list[int | None]) -> None:
    raw = billing.encode_costs([ITEM] * len(costs), costs, [])
    answer = json.loads(raw, parse_float=Decimal)
    assert b"E" not in raw.replace(b"USD", b"")
    assert answer["total_cost_nano_usd"] == sum(cost or 0 for cost in costs)
    for cost, told in zip(costs, answer["costs"], strict=True):
        assert told["cost_nano_usd"] == cost
        exact = None if cost is None else Decimal(cost) / 10**9
        assert told["cost_usd"] == exact
    assert "warnings" not in answer


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["task", "model", "input_tokens", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(
    st.one_of(
        st.binary(max_size=60),
        VALUES.map(lambda value: json.dumps({"requests": value}).encode()),
        VALUES.map(lambda value: json.dumps({"requestIds": [value]}).encode()),
    )
)
def test_nonsense_is_refused_and_nothing_else(body: bytes) -> None:
    for decode in (billing.decode_cost_request, billing.decode_request_ids):
        found: list[Any] = []
        with contextlib.suppress(InvalidRequest):
            found = decode(body)
        assert all(isinstance(one, CostItem | str) for one in found)


@given(st.text(max_size=30))
def test_a_page_is_read_or_refused(text: str) -> None:
    assert billing.decode_page("") == Page(limit=100, offset=0)
    for field in ("limit", "offset"):
        page = Page()
        with contextlib.suppress(InvalidRequest):
            page = billing.decode_page(f"{field}={text}")
        assert 1 <= page.limit <= billing.MOST_RECORDS
        assert 0 <= page.offset <= billing.MOST_OFFSET


def test_usage_records_have_the_documented_fields() -> None:
    record = UsageRecord("id", billing.timestamp(1_736_937_000.0), "t", "m", 1, None, None, "3")
    assert json.loads(billing.encode_usage([record], 7, 9)) == {
        "records": [
            {
                "request_id": "id",
                "timestamp": "2025-01-15T10:30:00.000Z",
                "task": "t",
                "model": "m",
                "input_tokens": 1,
                "output_tokens": None,
                "cost_nano_usd": None,
                "user_id": "3",
            }
        ],
        "total_records": 7,
        "total_cost_nano_usd": 9,
    }


@pytest.mark.parametrize(
    ("operation", "protocol", "task"),
    [
        ("generate", "anthropic_messages", "conversational"),
        ("generate", "openai_completions", "text-generation"),
        ("embed", "gemini_generate", "embedding"),
    ],
)
def test_every_request_was_one_of_the_tasks(operation: str, protocol: str, task: str) -> None:
    assert task_of(operation, protocol) == task
    assert task in TASKS


@pytest.mark.parametrize("task", [*TASKS, "text-to-image", "feature-extraction"])
def test_tasks_are_known_by_either_name(task: str) -> None:
    body = {"task": task, "model": "m", "input_tokens": 0, "output_tokens": 0}
    (item,) = billing.decode_cost_request(json.dumps({"requests": [body]}).encode())
    assert item.task == task
