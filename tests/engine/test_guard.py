"""The guard's judgement of addresses, and sockets that it lets nobody open."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.errors import GatewayError, UpstreamUnreachable
from dragoman.canonical.secret import Secret
from dragoman.engine import guard as guarding
from dragoman.engine.guard import AddressRefused, Guard, Lookup, read_allowed
from dragoman.engine.transport import Transport
from dragoman.wire.http import HttpRequest
from tests.engine.network import PATIENCE, Got, LoopFactory, on_every_loop, with_transport
from tests.support.listener import Listener, read_request

# -- addresses ------------------------------------------------------------------------------------

NOT_PUBLIC = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1
    127.1.2.3 127.255.255.254 168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1
    172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255
    198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1
    255.255.255.255 :: ::1 ::7f00:1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:7f00:1
    ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 ::ffff:0.0.0.0
    64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b::10.0.0.1 64:ff9b:1::1 64:ff9b:1::808:808 100::1
    100:0:0:1::1 2001::1 2001:0:7f00:1::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::1
    2002:a9fe:a9fe::1 2002:808:808::1 3ffe::1 3fff::1 5f00::1 4000::1 fc00::1 fd00:ec2::254
    fd20:ce::254 fdff::1 fe80::1 fe80::1%lo fe80::a9fe:a9fe febf::1 fec0::1 ff02::1 ff0e::1
    2606:4700::5efe:10.0.0.1 2606:4700::200:5efe:127.0.0.1 2606:4700::1%eth0
"""

PUBLIC = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.216.34 100.63.255.255 100.128.0.0 168.63.129.15
    168.63.129.17 172.15.255.255 172.32.0.0 192.0.1.1 192.167.255.255 198.17.255.255 198.20.0.0
    223.255.255.255 2606:4700::1111 2a00:1450:4001::1 2400:cb00::1 2001:4860:4860::8888
    ::ffff:8.8.8.8 64:ff9b::8.8.8.8
"""

NO_ADDRESSES = """
    127.1 127.0.1 2130706433 0x7f000001 0x7f.0.0.1 0x7f.1 0177.0.0.1 017700000001 127.0.0.01
    127.0.0.1. 127.0.0.1/8 127.0.0.1:80 [::1] localhost 1.1.1.1.1 1.1.1 ١٢٧.0.0.1 ::1::
"""


def test_the_tables_are_long_enough_to_mean_something() -> None:
    hostile = [*NOT_PUBLIC.split(), *NO_ADDRESSES.split()]
    assert len(set(hostile)) == len(hostile) >= 90


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not Guard().permits(address, 443)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_what_is_public_is_permitted_at_web_ports_only(address: str) -> None:
    guard = Guard()
    assert guard.permits(address, 443)
    assert guard.permits(address, 80)
    for port in (0, 22, 25, 6379, 8080, 65_535):
        assert not guard.permits(address, port)


@pytest.mark.parametrize("text", [*NO_ADDRESSES.split(), "", " 1.1.1.1", "1.1.1.1\n"])
def test_what_is_no_address_in_the_usual_form_is_refused(text: str) -> None:
    assert not Guard().permits(text, 443)
    assert not Guard(["0.0.0.0/0", "::/0"]).permits(text, 443)


@given(st.ip_addresses())
def test_nothing_that_the_library_calls_private_is_permitted(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """A second opinion; ours may be stricter."""
    if Guard().permits(str(address), 443):
        assert address.is_global or getattr(address, "ipv4_mapped", None)
        assert not (address.is_private or address.is_multicast or address.is_reserved) or (
            isinstance(address, ipaddress.IPv6Address)
        )


@given(st.ip_addresses(v=4))
def test_an_address_within_another_is_judged_like_it(address: ipaddress.IPv4Address) -> None:
    guard = Guard()
    expected = guard.permits(str(address), 443)
    for prefix in ("::ffff:", "64:ff9b::"):
        assert guard.permits(prefix + str(address), 443) is expected


# -- what the operator allows ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "permitted", "refused"),
    [
        ("10.1.0.0/16", [("10.1.2.3", 1), ("::ffff:10.1.2.3", 9)], [("10.2.0.1", 80)]),
        ("10.0.0.5", [("10.0.0.5", 8080)], [("10.0.0.6", 80)]),
        ("10.0.0.5:8080", [("10.0.0.5", 8080)], [("10.0.0.5", 80), ("10.0.0.5", 8081)]),
        ("::1", [("::1", 80)], [("127.0.0.1", 80)]),
        ("[::1]:81", [("::1", 81)], [("::1", 80)]),
        ("fd00::/8", [("fd00:ec2::254", 80)], [("fe80::1", 80)]),
        ("64:ff9b:1::/48", [("64:ff9b:1::7f00:1", 80)], [("64:ff9b::7f00:1", 80)]),
        ("8.8.8.8:8080", [("8.8.8.8", 8080), ("8.8.8.8", 443)], [("8.8.8.8", 8081)]),
        ("nas.local", [], [("10.0.0.1", 80)]),
    ],
)
def test_an_allowed_network(
    entry: str, permitted: list[tuple[str, int]], refused: list[tuple[str, int]]
) -> None:
    guard = Guard([entry])
    assert [target for target in permitted if not guard.permits(*target)] == []
    assert [target for target in refused if guard.permits(*target)] == []


def test_an_allowed_host() -> None:
    guard = Guard(["NAS.local", "b.example:8080"])
    assert guard.vouches_for("nas.local", 1)
    assert guard.vouches_for("Nas.Local.", 1)
    assert guard.vouches_for("b.example", 8080)
    for host, port in [("b.example", 80), ("x.nas.local", 1), ("nas.local.evil", 1), ("", 1)]:
        assert not guard.vouches_for(host, port)


NO_ENTRIES = """
    * http://nas 10.0.0.1/8 10.0.0.0/33 nas/8 nas:0 nas:x nas:65536 a..b ä.example [nas] ::1]:x
    fe80::1%lo 127.1 0x7f.1 2130706433 : :80 /
"""


@pytest.mark.parametrize(
    "entry",
    ["", "a b", *NO_ENTRIES.split()],
)
def test_an_entry_that_means_nothing(entry: str) -> None:
    with pytest.raises(ValueError, match=r"is|must|names"):
        read_allowed(entry)


# -- sockets ----------------------------------------------------------------------------------------

LOOPBACK_HOSTS = """
    127.0.0.1 localhost LOCALHOST localhost. localhost.. 127.1 127.0.1 2130706433 0x7f000001
    0x7f.0.0.1 0x7f.1 0X7F.1 0177.0.0.1 017700000001 0177.1 00000177.1 0.0.0.0 0 0x0 00 0.0
    127.0.0.1. 127.000.000.001 [::1] [0:0:0:0:0:0:0:1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1]
    [::ffff:0:127.0.0.1] [::127.0.0.1] [::ffff:0.0.0.0] [64:ff9b::127.0.0.1] [2002:7f00:1::]
    [::1%25lo] [::1%lo] ①②⑦.⓪.⓪.① １２７.0.0.1 127。0。0。1 ⓛⓞⓒⓐⓛⓗⓞⓢⓣ loc%61lhost localhost%2e
    %31%32%37.0.0.1 user@127.0.0.1 user:pass@127.0.0.1 public.example@127.0.0.1
    public.example:80@127.0.0.1 public.example%40@127.0.0.1 127.0.0.1%00.public.example 127.0.0.1%09
    %0a127.0.0.1
"""
WHOLE_URLS = [
    "http:/\\127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "http://public.example\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@public.example/",
    "http://127.0.0.1:{port}#@public.example/",
    "http://127.0.0.1:{port}?@public.example/",
    "HTTP://127.0.0.1:{port}/",
    "\thttp://127.0.0.1:{port}/",
    "http://127.0.0.1:0{port}/",
    "https://127.0.0.1:{port}/",
    "ws://127.0.0.1:{port}/",
    "wss://127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_GET",
    "unix:///var/run/docker.sock",
    "demo://x/chat/completions",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    "http://",
    "http://[",
    "",
]


@pytest.fixture
def server() -> Iterator[Listener]:
    """What must not be reached: everything it is sent is answered with 200."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"
        writer.write(head + b"content-length: %d\r\n\r\n" % len(request) + request)
        await writer.drain()

    with Listener(answer) as listener:
        yield listener


@pytest.fixture
def web_port(server: Listener, monkeypatch: pytest.MonkeyPatch) -> int:
    """The server's port counts as the web's, so that nothing but the address can be refused."""
    monkeypatch.setattr(guarding, "WEB_PORTS", frozenset({server.port, 80, 443}))
    return server.port


async def ask(transport: Transport, url: str, *, guarded: bool = True, **headers: str) -> Got:
    request = HttpRequest(method="GET", url=url, headers=headers, guarded=guarded)
    async with transport.exchange(request, PATIENCE) as reply:
        return Got(reply.status, dict(reply.headers), await reply.read())


def go(
    url: str,
    *,
    guard: Guard | None = None,
    lookup: Lookup | None = None,
    proxy: str | None = None,
    loop: LoopFactory = asyncio.new_event_loop,
    **headers: str,
) -> Got:
    """One guarded request through a transport of its own."""

    async def work(transport: Transport) -> Got:
        transport.guard = guard or Guard()
        transport.lookup = lookup or Lookup()
        if proxy is None:
            return await ask(transport, url, **headers)
        request = HttpRequest(method="GET", url=url, headers=headers, guarded=True)
        async with transport.exchange(request, PATIENCE, Secret(proxy)) as reply:
            return Got(reply.status, dict(reply.headers), await reply.read())

    return with_transport(work, loop=loop)


@on_every_loop
def test_no_form_of_loopback_is_reached(server: Listener, web_port: int, loop: LoopFactory) -> None:
    urls = [f"http://{host}:{web_port}/" for host in LOOPBACK_HOSTS.split()]
    urls += [url.format(port=web_port) for url in WHOLE_URLS]
    assert len(urls) >= 70

    async def try_all(transport: Transport) -> list[str]:
        answered = []
        for url in urls:
            try:
                await ask(transport, url)
            except UpstreamUnreachable:
                continue
            answered.append(url)
        return answered

    assert with_transport(try_all, loop=loop) == []
    assert server.accepted == 0


def test_the_forms_are_real(server: Listener, web_port: int) -> None:
    """Without the guard many of them lead to the server."""

    async def try_all(transport: Transport) -> int:
        reached = 0
        for host in LOOPBACK_HOSTS.split():
            try:
                await ask(transport, f"http://{host}:{web_port}/", guarded=False)
            except GatewayError:
                continue
            reached += 1
        return reached

    assert with_transport(try_all, connect_timeout=0.5) >= 15
    assert server.accepted >= 15


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.0/8", "127.0.0.1"),
        ("127.0.0.0/8", "localhost"),
        ("127.0.0.1:{port}", "localhost"),
        ("localhost", "localhost"),
        ("localhost:{port}", "LOCALHOST"),
    ],
)
@on_every_loop
def test_what_is_allowed_is_reached(
    server: Listener, entry: str, host: str, loop: LoopFactory
) -> None:
    guard = Guard([entry.format(port=server.port)])
    assert go(f"http://{host}:{server.port}/", guard=guard, loop=loop).status == 200
    assert server.accepted == 1


def test_nothing_that_could_be_a_credential_goes_along(server: Listener) -> None:
    secrets = ("Authorization", "cookie", "x-api-key", "X-Goog-Api-Key", "proxy-authorization")
    headers = dict.fromkeys(secrets, "s3cret") | {"x-custom": "s3cret", "accept": "image/*"}
    for entry in ("127.0.0.1", "localhost"):
        got = go(f"http://localhost:{server.port}/", guard=Guard([entry]), **headers)
        assert b"s3cret" not in got.body
        assert b"accept: image/*" in got.body.lower()


def test_other_ports_are_refused(server: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "is_public", lambda address: True)
    with pytest.raises(UpstreamUnreachable, match="none that the gateway may ask"):
        go(f"http://127.0.0.1:{server.port}/")
    with pytest.raises(UpstreamUnreachable, match="none that the gateway may ask"):
        go(f"http://localhost:{server.port}/")
    assert server.accepted == 0


def test_the_present_guard_judges(server: Listener) -> None:
    """A change of the settings counts from the next connection on."""
    url = f"http://localhost:{server.port}/"

    async def work(transport: Transport) -> None:
        transport.guard = Guard(["127.0.0.0/8"])
        assert (await ask(transport, url)).status == 200
        transport.guard = Guard()
        with pytest.raises(UpstreamUnreachable):
            await ask(transport, url)

    with_transport(work)
    assert server.accepted == 1


# -- names ------------------------------------------------------------------------------------------


def resolver(*answers: list[str]) -> Callable[..., list[Any]]:
    """Answers its first call with the first list of addresses, and so on; the last one stays."""
    left = list(answers)

    def resolve(host: str, port: int, *_: Any) -> list[Any]:
        addresses = left.pop(0) if len(left) > 1 else left[0]
        found = []
        for address in addresses:
            six = ":" in address
            family = socket.AF_INET6 if six else socket.AF_INET
            target = (address, port, 0, 0) if six else (address, port)
            found.append((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", target))
        return found

    return resolve


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1", "127.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["10.0.0.1", "169.254.169.254", "127.0.0.1"],
        ["0.0.0.0"],
        ["fe80::1%lo", "127.0.0.1"],
    ],
    ids=lambda value: value[0],
)
@on_every_loop
def test_a_name_that_stands_for_private_addresses(
    server: Listener, web_port: int, addresses: list[str], loop: LoopFactory
) -> None:
    lookup = Lookup(resolver(addresses))
    with pytest.raises(UpstreamUnreachable) as caught:
        go(f"http://files.example:{web_port}/", lookup=lookup, loop=loop)
    assert caught.value.code in ("address_refused", "upstream_unreachable")
    assert server.accepted == 0


@pytest.mark.parametrize("order", [1, -1])
def test_a_public_address_beside_a_private_one_is_no_way_in(
    server: Listener, web_port: int, order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The public one refuses the connection, and the private one must not take its place."""
    public = ipaddress.ip_address("127.0.0.2")  # nobody listens there
    monkeypatch.setattr(guarding, "is_public", lambda address: address == public)
    addresses = ["127.0.0.2", "127.0.0.1"][::order]
    with pytest.raises(UpstreamUnreachable):
        go(f"http://files.example:{web_port}/", lookup=Lookup(resolver(addresses)))
    assert server.accepted == 0


def test_a_name_that_changes_its_mind(
    server: Listener, web_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: what a name stood for a moment ago does not count, the socket's address does."""
    public = ipaddress.ip_address("127.0.0.1")
    monkeypatch.setattr(guarding, "is_public", lambda address: address == public)
    lookup = Lookup(resolver(["127.0.0.1"], ["127.0.0.3"], ["::1"]))
    url = f"http://files.example:{web_port}/"
    assert go(url, lookup=lookup).status == 200
    for _ in range(2):
        with pytest.raises(UpstreamUnreachable, match="none that the gateway may ask"):
            go(url, lookup=lookup)


def test_an_unknown_name() -> None:
    with pytest.raises(UpstreamUnreachable, match="host name is unknown"):
        go("http://nobody-is-called-this.invalid/")


def test_a_socket_is_judged_by_its_own_address() -> None:
    target = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("10.0.0.1", 443))
    with pytest.raises(AddressRefused):
        Guard().open_socket(target)


# -- proxies ------------------------------------------------------------------------------------------


def test_a_proxy_is_not_asked_for_what_cannot_be_checked(server: Listener) -> None:
    proxy = f"http://{server.address}"
    for url in ("http://files.example/", "https://files.example/", "http://localhost/"):
        with pytest.raises(UpstreamUnreachable, match="fetch_through_proxies"):
            go(url, proxy=proxy)
    for scheme in ("http", "socks5", "socks5h"):
        with pytest.raises(UpstreamUnreachable):
            go("http://files.example/", proxy=f"{scheme}://{server.address}")
    assert server.accepted == 0


def test_a_proxy_is_asked_if_the_operator_says_so(server: Listener) -> None:
    guard = Guard(through_proxies=True)
    proxy = f"http://user:pass@{server.address}"
    got = go("http://files.example/a", guard=guard, proxy=proxy, authorization="s3cret")
    assert got.body.startswith(b"GET http://files.example/a HTTP/1.1")
    assert b"s3cret" not in got.body
    before = server.accepted
    for url in (
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://169.254.169.254/",
        "http://files.example:22/",
    ):
        with pytest.raises(UpstreamUnreachable, match="none that the gateway may ask"):
            go(url, guard=guard, proxy=proxy)
    assert server.accepted == before


def test_a_proxy_is_asked_for_what_is_allowed_or_known(server: Listener) -> None:
    proxy = f"http://{server.address}"
    guard = Guard(["nas.example:8080", "10.0.0.5"])
    for url in ("http://nas.example:8080/", "http://10.0.0.5:9/", "http://8.8.8.8/"):
        assert go(url, guard=guard, proxy=proxy).status == 200
    for url in ("http://nas.example/", "http://10.0.0.6/"):
        with pytest.raises(UpstreamUnreachable):
            go(url, guard=guard, proxy=proxy)
