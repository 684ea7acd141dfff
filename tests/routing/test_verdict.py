"""What every error of the tree means for the channel, and for the request."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from dragoman.canonical import errors
from dragoman.canonical.errors import GatewayError, UpstreamError, from_upstream_status
from dragoman.routing.verdict import DISCONNECTED, Verdict, another_may_help, judge, may_repeat


class Expected(NamedTuple):
    verdict: Verdict
    another: bool
    repeat: bool


REPEATABLE = Expected(Verdict.FAILURE, another=True, repeat=True)
FAILED = Expected(Verdict.FAILURE, another=True, repeat=False)
OUR_OWN = Expected(Verdict.UNTOUCHED, another=True, repeat=False)
"""Never an attempt's outcome, so never the channel's fault."""

TABLE: dict[type[GatewayError], Expected] = {
    errors.GatewayError: OUR_OWN,
    errors.ClientError: OUR_OWN,
    errors.InvalidRequest: OUR_OWN,
    errors.NotTranslatable: OUR_OWN,
    errors.Unauthorized: OUR_OWN,
    errors.CreditExhausted: OUR_OWN,
    errors.Forbidden: OUR_OWN,
    errors.NotFound: OUR_OWN,
    errors.ModelNotFound: OUR_OWN,
    errors.RouteNotFound: OUR_OWN,
    errors.MethodNotAllowed: OUR_OWN,
    errors.RequestTooLarge: OUR_OWN,
    errors.UnsupportedEncoding: OUR_OWN,
    errors.UpgradeRequired: OUR_OWN,
    errors.RateLimited: OUR_OWN,
    errors.HeadersTooLarge: OUR_OWN,
    errors.RequestInFlight: OUR_OWN,
    errors.AnswerLost: OUR_OWN,
    errors.IdempotencyKeyReused: OUR_OWN,
    errors.Unavailable: OUR_OWN,
    errors.NotConfigured: OUR_OWN,
    errors.UpstreamError: FAILED,
    errors.UpstreamRejected: Expected(Verdict.ALIVE, another=False, repeat=False),
    errors.UpstreamModelMissing: Expected(Verdict.MODEL_MISSING, another=True, repeat=False),
    errors.UpstreamMisconfigured: Expected(Verdict.MISCONFIGURED, another=True, repeat=False),
    errors.UpstreamRefusedCredential: Expected(Verdict.CREDENTIAL, another=True, repeat=False),
    errors.UpstreamRateLimited: Expected(Verdict.RATE_LIMITED, another=True, repeat=True),
    errors.UpstreamOverloaded: FAILED,
    errors.UpstreamLoading: Expected(Verdict.LOADING, another=True, repeat=True),
    errors.UpstreamFailed: FAILED,
    errors.UpstreamUnreachable: REPEATABLE,
    errors.UpstreamTimeout: FAILED,
    errors.UpstreamBroken: FAILED,
}


def tree(root: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    return [root, *(leaf for branch in root.__subclasses__() for leaf in tree(branch))]


def found(error: GatewayError) -> Expected:
    return Expected(judge(error), another_may_help(error), may_repeat(error))


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_every_class_of_the_tree(kind: type[GatewayError]) -> None:
    assert kind in TABLE, f"{kind.__name__} is new: decide what it says about the channel"
    assert found(kind("x")) == TABLE[kind]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Expected(Verdict.ALIVE, another=False, repeat=False)),
        (401, Expected(Verdict.CREDENTIAL, another=True, repeat=False)),
        (402, Expected(Verdict.CREDENTIAL, another=True, repeat=False)),
        (403, Expected(Verdict.NO_ACCESS, another=True, repeat=False)),
        (404, Expected(Verdict.MODEL_MISSING, another=True, repeat=False)),
        (408, FAILED),
        (413, Expected(Verdict.ALIVE, another=False, repeat=False)),
        (422, Expected(Verdict.ALIVE, another=False, repeat=False)),
        (429, Expected(Verdict.RATE_LIMITED, another=True, repeat=True)),
        (500, REPEATABLE),
        (502, REPEATABLE),
        (503, REPEATABLE),
        (504, FAILED),
        (524, FAILED),
        (529, REPEATABLE),
    ],
)
def test_every_status(status: int, expected: Expected) -> None:
    assert found(from_upstream_status(status, "x")) == expected


def test_an_answer_is_a_success() -> None:
    assert judge(None) is Verdict.SUCCESS


@pytest.mark.parametrize(
    "error",
    [
        errors.UpstreamBroken("redirect", upstream_status=302),
        errors.UpstreamBroken("html", upstream_status=200),
        errors.UpstreamFailed("closed", code=DISCONNECTED),
        errors.UpstreamFailed("an error with HTTP 200", upstream_status=200),
    ],
)
def test_what_would_come_out_the_same_is_not_repeated(error: UpstreamError) -> None:
    assert found(error) == FAILED


def test_what_the_log_shows_is_told_apart() -> None:
    assert len({verdict.value for verdict in Verdict}) == len(Verdict)
