"""The transport through real proxies, and through ones that fail in every way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.canonical.errors import UpstreamFailed, UpstreamUnreachable
from dragoman.canonical.secret import Secret
from dragoman.engine.transport import Transport
from dragoman.wire.http import HttpRequest
from tests.engine.network import (
    PATIENCE,
    LoopFactory,
    fetch,
    on_every_loop,
    send,
    until,
    with_transport,
)
from tests.support.gateway import free_port
from tests.support.listener import Handler, Listener, read_request, wait_until
from tests.support.proxies import Certificate, PProxy, ProxyPy, Relay, RunningProxy

USER = "us-er"
PASSWORD = "p a:s%s/w@rd?#"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
SCHEMES = ("http", "https", "socks5", "socks5h")

on_every_scheme = pytest.mark.parametrize("scheme", SCHEMES)
both_upstreams = pytest.mark.parametrize("upstream_scheme", ["http", "https"])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[dict[str, RunningProxy]]:
    """One proxy for each scheme that asks for user and password."""
    folder = tmp_path_factory.mktemp("proxies")
    names = {"user": USER, "password": PASSWORD}
    with (
        ProxyPy(folder / "http", **names) as http,
        ProxyPy(folder / "https", **names, certificate=certificate) as https,
        PProxy(folder / "socks5", **names) as socks5,
    ):
        yield {"http": http, "https": https, "socks5": socks5, "socks5h": socks5}


@pytest.fixture
def proxy(running: dict[str, RunningProxy], scheme: str) -> RunningProxy:
    """The proxy of the test's scheme, with no connection counted yet."""
    one = running[scheme]
    one.relay.accepted = 0
    one.relay.heads.clear()
    return one


class Upstream(Listener):
    """Answers every request and keeps it."""

    def __init__(self, certificate: Certificate, scheme: str, answer: bytes = OK) -> None:
        super().__init__(self._answer, tls=certificate.server() if scheme == "https" else None)
        self._answer_bytes = answer
        self._scheme = scheme
        self.requests: list[bytes] = []

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.requests.append(await read_request(reader))
            writer.write(self._answer_bytes)
            await writer.drain()

    def __enter__(self) -> Upstream:
        super().__enter__()
        return self

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self.address}/v1"


# -- what works ---------------------------------------------------------------------------------


@on_every_loop
@both_upstreams
@on_every_scheme
def test_a_request_goes_through_the_proxy(
    proxy: RunningProxy,
    scheme: str,
    certificate: Certificate,
    upstream_scheme: str,
    loop: LoopFactory,
) -> None:
    with Upstream(certificate, upstream_scheme) as upstream:
        got = send(
            upstream.url, proxy=proxy.url(scheme=scheme), loop=loop, tls=certificate.client()
        )
    assert (got.status, got.body) == (200, b"hi")
    assert proxy.relay.accepted == 1
    assert upstream.accepted == 1
    assert b"proxy-authorization" not in upstream.requests[0].lower()
    head = bytes(proxy.relay.heads[0])
    if scheme == "http":
        expected = b"CONNECT " if upstream_scheme == "https" else f"POST {upstream.url}".encode()
        assert head.startswith(expected)
    else:
        assert head[0] == (0x16 if scheme == "https" else 0x05)  # a TLS handshake, SOCKS 5


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@both_upstreams
def test_a_proxy_that_asks_for_nothing(
    tmp_path: Path, scheme: str, certificate: Certificate, upstream_scheme: str
) -> None:
    kind = ProxyPy if scheme == "http" else PProxy
    with kind(tmp_path) as proxy, Upstream(certificate, upstream_scheme) as upstream:
        got = send(upstream.url, proxy=proxy.url(scheme=scheme), tls=certificate.client())
        assert got.body == b"hi"
        assert proxy.relay.accepted == 1


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_who_looks_the_upstreams_name_up(
    proxy: RunningProxy, scheme: str, certificate: Certificate
) -> None:
    with Upstream(certificate, "http") as upstream:
        address = f"http://localhost:{upstream.port}/"
        assert send(address, proxy=proxy.url(scheme=scheme)).body == b"hi"
    by_name = b"\x05\x01\x00\x03\x09localhost"
    assert (by_name in proxy.relay.heads[0]) == (scheme == "socks5h")
    assert (b"\x05\x01\x00\x01\x7f\x00\x00\x01" in proxy.relay.heads[0]) == (scheme == "socks5")


@both_upstreams
@on_every_scheme
def test_connections_through_a_proxy_are_used_again(
    proxy: RunningProxy, scheme: str, certificate: Certificate, upstream_scheme: str
) -> None:
    async def ask(transport: Transport) -> None:
        for _ in range(4):
            assert (
                await fetch(transport, upstream.url, proxy=proxy.url(scheme=scheme))
            ).body == b"hi"

    with Upstream(certificate, upstream_scheme) as upstream:
        with_transport(ask, tls=certificate.client())
        assert len(upstream.requests) == 4
    assert proxy.relay.accepted == 1


@on_every_scheme
def test_what_is_held_for_an_unused_proxy_is_closed(
    proxy: RunningProxy, scheme: str, certificate: Certificate
) -> None:
    async def ask(transport: Transport) -> None:
        await fetch(transport, upstream.url, proxy=proxy.url(scheme=scheme))
        assert proxy.relay.open == 1
        await until(lambda: proxy.relay.open == 0)

    with Upstream(certificate, "http") as upstream:
        with_transport(ask, tls=certificate.client(), proxy_idle=0.1)


@on_every_loop
@both_upstreams
@on_every_scheme
def test_a_stream_comes_piece_by_piece_and_closes_when_it_is_left(
    proxy: RunningProxy,
    scheme: str,
    certificate: Certificate,
    upstream_scheme: str,
    loop: LoopFactory,
) -> None:
    first_arrived = threading.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        while not first_arrived.is_set():
            await asyncio.sleep(0.01)
        writer.write(b"6\r\nsecond\r\n")
        await reader.read()

    async def ask(transport: Transport) -> None:
        request = HttpRequest(method="POST", url=url, headers={})
        through = Secret(proxy.url(scheme=scheme))
        async with transport.exchange(request, PATIENCE, through) as reply:
            assert await reply.chunk() == b"first"
            first_arrived.set()
            assert await reply.chunk() == b"second"
            assert upstream.open == 1
        await until(lambda: upstream.open == 0)

    tls = certificate.server() if upstream_scheme == "https" else None
    with Listener(handle, tls=tls) as upstream:
        url = f"{upstream_scheme}://{upstream.address}/"
        with_transport(ask, loop=loop, tls=certificate.client())


@on_every_loop
@both_upstreams
@on_every_scheme
def test_leaving_before_the_answer_closes_the_upstreams_connection(
    proxy: RunningProxy,
    scheme: str,
    certificate: Certificate,
    upstream_scheme: str,
    loop: LoopFactory,
) -> None:
    asked = threading.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await reader.read()

    async def leave(transport: Transport) -> None:
        url = f"{upstream_scheme}://{upstream.address}/"
        asking = asyncio.ensure_future(fetch(transport, url, proxy=proxy.url(scheme=scheme)))
        await until(asked.is_set)
        asking.cancel()
        await until(lambda: upstream.open == 0)
        assert asking.cancelled()

    tls = certificate.server() if upstream_scheme == "https" else None
    with Listener(handle, tls=tls) as upstream:
        with_transport(leave, loop=loop, tls=certificate.client())


def test_a_407_that_came_through_a_tunnel_is_the_upstreams(
    running: dict[str, RunningProxy], certificate: Certificate
) -> None:
    answer = b"HTTP/1.1 407 Odd\r\ncontent-length: 0\r\n\r\n"
    for scheme, upstream_scheme in (("http", "https"), ("socks5", "http")):
        with Upstream(certificate, upstream_scheme, answer) as upstream:
            through = running[scheme].url(scheme=scheme)
            assert send(upstream.url, proxy=through, tls=certificate.client()).status == 407


def test_credentials_stay_out_of_the_tunnel_however_the_scheme_is_written(
    running: dict[str, RunningProxy], certificate: Certificate
) -> None:
    with Upstream(certificate, "https") as upstream:
        send(
            upstream.url.replace("https", "HTTPS"),
            proxy=running["http"].url(),
            tls=certificate.client(),
        )
    assert b"proxy-authorization" not in upstream.requests[0].lower()


# -- what fails ---------------------------------------------------------------------------------


def refused(
    upstream_url: str, proxy: str, certificate: Certificate, **options: object
) -> UpstreamUnreachable:
    """The error of a request that no proxy carries; it names neither hosts nor credentials."""
    with pytest.raises(UpstreamUnreachable) as caught:
        send(upstream_url, proxy=proxy, tls=certificate.client(), **options)
    message = caught.value.message
    assert "proxy" in message
    for secret in ("127.0.0.1", "localhost", USER, PASSWORD, "wrong", "://"):
        assert secret not in message
    return caught.value


@both_upstreams
@on_every_scheme
def test_a_wrong_password(
    proxy: RunningProxy, scheme: str, certificate: Certificate, upstream_scheme: str
) -> None:
    with Upstream(certificate, upstream_scheme) as upstream:
        url = proxy.url(scheme=scheme, password="wrong")
        error = refused(upstream.url, url, certificate)
        assert upstream.accepted == 0
    assert "check user and password" in error.message
    if not scheme.startswith("socks"):  # pproxy hangs up and says nothing
        assert "refused its credentials" in error.message


@both_upstreams
@on_every_scheme
def test_a_missing_password(
    proxy: RunningProxy, scheme: str, certificate: Certificate, upstream_scheme: str
) -> None:
    with Upstream(certificate, upstream_scheme) as upstream:
        url = proxy.url(scheme=scheme, user="", password="")
        error = refused(upstream.url, url, certificate)
        assert upstream.accepted == 0
    expected = "closed the connection" if scheme.startswith("socks") else "asks for credentials"
    assert expected in error.message


@both_upstreams
@on_every_scheme
def test_no_proxy_where_one_should_be(
    scheme: str, certificate: Certificate, upstream_scheme: str
) -> None:
    with Upstream(certificate, upstream_scheme) as upstream:
        error = refused(upstream.url, f"{scheme}://127.0.0.1:{free_port()}", certificate)
        assert upstream.accepted == 0
    assert error.message == "The proxy on the way to the upstream refused the connection."


@on_every_scheme
def test_a_proxy_with_an_unknown_name(scheme: str, certificate: Certificate) -> None:
    with Upstream(certificate, "http") as upstream:
        error = refused(upstream.url, f"{scheme}://nobody-is-called-this.invalid:1", certificate)
        assert upstream.accepted == 0
    assert "unknown host name" in error.message


@on_every_loop
@pytest.mark.parametrize(
    ("scheme", "upstream_scheme"),
    [  # without http before http: there is no handshake, the proxy's silence is the upstream's
        ("http", "https"),
        *[(scheme, upstream) for scheme in SCHEMES[1:] for upstream in ("http", "https")],
    ],
)
def test_a_proxy_that_accepts_and_says_nothing(
    scheme: str, certificate: Certificate, upstream_scheme: str, loop: LoopFactory
) -> None:
    with Relay() as silent, Upstream(certificate, upstream_scheme) as upstream:
        error = refused(
            upstream.url,
            f"{scheme}://u:p@{silent.address}",
            certificate,
            connect_timeout=0.3,
            loop=loop,
        )
        assert "no connection in time" in error.message
        assert silent.accepted == 1
        assert upstream.accepted == 0
        assert wait_until(lambda: silent.open == 0)


@on_every_loop
@on_every_scheme
def test_leaving_while_tls_goes_nowhere_behind_the_proxy(
    proxy: RunningProxy, scheme: str, certificate: Certificate, loop: LoopFactory
) -> None:
    """The upstream takes the connection and leaves the TLS handshake unanswered."""

    async def leave(transport: Transport) -> None:
        url = f"https://{upstream.address}/"
        asking = asyncio.ensure_future(fetch(transport, url, proxy=proxy.url(scheme=scheme)))
        await until(lambda: bool(upstream.heads) and len(upstream.heads[0]) > 100)
        asking.cancel()
        await asyncio.wait([asking], timeout=2)
        assert asking.cancelled()
        await until(lambda: upstream.open == 0)

    with Relay() as upstream:
        with_transport(leave, loop=loop, tls=certificate.client(), connect_timeout=20.0)


def test_a_proxys_certificate_that_nobody_vouches_for(
    running: dict[str, RunningProxy], certificate: Certificate, tmp_path: Path
) -> None:
    other = Certificate(tmp_path)
    for scheme in ("http", "https"):
        with Upstream(certificate, scheme) as upstream:
            error = refused(upstream.url, running["https"].url(), other)
            assert upstream.accepted == 0
        assert "failed in TLS" in error.message


@on_every_scheme
def test_an_upstreams_certificate_that_nobody_vouches_for(
    proxy: RunningProxy, scheme: str, certificate: Certificate, tmp_path: Path
) -> None:
    with (
        Upstream(Certificate(tmp_path), "https") as upstream,
        pytest.raises(UpstreamUnreachable, match="TLS with the upstream failed"),
    ):
        send(upstream.url, proxy=proxy.url(scheme=scheme), tls=certificate.client())


@on_every_scheme
def test_an_upstream_that_the_proxy_cannot_reach(
    proxy: RunningProxy, scheme: str, certificate: Certificate
) -> None:
    error = refused(f"https://127.0.0.1:{free_port()}/", proxy.url(scheme=scheme), certificate)
    if not scheme.startswith("socks"):  # pproxy says yes before it knows
        assert "did not connect (HTTP 502)" in error.message


def test_a_name_that_nobody_knows_is_not_the_proxys_fault(
    running: dict[str, RunningProxy],
) -> None:
    with pytest.raises(UpstreamUnreachable, match="The upstream's host name is unknown"):
        send("http://nobody-is-called-this.invalid/", proxy=running["socks5"].url())


def saying(*answers: bytes) -> Handler:
    """A proxy that follows a script: one answer for each thing it hears, then it hangs up."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(2**16)
            writer.write(answer)
            await writer.drain()
        if not answers:
            await reader.read(2**16)

    return handle


SOCKS_FAILURES = {
    "wrong password": ((b"\x05\x02", b"\x01\x01"), "refused its credentials"),
    "no method": ((b"\x05\xff",), "refused its credentials"),
    "a method nobody offered": ((b"\x05\x01",), "refused its credentials"),
    "general failure": ((b"\x05\x00", b"\x05\x01\x00\x01" + bytes(6)), "general failure"),
    "rules": ((b"\x05\x00", b"\x05\x02\x00\x01" + bytes(6)), "its rules do not allow it"),
    "network": ((b"\x05\x00", b"\x05\x03\x00\x01" + bytes(6)), "network unreachable"),
    "host": ((b"\x05\x00", b"\x05\x04\x00\x01" + bytes(6)), "host unreachable"),
    "refused": ((b"\x05\x00", b"\x05\x05\x00\x01" + bytes(6)), "connection refused"),
    "hangs up at once": ((), "closed the connection"),
    "hangs up amid the handshake": ((b"\x05\x00",), "closed the connection"),
    "hangs up amid the answer": ((b"\x05\x00", b"\x05\x00\x00\x01"), "closed the connection"),
    "speaks HTTP": ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "did not answer as a SOCKS5 proxy"),
    "speaks SOCKS 4": ((b"\x00\x5b" + bytes(6),), "did not answer as a SOCKS5 proxy"),
    "unknown code": ((b"\x05\x00", b"\x05\x63\x00\x01" + bytes(6)), "did not answer as a SOCKS5"),
}


@on_every_loop
@pytest.mark.parametrize(("answers", "words"), SOCKS_FAILURES.values(), ids=SOCKS_FAILURES)
def test_a_socks_proxy_that_fails(
    certificate: Certificate, answers: tuple[bytes, ...], words: str, loop: LoopFactory
) -> None:
    with Listener(saying(*answers)) as proxy, Upstream(certificate, "http") as upstream:
        error = refused(upstream.url, f"socks5://{USER}:pw@{proxy.address}", certificate, loop=loop)
        assert words in error.message
        assert upstream.accepted == 0
        assert wait_until(lambda: proxy.open == 0)


HTTP_FAILURES = {
    "wrong password": ((b"HTTP/1.1 407 No\r\n\r\n",), "refused its credentials"),
    "rules": ((b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno",), "(HTTP 403)"),
    "no upstream": ((b"HTTP/1.1 502 Bad Gateway\r\n\r\n",), "(HTTP 502)"),
    "redirects": ((b"HTTP/1.1 302 Found\r\nlocation: http://x/\r\n\r\n",), "(HTTP 302)"),
    "hangs up": ((), "closed the connection"),
    "speaks SOCKS": ((b"\x05\xff",), "did not answer as an HTTP proxy"),
    "garbage": ((b"hello there\r\n\r\n",), "did not answer as an HTTP proxy"),
    "hangs up after a yes": ((b"HTTP/1.1 200 OK\r\n\r\n",), "broke the connection off"),
}


@on_every_loop
@pytest.mark.parametrize(("answers", "words"), HTTP_FAILURES.values(), ids=HTTP_FAILURES)
def test_an_http_proxy_that_fails(
    certificate: Certificate, answers: tuple[bytes, ...], words: str, loop: LoopFactory
) -> None:
    with Listener(saying(*answers)) as proxy, Upstream(certificate, "https") as upstream:
        error = refused(upstream.url, f"http://{USER}:pw@{proxy.address}", certificate, loop=loop)
        assert words in error.message
        assert upstream.accepted == 0
        assert wait_until(lambda: proxy.open == 0)


def test_a_proxy_that_hangs_up_on_a_plain_request(certificate: Certificate) -> None:
    """No handshake came before it, so it may have been the upstream."""
    with (
        Listener(saying()) as proxy,
        Upstream(certificate, "http") as upstream,
        pytest.raises(UpstreamFailed, match="closed the connection"),
    ):
        send(upstream.url, proxy=f"http://{proxy.address}")
    assert upstream.accepted == 0
