"""A gateway whose upstreams lie behind real proxies: proxy.py for HTTP and HTTPS, pproxy for SOCKS 5.

Each proxy stands behind a relay that counts its connections, so that "through the proxy" is seen and
not believed; the upstream counts requests, so that none comes around a proxy that fails.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.live.raw import BEARER, Reply, ask, request_body
from tests.support.gateway import TOKEN, Gateway, free_port
from tests.support.proxies import Certificate, PProxy, ProxyPy, Relay, RunningProxy
from tests.support.standin.script import GREETING
from tests.support.upstream import KEY, StandIn

CHAT = "/v1/chat/completions"
USER = "proxy-user"
PASSWORD = "proxy pass/word@100%"
WRONG = "not-the-password"
SCHEMES = ("http", "https", "socks5", "socks5h")
SCENARIOS = ("text", "stall", "embed")

on_every_scheme = pytest.mark.parametrize("scheme", SCHEMES)
both_upstreams = pytest.mark.parametrize("upstream_scheme", ["http", "https"])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The one that the HTTPS proxy and the https upstream show."""
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def proxies(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[dict[str, RunningProxy]]:
    """A running proxy for each scheme; all ask for user and password."""
    folder = tmp_path_factory.mktemp("proxies")
    names = {"user": USER, "password": PASSWORD}
    with (
        ProxyPy(folder / "http", **names) as plain,
        ProxyPy(folder / "https", **names, certificate=certificate) as secure,
        PProxy(folder / "socks5", **names) as socks,
    ):
        yield {"http": plain, "https": secure, "socks5": socks, "socks5h": socks}


@pytest.fixture(scope="module")
def upstreams(upstream_server: StandIn, certificate: Certificate) -> Iterator[dict[str, str]]:
    """The stand-in's address by scheme."""
    port = urlsplit(upstream_server.url).port
    with Relay(port, tls=certificate.server()) as secure:
        yield {"http": upstream_server.url, "https": f"https://{secure.address}"}


@pytest.fixture(scope="module")
def behind(
    proxies: dict[str, RunningProxy], upstreams: dict[str, str], certificate: Certificate
) -> Iterator[Gateway]:
    """A gateway with a channel for everything below."""
    channels = []
    for scheme in SCHEMES:
        right = proxies[scheme].url(scheme=scheme)
        wrong = proxies[scheme].url(scheme=scheme, password=WRONG)
        dead = f"{scheme}://{USER}:{WRONG}@127.0.0.1:{free_port()}"
        for upstream_scheme, url in upstreams.items():
            name = f"{scheme}-{upstream_scheme}"
            channels += [
                channel(f"{name}", url, right),
                channel(f"{name}-wrong", url, wrong),
                channel(f"{name}-dead", url, dead),
            ]
        channels += [
            channel(f"{scheme}-wrong-first", upstreams["https"], wrong, serves=f"{scheme}-safe"),
            channel(f"{scheme}-dead-second", upstreams["https"], dead, serves=f"{scheme}-safe"),
            channel(f"{scheme}-third", upstreams["https"], right, serves=f"{scheme}-safe"),
        ]
    off = channel("off", upstreams["http"], f"http://127.0.0.1:{free_port()}")
    channels.append({**off, "proxy_enabled": False})
    with gateway(channels, certificate) as running:
        yield running


def channel(name: str, url: str, proxy: str | None, *, serves: str = "") -> dict[str, Any]:
    """A channel that serves ``<serves or name>/<scenario>``; those listed first are tried first."""
    models = {f"{serves or name}/{scenario}": scenario for scenario in SCENARIOS}
    row: dict[str, Any] = {
        "name": name,
        "type": "custom",
        "protocol": "openai_chat",
        "base_url": f"{url}/v1",
        "api_key": KEY,
        "models": list(models),
        "aliases": models,
        "timeout": 10,
        "max_retries": 0,
        "max_concurrency": 100,
    }
    if serves:
        row["priority"] = {"first": 1, "second": 2, "third": 3}[name.rsplit("-", 1)[1]]
    return row if proxy is None else {**row, "proxy_enabled": True, "proxy_url": proxy}


@contextlib.contextmanager
def gateway(
    channels: list[dict[str, Any]], certificate: Certificate, **environ: str
) -> Iterator[Gateway]:
    """A gateway that trusts the tests' certificate."""
    config = {"channels": channels, "tokens": [{"id": 1, "name": "test", "key": TOKEN}]}
    with Gateway(config, environ={"SSL_CERT_FILE": str(certificate.path), **environ}) as running:
        yield running


def chat(running: Gateway, model: str, **more: object) -> Reply:
    return ask(running, "POST", CHAT, request_body("openai_chat", model, **more))


def assert_answered(reply: Reply, *, stream: bool) -> None:
    assert reply.status == 200
    if stream:
        assert reply.body.endswith(b"data: [DONE]\n\n")
    else:
        assert reply.json["choices"][0]["message"]["content"] == GREETING


@contextlib.contextmanager
def open_stream(running: Gateway, model: str) -> Iterator[http.client.HTTPResponse]:
    """A streamed answer, of which nothing has been read yet."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    try:
        body = json.dumps(request_body("openai_chat", model, stream=True))
        headers: Mapping[str, str] = {"content-type": "application/json", **BEARER}
        connection.request("POST", CHAT, body=body, headers=headers)
        yield connection.getresponse()
    finally:
        connection.close()


# -- channels with a proxy ----------------------------------------------------------------------


@pytest.mark.row("S0-34")
@pytest.mark.row("S0-35")
@pytest.mark.row("S0-36")
@pytest.mark.row("S2-42")
@pytest.mark.row("S2-43")
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@both_upstreams
@on_every_scheme
def test_a_channels_requests_go_through_its_proxy(
    behind: Gateway,
    proxies: dict[str, RunningProxy],
    upstream: StandIn,
    scheme: str,
    upstream_scheme: str,
    stream: bool,
) -> None:
    relay = proxies[scheme].relay
    carried_before = relay.carried
    reply = chat(behind, f"{scheme}-{upstream_scheme}/text", stream=stream)
    assert_answered(reply, stream=stream)
    assert len(upstream.requests) == 1
    assert relay.carried > carried_before + len(upstream.last.body)
    if upstream_scheme == "https":  # else taking it off is up to the proxy
        assert "proxy-authorization" not in upstream.last.headers


@pytest.mark.row("S2-42")
@pytest.mark.row("S2-43")
@on_every_scheme
def test_embeddings_go_through_the_proxy_too(
    behind: Gateway, proxies: dict[str, RunningProxy], upstream: StandIn, scheme: str
) -> None:
    relay = proxies[scheme].relay
    carried_before = relay.carried
    body = {"model": f"{scheme}-https/embed", "input": "hi"}
    assert ask(behind, "POST", "/v1/embeddings", body).status == 200
    assert len(upstream.requests) == 1
    assert relay.carried > carried_before + len(upstream.last.body)


@both_upstreams
@on_every_scheme
def test_a_stream_through_a_proxy_begins_at_once_and_ends_when_the_client_leaves(
    behind: Gateway, upstream: StandIn, scheme: str, upstream_scheme: str
) -> None:
    """The upstream sends a little, and then nothing more and no end."""
    with open_stream(behind, f"{scheme}-{upstream_scheme}/stall") as response:
        assert response.read(5) == b"data:"
        recorded = upstream.last
        assert not recorded.left.is_set()
    assert recorded.left.wait(5)


@both_upstreams
@on_every_scheme
def test_a_wrong_password_is_an_error_that_says_so(
    behind: Gateway, upstream: StandIn, scheme: str, upstream_scheme: str
) -> None:
    reply = chat(behind, f"{scheme}-{upstream_scheme}-wrong/text")
    assert reply.status == 502
    message, _ = reply.error
    assert "proxy" in message
    assert "check user and password" in message
    assert upstream.requests == []


@both_upstreams
@on_every_scheme
def test_a_dead_proxy_is_an_error_and_never_a_direct_connection(
    behind: Gateway, upstream: StandIn, scheme: str, upstream_scheme: str
) -> None:
    for stream in (False, True):
        reply = chat(behind, f"{scheme}-{upstream_scheme}-dead/text", stream=stream)
        assert b"The proxy on the way to the upstream refused the connection." in reply.body
        assert b"127.0.0.1" not in reply.body
    assert upstream.requests == []


@on_every_scheme
def test_failing_proxies_cost_the_client_nothing_while_a_channel_is_left(
    behind: Gateway, upstream: StandIn, scheme: str
) -> None:
    for stream in (False, True):
        upstream.clear()
        reply = chat(behind, f"{scheme}-safe/text", stream=stream)
        assert_answered(reply, stream=stream)
        assert reply.headers["dragoman-channel"] == f"{scheme}-third"
        assert len(upstream.requests) == 1


@pytest.mark.row("S2-42")
def test_proxy_enabled_false_switches_a_channels_proxy_off(
    behind: Gateway, upstream: StandIn
) -> None:
    assert chat(behind, "off/text").status == 200
    assert len(upstream.requests) == 1


def test_no_log_holds_a_proxys_password(behind: Gateway) -> None:
    chat(behind, "http-http-wrong/text")
    logs = behind.logs()
    assert "The proxy on the way to the upstream refused its credentials" in logs
    for secret in (PASSWORD, WRONG, "proxy%20pass", USER):
        assert secret not in logs
    assert "Traceback" not in logs


# -- one proxy for everything -------------------------------------------------------------------


@pytest.mark.row("S0-40")
@pytest.mark.row("S0-41")
@on_every_scheme
def test_use_proxy_sends_everything_through_one_proxy(
    proxies: dict[str, RunningProxy],
    upstreams: dict[str, str],
    upstream: StandIn,
    certificate: Certificate,
    scheme: str,
) -> None:
    proxy = proxies[scheme]
    rows = [channel(name, url, None) for name, url in upstreams.items()]
    off = channel("off", upstreams["https"], f"http://127.0.0.1:{free_port()}")
    rows.append({**off, "proxy_enabled": False})
    before = proxy.relay.accepted
    settings = {"USE_PROXY": "True", "PROXY_URL": proxy.url(scheme=scheme)}
    with gateway(rows, certificate, **settings) as running:
        for number, name in enumerate(("http", "https"), start=1):
            assert chat(running, f"{name}/text").status == 200
            assert proxy.relay.accepted == before + number
        # Its own proxy is switched off, not the shared one.
        assert chat(running, "off/text").status == 200
        assert len(upstream.requests) == 3


@pytest.mark.row("S0-40")
@pytest.mark.parametrize("text", ["False", "0", ""])
def test_false_means_false_and_other_programs_variables_mean_nothing(
    upstreams: dict[str, str], upstream: StandIn, certificate: Certificate, text: str
) -> None:
    with Relay() as untouched:
        url = f"http://{untouched.address}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
        environ = {"USE_PROXY": text, "PROXY_URL": url, **dict.fromkeys(names, url)}
        rows = [channel(name, url, None) for name, url in upstreams.items()]
        with gateway(rows, certificate, **environ) as running:
            for name in upstreams:
                assert chat(running, f"{name}/text").status == 200
        assert len(upstream.requests) == 2
        assert untouched.accepted == 0


@pytest.mark.row("S0-41")
def test_a_dead_shared_proxy_is_no_direct_connection(
    upstreams: dict[str, str], upstream: StandIn, certificate: Certificate
) -> None:
    environ = {"USE_PROXY": "true", "PROXY_URL": f"socks5h://127.0.0.1:{free_port()}"}
    with gateway([channel("only", upstreams["http"], None)], certificate, **environ) as running:
        reply = chat(running, "only/text")
        assert reply.status == 502
        assert "proxy" in reply.error[0]
    assert upstream.requests == []


def test_an_unusable_shared_proxy_is_refused_at_the_start(
    upstreams: dict[str, str], certificate: Certificate
) -> None:
    environ = {"USE_PROXY": "true", "PROXY_URL": f"socks4://{USER}:{WRONG}@127.0.0.1:1"}
    with pytest.raises(RuntimeError) as caught:
        gateway([channel("only", upstreams["http"], None)], certificate, **environ).__enter__()
    assert "PROXY_URL: must begin with http:// or https:// or socks5://" in str(caught.value)
    assert WRONG not in str(caught.value)


def test_the_demo_needs_no_proxy(certificate: Certificate) -> None:
    """Its channel never leaves the process."""
    rows = [{"name": "demo", "type": "demo"}]
    environ = {"USE_PROXY": "true", "PROXY_URL": f"http://127.0.0.1:{free_port()}"}
    with gateway(rows, certificate, **environ) as running:
        assert chat(running, "echo").status == 200
