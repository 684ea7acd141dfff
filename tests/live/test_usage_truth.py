"""The usage in the books where an upstream tells none, or not all: estimated, marked, and the same that
the client received, unless it received none."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.administered import ENVIRON, admin
from tests.live.raw import BEARER, PATHS, Reply, ask, path_of, request_body
from tests.support.gateway import BASES, Gateway, configuration
from tests.support.standin.script import GREETING
from tests.support.upstream import StandIn

PAIRS = [(client, upstream) for client in PATHS for upstream in BASES]
every_pair = pytest.mark.parametrize(
    ("client", "upstream_name"), PAIRS, ids=[f"{a}-{b}" for a, b in PAIRS]
)
both_modes = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


@pytest.fixture(scope="module")
def site(upstream_server: StandIn) -> Iterator[Gateway]:
    with Gateway(configuration(upstream_server.url), environ=ENVIRON) as running:
        yield running


def asked(site: Gateway, client: str, model: str, *, streamed: bool) -> Reply:
    """A whole answer to a small request."""
    path, body = path_of(client, model), request_body(client, model)
    if client == "gemini_generate":
        path = (
            path.replace(":generateContent", ":streamGenerateContent?alt=sse") if streamed else path
        )
    else:
        body["stream"] = streamed
    reply = ask(site, "POST", path, body)
    assert reply.status == 200, reply.body
    return reply


def booked(site: Gateway, request_id: str) -> dict[str, Any]:
    """The usage in the request log, once it is there."""
    until = time.monotonic() + 20
    while (reply := admin(site, "GET", f"/requests/{request_id}")).status == 404:
        assert time.monotonic() < until, "it is not logged"
        time.sleep(0.02)
    usage: dict[str, Any] = reply.json["usage"]
    return usage


@every_pair
@both_modes
def test_an_upstream_that_tells_no_usage(
    site: Gateway, client: str, upstream_name: str, streamed: bool
) -> None:
    reply = asked(site, client, f"{upstream_name}/no-usage", streamed=streamed)
    usage = booked(site, reply.headers["x-request-id"])
    assert usage["estimated"]
    assert usage["input"] > 0
    assert 0.5 * len(GREETING) / 4 < usage["output"] < 4 * len(GREETING) / 4
    if client != upstream_name and not streamed:
        assert str(usage["output"]) in reply.body.decode()  # the client was told the same


@every_pair
@both_modes
def test_an_upstream_that_tells_it(
    site: Gateway, client: str, upstream_name: str, streamed: bool
) -> None:
    """Streams are asked for usage that the client has not asked for, nor sees."""
    reply = asked(site, client, f"{upstream_name}/text", streamed=streamed)
    usage = booked(site, reply.headers["x-request-id"])
    assert not usage.get("estimated")
    assert (usage["input"], usage["output"]) == (21, 17)
    if streamed and client in ("openai_chat", "openai_completions"):
        assert b"prompt_tokens" not in reply.body


@pytest.mark.parametrize("client", PATHS)
@pytest.mark.parametrize("upstream_name", ["openai_chat", "anthropic_messages", "gemini_generate"])
def test_a_stream_that_breaks_off(site: Gateway, client: str, upstream_name: str) -> None:
    model = f"{upstream_name}/cut"
    path, body = path_of(client, model), {**request_body(client, model), "stream": True}
    if client == "gemini_generate":
        path = path.replace(":generateContent", ":streamGenerateContent?alt=sse")
        del body["stream"]
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    headers = {"content-type": "application/json", **BEARER}
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    response.read()
    request_id = response.headers["x-request-id"]
    connection.close()
    usage = booked(site, request_id)
    assert usage["estimated"]
    assert usage["input"] > 0
    assert 0 < usage["output"] <= 17
