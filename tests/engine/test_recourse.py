"""What an opener proposes when an answer fails."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.canonical.errors import (
    GatewayError,
    RateLimited,
    UpstreamRateLimited,
    UpstreamUnreachable,
)
from tests.engine.scripted import Script
from tests.engine.test_pipeline import GOOD, Run, stream

LIMITED = Script(b'{"error":{"message":"Not today."}}', status=429)
FAILED = Script(b'{"error":{"message":"Broken."}}', status=500)


def run(*scripts: Script, opener: str = "second_thoughts", channels: int = 1) -> Run:
    return Run(*scripts, opener=f"tests.engine.openers:{opener}", channels=channels)


def urls(made: Run) -> list[str]:
    return [request.url for request in made.transport.requests]


def failure(made: Run) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        asyncio.run(made.go())
    return caught.value


def test_an_answer_that_fails_is_tried_the_other_way() -> None:
    made = run(LIMITED, Script(b"info"), GOOD)
    asyncio.run(made.go())
    assert urls(made)[1:] == ["http://up.test/info", "http://up.test/other"]


def test_once_only_and_then_the_first_error_is_told() -> None:
    made = run(LIMITED, Script(b"info"), FAILED)
    error = failure(made)
    assert isinstance(error, UpstreamRateLimited)
    assert "Not today." in error.message
    assert len(urls(made)) == 3


def test_the_first_error_is_told_if_the_other_way_does_not_even_open() -> None:
    made = run(LIMITED, Script(refuse=UpstreamUnreachable("gone")))
    assert isinstance(failure(made), UpstreamRateLimited)


def test_an_error_that_is_worth_no_try() -> None:
    made = run(FAILED)
    assert "Broken." in failure(made).message
    assert len(urls(made)) == 1


def test_an_error_that_means_something_else_is_told_as_that() -> None:
    """And is nobody else's: no other channel is asked."""
    made = run(LIMITED, opener="callers_own", channels=2)
    assert isinstance(failure(made), RateLimited)
    assert len(urls(made)) == 1


def test_nothing_is_tried_after_the_first_content() -> None:
    made = run(stream(*GOOD.steps[:2], UpstreamRateLimited("Not today.")), Script(b"info"), GOOD)
    asyncio.run(made.go())
    assert len(urls(made)) == 1
    assert b"Not today." in made.answer.body
