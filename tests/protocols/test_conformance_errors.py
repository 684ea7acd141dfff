"""Every protocol × every error: its own shape, the right status, and honest advice on retrying."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dragoman.canonical import errors
from dragoman.canonical.errors import CreditExhausted, GatewayError, RateLimited
from dragoman.canonical.events import PartDelta, PartStart, Start
from dragoman.canonical.parts import Text
from dragoman.protocols.base import all_events
from tests.protocols.conformance import (
    NAMES,
    REQUEST,
    every_protocol,
    every_upstream,
    load,
    origin,
)


def descendants(cls: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """Every class below ``cls``."""
    for child in cls.__subclasses__():
        yield child
        yield from descendants(child)


TREE = sorted(
    {one for one in descendants(GatewayError) if one.__module__ == errors.__name__},
    key=lambda one: one.__name__,
)
LEAVES = [one for one in TREE if not one.__subclasses__()]
every_error = pytest.mark.parametrize("kind", TREE, ids=[one.__name__ for one in TREE])

# The statuses that clients repeat by themselves unless they are told not to.
RETRIED_UNASKED = {401, 402, 408, 409, 429, *range(500, 600)}


def _openai(body: Any, status: int) -> str:
    error = body["error"]
    assert isinstance(error["type"], str)
    assert {"param", "code"} <= set(error)
    return str(error["message"])


def _anthropic(body: Any, status: int) -> str:
    assert body["type"] == "error"
    assert body["error"]["type"].endswith(("_error", "too_large"))
    assert body["request_id"] == "req-7"
    return str(body["error"]["message"])


def _gemini(body: Any, status: int) -> str:
    error = body["error"]
    assert error["code"] == status
    assert error["status"] == error["status"].upper()
    return str(error["message"])


def _ollama(body: Any, status: int) -> str:
    assert isinstance(body["error"], str)
    return str(body["error"])


SHAPES: dict[str, Callable[[Any, int], str]] = {
    "openai_chat": _openai,
    "openai_responses": _openai,
    "openai_completions": _openai,
    "anthropic_messages": _anthropic,
    "gemini_generate": _gemini,
    "ollama_chat": _ollama,
}


@every_protocol
@every_error
def test_an_error_in_the_protocols_own_shape(name: str, kind: type[GatewayError]) -> None:
    error = kind("What to mend.", param="messages.0")
    reply = load(name).encode_error(error, "req-7")
    headers = dict(reply.headers)
    assert reply.status == error.status
    assert headers["x-request-id"] == "req-7"
    assert headers["content-type"].partition(";")[0] == "application/json"
    body = json.loads(reply.body)
    message = SHAPES[name](body, reply.status) if name in SHAPES else json.dumps(body)
    assert "What to mend." in message
    discouraged = not error.retryable and error.status in RETRIED_UNASKED
    assert headers.get("x-should-retry") == ("false" if discouraged else None)
    assert "retry-after" not in headers


@every_protocol
@pytest.mark.parametrize(("seconds", "written"), [(0.0, "1"), (0.2, "1"), (7.0, "7"), (7.1, "8")])
def test_retry_after_is_in_whole_seconds(name: str, seconds: float, written: str) -> None:
    error = RateLimited("Slow down.", retry_after=seconds)
    assert dict(load(name).encode_error(error, "r").headers)["retry-after"] == written


@every_protocol
def test_exhausted_credit_never_looks_retryable(name: str) -> None:
    reply = load(name).encode_error(CreditExhausted("No credit is left."), "r")
    assert reply.status == 402
    assert dict(reply.headers)["x-should-retry"] == "false"
    quota = {
        "openai_chat": "insufficient_quota",
        "openai_responses": "insufficient_quota",
        "anthropic_messages": "billing_error",
    }
    assert quota.get(name, "") in reply.body.decode()


@every_protocol
@every_error
def test_an_error_within_a_stream_raises_at_the_other_end(
    name: str, kind: type[GatewayError]
) -> None:
    protocol = load(name)
    encoder = protocol.stream_encoder(REQUEST)
    wire = encoder.feed(Start(id="r", model="m"))
    wire += encoder.feed(PartStart(0, Text(text="")))
    wire += encoder.feed(PartDelta(0, "half an"))
    wire += encoder.error(kind("It broke."))
    decoder = protocol.stream_decoder(origin(protocol))
    with pytest.raises(GatewayError) as caught:
        all_events(decoder, [wire])
    assert "It broke." in caught.value.message


@every_protocol
@every_error
def test_another_gateways_errors_are_understood(name: str, kind: type[GatewayError]) -> None:
    """The protocol's upstream side reads what its client side writes."""
    protocol = load(name)
    reply = protocol.encode_error(kind("What to mend."), "req-7")
    error = protocol.decode_error(reply.status, dict(reply.headers), reply.body)
    assert isinstance(error, errors.UpstreamError)
    assert error.upstream_status == reply.status
    assert "What to mend." in error.message


@every_upstream
@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refused_key_that_the_upstream_quotes_stays_with_us(name: str, status: int) -> None:
    """Servers name the key they refuse, and that key is the operator's."""
    body = json.dumps({"error": {"message": "Incorrect API key: sk-live-0123456789. Mend it."}})
    error = load(name).decode_error(status, {}, body.encode())
    assert isinstance(error, errors.UpstreamRefusedCredential)
    assert error.message == "Incorrect API key: ***. Mend it."


def test_the_tree_is_what_its_drawing_says() -> None:
    drawn = [
        line.split("──")[1].split()[0]
        for line in (errors.__doc__ or "").splitlines()
        if "──" in line
    ]
    assert sorted(drawn) == [one.__name__ for one in TREE]
    assert LEAVES
    assert NAMES
