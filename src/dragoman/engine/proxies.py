"""Proxies on the way to an upstream: what a proxy's URL says, the SOCKS handshake, and how a failing
proxy is told from a failing upstream.

=============  ================================================  ==================
scheme         spoken to the proxy                               port if none given
=============  ================================================  ==================
``http://``    HTTP; CONNECT for https upstreams                 80
``https://``   the same inside TLS, whose certificate counts     443
``socks5://``  SOCKS 5; the upstream's name is looked up here    1080
``socks5h://`` SOCKS 5; the proxy looks the name up              1080
=============  ================================================  ==================

Where names are looked up is as curl has it (``man curl``, option ``--proxy``). User and password are
percent-encoded in the URL.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import socket
import ssl
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec

from dragoman.canonical.errors import UpstreamUnreachable
from dragoman.canonical.secret import Secret
from dragoman.engine.tasks import spawn

MAX_WAYS = 64
"""Proxies for which something is kept open; one more closes the longest unused."""

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_REPLIES = {  # RFC 1928, section 6
    2: "its rules do not allow it",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}
_MAX_SOCKS_BYTES = 255  # RFC 1929: user and password have one octet each for their length


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """A proxy's URL, taken apart. ``user`` and ``password`` hold one character per octet."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: Secret = Secret("")

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")

    @property
    def url(self) -> str:
        """The URL without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def has_credentials(self) -> bool:
        return bool(self.user or self.password)

    def headers(self) -> dict[str, str]:
        """What an HTTP proxy wants to be told besides the request (RFC 7617); a secret."""
        if not self.has_credentials:
            return {}
        pair = f"{self.user}:{self.password.reveal()}".encode("latin-1")
        return {"proxy-authorization": f"Basic {base64.b64encode(pair).decode()}"}


def read_proxy(url: Secret) -> Proxy:
    """Take a proxy's URL apart. Raises ValueError, which says what is wrong without repeating it."""
    try:
        parts = urlsplit(url.reveal())
        port = parts.port
    except ValueError:
        raise ValueError("is not a valid URL") from None
    if parts.scheme not in _PORTS:
        raise ValueError("must begin with http://, https://, socks5:// or socks5h://")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            "must end after host and port; in a password write '/', '?' and '#' as %2F, %3F and %23"
        )
    if not parts.hostname:
        raise ValueError("names no host")
    proxy = Proxy(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        user=unquote(parts.username or "", encoding="latin-1"),
        password=Secret(unquote(parts.password or "", encoding="latin-1")),
    )
    if proxy.is_socks:
        _check_socks_credentials(proxy)
    elif ":" in proxy.user:
        raise ValueError("must not have ':' in the user's name; HTTP cannot express it")
    return proxy


def _check_socks_credentials(proxy: Proxy) -> None:
    password = proxy.password.reveal()
    if bool(proxy.user) != bool(password):
        raise ValueError("must give both user and password; SOCKS has no way to send one alone")
    if not (proxy.user.isascii() and password.isascii()):
        raise ValueError("must have user and password in ASCII; SOCKS names no other encoding")
    if max(len(proxy.user), len(password)) > _MAX_SOCKS_BYTES:
        raise ValueError(f"must have user and password of at most {_MAX_SOCKS_BYTES} bytes")


class Closable(Protocol):
    """What is kept open for a proxy."""

    async def close(self) -> None:
        """Close every connection."""


_Session = TypeVar("_Session", bound=Closable)


class Way(Generic[_Session]):
    """The way through one proxy: a session whose every connection goes through it."""

    def __init__(self, proxy: Proxy, session: _Session) -> None:
        self.proxy = proxy
        self.session = session
        self.in_use = 0
        self.used_at = 0.0


class Ways(Generic[_Session]):
    """The ways through proxies that are in use or were lately.

    A way that nobody has used for a while is closed, which includes that of a proxy which the
    configuration has lost. One in use never is.
    """

    def __init__(self, open_session: Callable[[Proxy], _Session], idle: float) -> None:
        """``idle`` is in seconds."""
        self._open_session = open_session
        self._idle = idle
        self._ways: dict[Secret, Way[_Session]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._ways)

    def take(self, url: Secret) -> Way[_Session]:
        """The way through the proxy at ``url``, to be given back. Raises UpstreamUnreachable."""
        way = self._ways.get(url)
        if way is None:
            try:
                proxy = read_proxy(url)
            except ValueError as error:
                raise UpstreamUnreachable(f"The channel's proxy_url {error}.") from None
            self._make_room()
            way = self._ways[url] = Way(proxy, self._open_session(proxy))
            self._watch()
        way.in_use += 1
        return way

    def give_back(self, way: Way[_Session]) -> None:
        """One request over ``way`` has ended."""
        way.in_use -= 1
        way.used_at = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """Close them all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ways, self._ways = self._ways, {}
        for way in ways.values():
            await way.session.close()

    def _make_room(self) -> None:
        if len(self._ways) < MAX_WAYS:
            return
        unused = [(way.used_at, url) for url, way in self._ways.items() if not way.in_use]
        if unused:
            self._close(min(unused, key=lambda one: one[0])[1])

    def _watch(self) -> None:
        if self._timer is None and self._ways:
            self._timer = asyncio.get_running_loop().call_later(self._idle, self._look)

    def _look(self) -> None:
        self._timer = None
        latest = asyncio.get_running_loop().time() - self._idle
        for url, way in list(self._ways.items()):
            if not way.in_use and way.used_at <= latest:
                self._close(url)
        self._watch()

    def _close(self, url: Secret) -> None:
        spawn(self._ways.pop(url).session.close(), "close the way through a proxy")


@functools.cache
def system_tls() -> ssl.SSLContext:
    """TLS with the system's certificates, for connections that aiohttp does not make itself."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def connect_through_socks(proxy: Proxy, host: str, port: int) -> socket.socket:
    """A connected socket to ``host`` behind a SOCKS proxy. Raises UpstreamUnreachable.

    The time this may take is the caller's to limit; cancelled, it leaves nothing open.
    """
    import python_socks  # noqa: PLC0415 - slow to import, and most installations have no proxy
    from python_socks.async_.asyncio import Proxy as SocksProxy  # noqa: PLC0415

    handshake = SocksProxy(
        proxy_type=python_socks.ProxyType.SOCKS5,
        host=proxy.host,
        port=proxy.port,
        username=proxy.user or None,
        password=proxy.password.reveal() or None,
        rdns=proxy.scheme == "socks5h",
    )
    try:
        return await handshake.connect(host, port)
    except python_socks.ProxyConnectionError as error:
        unknown = isinstance(error.__cause__, socket.gaierror)
        raise (unknown_name() if unknown else refused_connection()) from None
    except python_socks.ProxyTimeoutError:
        raise timed_out() from None
    except python_socks.ProxyError as error:
        raise _refused_by_socks(error.error_code, str(error), proxy) from None
    except socket.gaierror:
        raise UpstreamUnreachable("The upstream's host name is unknown (DNS).") from None
    except ConnectionError:
        raise closed_handshake(proxy) from None
    except (OSError, ValueError) as error:
        raise failed(f"broke the connection off ({type(error).__name__})") from None


def _refused_by_socks(code: int | None, said: str, proxy: Proxy) -> UpstreamUnreachable:
    # The library tells a refusal of the credentials from a broken handshake by its words alone.
    if code is not None:
        return failed(f"did not connect ({_REPLIES.get(code, 'general failure')})")
    if "authentication failure" in said or "authentication method" in said:
        return refused_credentials(proxy)
    if "closed" in said:
        return closed_handshake(proxy)
    return failed("did not answer as a SOCKS5 proxy; check the scheme of its URL")


def failed(how: str) -> UpstreamUnreachable:
    """The proxy's failure; ``how`` goes on from "The proxy". Clients read it: no names, no URL."""
    return UpstreamUnreachable(f"The proxy on the way to the upstream {how}.")


def unknown_name() -> UpstreamUnreachable:
    """The proxy's own name, not the upstream's."""
    return failed("has an unknown host name (DNS)")


def refused_connection() -> UpstreamUnreachable:
    """Nobody listens where the proxy should be."""
    return failed("refused the connection")


def timed_out() -> UpstreamUnreachable:
    """The proxy, or the upstream behind it, was silent while the connection was made."""
    return failed("made no connection in time")


def refused_credentials(proxy: Proxy) -> UpstreamUnreachable:
    """HTTP 407, or its like in SOCKS."""
    if proxy.has_credentials:
        return failed("refused its credentials: check user and password in its URL")
    return failed("asks for credentials: put user and password into its URL")


def closed_handshake(proxy: Proxy) -> UpstreamUnreachable:
    """Some proxies refuse credentials without a word."""
    advice = "; check user and password in its URL" if proxy.has_credentials else ""
    return failed(f"closed the connection instead of answering{advice}")
