"""When a request is sent again, and after how long."""

from __future__ import annotations

import json

import pytest
from dragoman_client._attempts import LONGEST_WAIT_SECONDS, Attempts
from dragoman_client._reading import Reply
from dragoman_client.errors import ApiError, NoAnswer, TimedOut
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000.0


def attempts(most: int = 2, *, harmless: bool = True, chance: float = 0.5) -> Attempts:
    return Attempts(most, harmless=harmless, chance=lambda: chance, now=lambda: NOW)


def refusal(status: int, **headers: str) -> Reply:
    body = {"error": "no", "error_type": "X", "message": ""}
    return Reply(
        status, {k.replace("_", "-"): v for k, v in headers.items()}, json.dumps(body).encode()
    )


@given(chance=st.floats(0, 1, exclude_max=True), after=st.floats(0, LONGEST_WAIT_SECONDS))
def test_full_jitter_and_never_before_retry_after(chance: float, after: float) -> None:
    one = attempts(10, chance=chance)
    pauses = [one.refused(refusal(503, retry_after=str(after))) for _ in range(10)]
    bounds = [0.5, 1, 2, 4, 8, 8, 8, 8, 8, 8]
    assert pauses == [after + chance * bound for bound in bounds]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_it_ends_after_as_many_as_were_allowed(status: int) -> None:
    one = attempts(2)
    assert one.refused(refusal(status)) == 0.25
    assert one.refused(refusal(status)) == 0.5
    with pytest.raises(ApiError) as caught:
        one.refused(refusal(status, retry_after="7"))
    assert (caught.value.status, caught.value.retry_after) == (status, 7)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 409, 413, 422, 500, 501, 300])
def test_what_would_fail_again_is_not_sent_again(status: int) -> None:
    with pytest.raises(ApiError):
        attempts().refused(refusal(status))


@pytest.mark.parametrize("status", [402, 429, 503])
def test_the_gateway_may_forbid_it(status: int) -> None:
    with pytest.raises(ApiError):
        attempts().refused(refusal(status, x_should_retry="false"))


def test_payment_is_never_tried_again_whatever_comes_with_it() -> None:
    with pytest.raises(ApiError):
        attempts().refused(refusal(402, x_should_retry="true", retry_after="1"))


@pytest.mark.parametrize(
    ("status", "again"), [(429, True), (503, True), (502, False), (504, False)]
)
def test_what_may_have_been_served_and_charged_needs_a_key(status: int, again: bool) -> None:
    one = attempts(harmless=False)
    if again:
        assert one.refused(refusal(status)) == 0.25
    else:
        with pytest.raises(ApiError):
            one.refused(refusal(status))


def test_an_answer_that_is_being_made_is_waited_for() -> None:
    assert attempts().refused(refusal(409, retry_after="1")) == 1.25


def test_a_lost_connection() -> None:
    assert attempts(harmless=False).failed(NoAnswer("no"), sent=False) == 0.25
    assert attempts(harmless=True).failed(TimedOut("no"), sent=True) == 0.25
    for one, sent in ((attempts(harmless=False), True), (attempts(0), False)):
        error = TimedOut("no")
        with pytest.raises(TimedOut) as caught:
            one.failed(error, sent=sent)
        assert caught.value is error


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        ("3", 3.25),
        ("0", 0.25),
        ("-5", 0.25),
        ("1.5", 1.75),
        ("Fri, 15 Jan 2027 08:00:20 GMT", 20.25),  # NOW and twenty seconds
        ("Fri, 15 Jan 1999 08:00:20 GMT", 0.25),
        ("soon", 0.25),
        ("", 0.25),
        ("nan", 0.25),
        ("9" * 400, 0.25),
    ],
)
def test_retry_after_in_every_form(header: str, pause: float) -> None:
    assert attempts().refused(refusal(429, retry_after=header)) == pause


def test_too_long_a_wait_is_the_callers() -> None:
    with pytest.raises(ApiError) as caught:
        attempts().refused(refusal(429, retry_after="61"))
    assert caught.value.retry_after == 61
