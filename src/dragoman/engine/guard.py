"""Which addresses a request may go to whose host a client, or a remote page, has named.

Names prove nothing: they resolve to what their owner likes, at another time to something else, and an
address can be written in a dozen ways. So what counts is the address that a socket is about to be
connected to. It must be public and the port 80 or 443, unless the operator allows more; whatever the
Internet's registry sets aside is refused, and what clouds put their metadata at besides.

Sources: IANA's registries of special-purpose addresses (RFC 6890 and its successors); Azure's wire
server 168.63.129.16; Oracle's 192.0.0.192 and Alibaba's 100.100.100.200 lie in reserved blocks, like
everybody's 169.254.169.254 and Amazon's fd00:ec2::254.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

import msgspec
import yarl

from dragoman.canonical.errors import UpstreamUnreachable
from dragoman.wire.http import HttpRequest

WEB_PORTS = frozenset({80, 443})
HARMLESS_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-type", "user-agent"}
)
"""All that a guarded request may carry: nothing that says who we are."""

NOT_PUBLIC = (
    "The address is none that the gateway may ask; allow_private_urls in its settings names others."
)
NOT_THROUGH_PROXIES = (
    "The channel has a proxy, behind which a name's address cannot be checked; "
    "fetch_through_proxies in the gateway's settings allows it all the same."
)
NO_WEB_ADDRESS = "The address is not a plain http or https URL."

_LOOKUP_THREADS = 8

_RESERVED_4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_UNICAST_6 = IPv6Network("2000::/3")  # IANA has given out nothing else
_RESERVED_6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # Teredo, ORCHID, benchmarking and others
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3ffe::/16",
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # RFC 5214: an IPv4 address follows

Address = IPv4Address | IPv6Address


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator vouches for: a network, or a host by its name; one port of it, or all."""

    network: IPv4Network | IPv6Network | None = None
    host: str = ""
    port: int | None = None


class AddressRefused(OSError):
    """The socket would have been connected to an address that is not allowed."""


class Guard:
    """Judges addresses. Immutable."""

    def __init__(self, allowed: Iterable[str] = (), *, through_proxies: bool = False) -> None:
        """``allowed`` are hosts and networks, as ``read_allowed`` takes them. ``through_proxies``: what a
        proxy resolves out of our sight may be asked for. Raises ValueError."""
        self._allowed = tuple(map(read_allowed, allowed))
        self.through_proxies = through_proxies

    def vouches_for(self, host: str, port: int) -> bool:
        """Whether the operator has named ``host`` itself, so that its addresses do not matter."""
        name = _plain_name(host)
        return any(one.host == name and one.port in (None, port) for one in self._allowed)

    def permits(self, address: str, port: int) -> bool:
        """Whether a connection to ``address``, in the form that sockets take, may be made."""
        try:
            numbers = _meanings(ip_address(address))
        except ValueError:
            return False
        return (port in WEB_PORTS and is_public(numbers[-1])) or any(
            number in one.network
            for one in self._allowed
            if one.network is not None and one.port in (None, port)
            for number in numbers
        )

    def inspect(self, request: HttpRequest, *, proxied: bool) -> tuple[HttpRequest, bool]:
        """The request as it may be sent, and whether the sockets for it are to be judged; they are not
        where the operator has named the host, or a proxy opens them. Raises UpstreamUnreachable."""
        host, port = _target(request.url)
        if looks_like_address(host) and not self.permits(host, port):
            raise refused()
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() in HARMLESS_HEADERS
        }
        request = msgspec.structs.replace(request, headers=headers)
        if self.vouches_for(host, port):
            return request, False
        if proxied and not looks_like_address(host):
            if not self.through_proxies:
                raise refused(NOT_THROUGH_PROXIES)
            if port not in WEB_PORTS:
                raise refused()
        return request, not proxied

    def open_socket(self, target: tuple[Any, ...]) -> socket.socket:
        """A socket for ``target`` (as ``getaddrinfo`` gives it), just before it is connected. Raises
        AddressRefused."""
        family, kind, protocol, _, address = target
        if not self.permits(address[0], address[1]):
            raise AddressRefused("The address is not one that may be connected to.")
        return socket.socket(family, kind, protocol)


def _target(url: str) -> tuple[str, int]:
    """Host and port, read by the very parser that aiohttp uses: two parsers could read two hosts. Raises
    UpstreamUnreachable for what is no plain web address."""
    try:
        parts = yarl.URL(url)
        host, port = parts.raw_host, parts.port
    except ValueError:
        raise refused(NO_WEB_ADDRESS) from None
    if parts.scheme not in ("http", "https") or not host or not port or parts.raw_user is not None:
        raise refused(NO_WEB_ADDRESS)
    return host, port


def is_public(address: Address) -> bool:
    """Whether ``address`` belongs to the Internet's public part."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _RESERVED_4)
    return (
        address.scope_id is None
        and address in _UNICAST_6
        and not any(address in block for block in _RESERVED_6)
        and (int(address) >> 32) & 0xFFFFFFFF not in _ISATAP
    )


def _meanings(address: Address) -> tuple[Address, ...]:
    """``address`` and, last, the one that packets to it reach: IPv6 has room for IPv4's, in mapped
    form and through a translator's prefix (RFC 6052)."""
    if isinstance(address, IPv6Address) and address.scope_id is None:
        if address.ipv4_mapped is not None:
            return address, address.ipv4_mapped
        if address in _NAT64:
            return address, IPv4Address(int(address) & 0xFFFFFFFF)
    return (address,)


def read_allowed(text: str) -> Allowed:
    """``10.0.0.0/8``, ``::1``, ``192.168.1.5:8080``, ``[::1]:8080``, ``nas.local`` or ``nas.local:8080``.
    Raises ValueError, which says what is wrong."""
    if "%" in text:
        raise ValueError("must not name a zone ('%…')")
    try:
        return Allowed(network=ip_network(text.strip("[]")))
    except ValueError:
        if "/" in text:
            raise ValueError(_NO_NETWORK if "://" not in text else _NO_URL) from None
    host, colon, digits = text.rpartition(":")
    if not colon:
        host, digits = text, ""
    port = int(digits) if digits.isascii() and digits.isdigit() else 0
    if colon and not 0 < port < 65_536:
        raise ValueError("names no valid port")
    try:
        return Allowed(network=ip_network(host.strip("[]")), port=port or None)
    except ValueError:
        return Allowed(host=_host_name(host), port=port or None)


_NO_NETWORK = "is not a network such as 10.0.0.0/8 (the bits after the prefix must be zero)"
_NO_URL = "must be a host or a network, not a URL"


def looks_like_address(host: str) -> bool:
    """Whether ``host`` is an address in whatever form, antique ones (``127.1``, ``0x7f000001``)
    included. A name's last label is never a number (RFC 3696, section 2)."""
    last = _plain_name(host).rpartition(".")[2]
    return ":" in host or last.isdigit() or last.startswith("0x")


def _host_name(text: str) -> str:
    name = _plain_name(text)
    letters = name.replace("-", "").replace("_", "").replace(".", "")
    if not (all(name.split(".")) and letters.isascii() and letters.isalnum()):
        raise ValueError("is neither a host name nor an address")
    if looks_like_address(name):
        raise ValueError("is no address in the usual form, such as 192.168.1.5")
    return name


def _plain_name(host: str) -> str:
    return host.removesuffix(".").lower()


def refused(why: str = NOT_PUBLIC) -> UpstreamUnreachable:
    """The error of a guarded request that was not sent."""
    return UpstreamUnreachable(why, code="address_refused")


class Lookup:
    """Resolves names in threads of its own: a stranger's slow name server must not hold up the look-ups
    of upstreams. Has the form of aiohttp's resolvers."""

    def __init__(self, resolve: Callable[..., list[Any]] = socket.getaddrinfo) -> None:
        self._resolve = resolve
        self._threads: ThreadPoolExecutor | None = None

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        """The addresses of ``host``. Raises OSError."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_LOOKUP_THREADS, "guarded-lookup")
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._resolve, host, port, family, socket.SOCK_STREAM
        )
        return [
            {
                "hostname": host,
                "host": _address_of(address),
                "port": port,
                "family": kind,
                "proto": protocol,
                "flags": socket.AI_NUMERICHOST,
            }
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Start no more look-ups."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def _address_of(address: tuple[Any, ...]) -> str:
    """With its zone, which a link-local address needs, and which betrays one."""
    zone = address[3] if len(address) == 4 else 0
    return f"{address[0]}%{zone}" if zone and "%" not in address[0] else str(address[0])
