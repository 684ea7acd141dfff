"""What upstreams quote of the request they refuse."""

from __future__ import annotations

import pytest

from dragoman.canonical.errors import UpstreamRejected
from dragoman.engine.quoting import mask, mask_error
from dragoman.wire.http import HttpRequest

SECRET = "sk-canary+4711/is=here"
ASKED = HttpRequest(
    method="POST",
    url=f"https://upstream.example/v1?key={'k' * 20}&alt=sse-and-more",
    headers={
        "authorization": f"Bearer {SECRET}",
        "x-own": "own-secret-value",
        "x-short": "eu-1",
        "content-type": "application/json",
    },
)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (f"The key {SECRET} is wrong.", "The key *** is wrong."),
        (f"{{'authorization': 'Bearer {SECRET}'}}", "{'authorization': 'Bearer ***'}"),
        ("sk-canary%2B4711%2Fis%3Dhere", "***"),
        ("x-own: own-secret-value, x-short: eu-1", "x-own: ***, x-short: eu-1"),
        (f"?key={'k' * 20}&alt=sse-and-more", "?key=***&alt=sse-and-more"),
        ("Send application/json.", "Send application/json."),
    ],
)
def test_a_quoted_secret_is_masked(said: str, heard: str) -> None:
    assert mask(said, ASKED) == heard


@pytest.mark.parametrize("end", ["", "…", "..."])
def test_the_beginning_of_a_secret_where_a_message_was_cut(end: str) -> None:
    error = UpstreamRejected(f"It has Bearer {SECRET[:12]}{end}", code=SECRET, param="model")
    mask_error(error, ASKED)
    assert error.message == str(error) == "It has Bearer ***"
    assert (error.code, error.param) == ("***", "model")


def test_a_forms_values_are_secret_but_for_the_grants_type() -> None:
    asked = HttpRequest(
        method="POST",
        url="https://auth.example/token",
        headers={"content-type": "application/x-www-form-urlencoded"},
        body=b"grant_type=refresh_token&refresh_token=rt%2Fsecret-4711&client_id=public-client",
    )
    said = "refresh_token rt/secret-4711 (rt%2Fsecret-4711) of public-client is used up"
    assert mask(said, asked) == "refresh_token *** (***) of public-client is used up"
