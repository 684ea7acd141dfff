"""The only file that knows the HTTP client.

aiohttp was chosen by measurement (``docs/performance.md``) and because it closes an upstream request
cleanly when the task that waits for it is cancelled. Redirects are never followed (a provider's key
must not travel on) and the environment's proxy variables are ignored.

Guarded requests (``HttpRequest.guarded``) have connections of their own, each of whose sockets is judged
by the ``Guard`` right before it is connected (``docs/decisions/0009``).

A proxy is used for whatever is sent with it, loopback upstreams included: there is no list of
exceptions, and no way back to a direct connection if it fails. Only ``demo:`` channels, which never
leave the process, have none.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

from dragoman.canonical.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamUnreachable,
)
from dragoman.canonical.secret import Secret
from dragoman.engine import local, proxies
from dragoman.engine.guard import AddressRefused, Guard, Lookup, refused
from dragoman.engine.proxies import Proxy, Way, Ways
from dragoman.engine.reply import Deadlines, Exchange, UpstreamReply
from dragoman.routing.verdict import DISCONNECTED
from dragoman.wire.http import HttpRequest

if TYPE_CHECKING:
    from aiohttp.tracing import Trace

USER_AGENT = "dragoman"
_KEEP_ALIVE_SECONDS = 30.0
_DISCONNECTED_ERRNOS = (errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE)
_TLS_FAILED = "TLS with the upstream failed: certificate or protocol."


class _NetworkReply(UpstreamReply):
    """An aiohttp response behind our interface."""

    def __init__(self, response: aiohttp.ClientResponse, exchange: NetworkExchange) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._exchange = exchange

    def cookies(self) -> list[str]:
        return self._response.headers.getall("set-cookie", [])

    async def chunk(self) -> bytes:
        try:
            data: bytes = await self._response.content.readany()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _broken_body(error) from None
        self._exchange.heard()
        return data

    def began(self) -> None:
        self._exchange.began()


class NetworkExchange(Exchange):
    """One request over the network; leaving the block early closes the connection."""

    _proxy: str | None = None
    _proxy_headers: Mapping[str, str] | None = None

    def __init__(
        self, session: aiohttp.ClientSession | None, request: HttpRequest, deadlines: Deadlines
    ) -> None:
        super().__init__(deadlines, request)
        self._session = session
        self._request = request
        self._headers: Mapping[str, str] = request.headers
        self._response: aiohttp.ClientResponse | None = None

    async def open(self) -> UpstreamReply:
        request = self._request
        assert self._session is not None
        try:
            response = await self._session.request(
                request.method,
                request.url,
                data=request.body or None,
                headers=self._headers,
                allow_redirects=False,
                proxy=self._proxy,
                proxy_headers=self._proxy_headers,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._failure(error) from None
        self._response = response
        return _NetworkReply(response, self)

    def close(self, *, clean: bool) -> None:
        if self._response is not None:
            if clean and self._response.content.at_eof():
                self._response.release()
            else:
                self._response.close()

    def _failure(self, error: Exception) -> UpstreamError:
        return _unreachable(error)


class ProxiedExchange(NetworkExchange):
    """The same through a proxy."""

    def __init__(
        self,
        ways: Ways[aiohttp.ClientSession],
        url: Secret,
        request: HttpRequest,
        deadlines: Deadlines,
    ) -> None:
        super().__init__(None, request, deadlines)
        self._ways = ways
        self._url = url
        self._way: Way[aiohttp.ClientSession] | None = None

    async def open(self) -> UpstreamReply:
        way = self._way = self._ways.take(self._url)
        self._session = way.session
        if way.proxy.is_socks:
            return await super().open()
        self._proxy = way.proxy.url
        if self._request.url[:6].lower() == "https:":  # only CONNECT is for the proxy's eyes
            self._proxy_headers = way.proxy.headers()
            return await super().open()
        self._headers = {**self._headers, **way.proxy.headers()}
        reply = await super().open()
        if reply.status == 407:
            raise proxies.refused_credentials(way.proxy)
        return reply

    def close(self, *, clean: bool) -> None:
        super().close(clean=clean)
        if self._way is not None:
            self._ways.give_back(self._way)
            self._way = None

    def _failure(self, error: Exception) -> UpstreamError:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return proxies.timed_out()
        return super()._failure(error)


class Transport:
    """The connection pools, shared by all requests. ``guard`` may be replaced at any time."""

    def __init__(
        self,
        *,
        connect_timeout: float = 5.0,
        tls: ssl.SSLContext | None = None,
        proxy_idle: float = 60.0,
    ) -> None:
        """``connect_timeout`` (seconds) is for everything until the request can be sent: name, TCP,
        proxy, TLS. ``tls`` replaces the system's certificate store (tests, private authorities).
        What is held for a proxy is closed when it has been idle for ``proxy_idle`` seconds."""
        self.guard = Guard()
        self.lookup = Lookup()
        self._connect_timeout = connect_timeout
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._guarded_session: aiohttp.ClientSession | None = None
        self._ways = Ways(self._open_proxied_session, proxy_idle)

    def exchange(
        self, request: HttpRequest, deadlines: Deadlines, proxy: Secret | None = None
    ) -> Exchange:
        """Prepare one request; ``async with`` it to send it and get the reply. Raises
        UpstreamUnreachable if it is guarded and must not be sent."""
        if request.guarded:
            request, judged = self.guard.inspect(request, proxied=proxy is not None)
            if judged:
                return NetworkExchange(self._open_guarded_session(), request, deadlines)
        if request.url.startswith(local.SCHEME):
            return local.LocalExchange(request, deadlines)
        if proxy is not None:
            return ProxiedExchange(self._ways, proxy, request, deadlines)
        return NetworkExchange(self._open_session(), request, deadlines)

    async def close(self) -> None:
        """Close every connection."""
        await self._ways.close()
        for session in (self._session, self._guarded_session):
            if session is not None:
                await session.close()
        self._session = self._guarded_session = None
        await self.lookup.close()

    def _open_session(self) -> aiohttp.ClientSession:
        # Made on first use, because aiohttp wants a running loop.
        if self._session is None:
            self._session = self._session_over(_Connector(**self._tcp_options()))
        return self._session

    def _open_guarded_session(self) -> aiohttp.ClientSession:
        if self._guarded_session is None:
            connector = _Connector(
                socket_factory=lambda to: self.guard.open_socket(to),  # noqa: PLW0108 - the one of then
                resolver=cast(aiohttp.abc.AbstractResolver, self.lookup),
                **self._tcp_options(),
            )
            self._guarded_session = self._session_over(connector)
        return self._guarded_session

    def _open_proxied_session(self, proxy: Proxy) -> aiohttp.ClientSession:
        if proxy.is_socks:
            return self._session_over(_SocksConnector(proxy, self._tls or proxies.system_tls()))
        return self._session_over(_HttpProxyConnector(proxy, **self._tcp_options()))

    def _tcp_options(self) -> dict[str, Any]:
        return {
            "limit": 0,
            "keepalive_timeout": _KEEP_ALIVE_SECONDS,
            "ssl": self._tls if self._tls is not None else True,
        }

    def _session_over(self, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout),
            headers={"user-agent": USER_AGENT, "accept-encoding": "gzip, deflate, br"},
            skip_auto_headers=("content-type", "accept"),
            trust_env=False,
            read_bufsize=2**16,
        )


class _Connection(ResponseHandler):
    """Closes at once when told to, and tells everybody of what is not HTTP.

    aiohttp would send what it still holds of the request, then await the upstream's goodbye in TLS,
    which one that is busy generating need not say for 30 seconds.
    """

    def close(self) -> None:
        self.abort()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Tell the reader of a body, too, that what came was no valid HTTP: aiohttp 3.14 tells only
        whoever waits for headers, and the reader would wait until its deadline."""
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(aiohttp.ClientPayloadError("not valid HTTP"))
        super().set_exception(exc, *cause)


def _connections(loop: asyncio.AbstractEventLoop) -> functools.partial[ResponseHandler]:
    kind: type[ResponseHandler] = _Connection
    return functools.partial(kind, loop=loop)


class _Connector(aiohttp.TCPConnector):
    """Direct connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = _connections(self._loop)


class _HttpProxyConnector(_Connector):
    """Connections through an HTTP proxy; tells its failures from the upstream's."""

    def __init__(self, proxy: Proxy, **options: Any) -> None:
        super().__init__(**options)
        self._proxy = proxy

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the overridden method's
    ) -> ResponseHandler:
        try:
            return await super()._create_connection(req, traces, timeout)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _proxy_failure(error, self._proxy) from None


class _SocksConnector(aiohttp.BaseConnector):
    """Connections through a SOCKS proxy.

    Not aiohttp-socks: there a cancelled TLS handshake waits for ever outside uvloop, and a proxy that
    hangs up raises EOFError (``docs/decisions/0007``).
    """

    def __init__(self, proxy: Proxy, tls: ssl.SSLContext) -> None:
        super().__init__(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS)
        self._factory = _connections(self._loop)
        self._proxy = proxy
        self._tls = tls

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the overridden method's
    ) -> ResponseHandler:
        host, port = req.url.raw_host, req.url.port
        assert host is not None
        assert port is not None
        connected = await proxies.connect_through_socks(self._proxy, host, port)
        try:
            protocol: ResponseHandler
            _, protocol = await self._loop.create_connection(
                self._factory,
                sock=connected,
                ssl=self._tls if req.is_ssl() else None,
                server_hostname=host.rstrip(".") if req.is_ssl() else None,
            )
        except ssl.SSLError:
            raise UpstreamUnreachable(_TLS_FAILED) from None
        except OSError as error:
            raise _broken_by_proxy(error) from None
        return protocol


def _unreachable(error: Exception) -> UpstreamError:
    """Name what went wrong before an answer came; host names stay out, clients read this."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return UpstreamUnreachable("The upstream's host name is unknown (DNS).")
        case aiohttp.ClientConnectorError(os_error=AddressRefused()):
            return refused()
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return UpstreamUnreachable(_TLS_FAILED)
        case aiohttp.ServerTimeoutError():
            return UpstreamUnreachable("The upstream did not accept a connection in time.")
        case aiohttp.ClientConnectorError():
            return UpstreamUnreachable("The upstream refused the connection.")
        case aiohttp.ServerDisconnectedError():
            return _disconnected()
        case aiohttp.ClientOSError(errno=number) if number in _DISCONNECTED_ERRNOS:
            return _disconnected()
        case aiohttp.ClientConnectionResetError():  # aiohttp's own, which has no number
            return _disconnected()
        case aiohttp.InvalidURL():
            return UpstreamUnreachable("The channel's base URL is not a valid address.")
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return UpstreamBroken("The upstream did not answer in valid HTTP.")
        case _:
            return UpstreamFailed(f"The connection to the upstream broke ({type(error).__name__}).")


def _disconnected() -> UpstreamFailed:
    return UpstreamFailed(
        "The upstream closed the connection without an answer.", code=DISCONNECTED
    )


def _proxy_failure(error: Exception, proxy: Proxy) -> UpstreamUnreachable:
    """The same for what went wrong before an HTTP proxy had made the connection."""
    match error:
        case aiohttp.ClientHttpProxyError(status=407):
            return proxies.refused_credentials(proxy)
        case aiohttp.ClientHttpProxyError():
            return proxies.failed(f"did not connect (HTTP {error.status})")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            if (error.host, error.port) != (proxy.host, proxy.port):
                return UpstreamUnreachable(_TLS_FAILED)
            return proxies.failed("failed in TLS: certificate or protocol")
        case aiohttp.ClientConnectionError(__cause__=TypeError()):
            # How older CPythons fail when the inner one of two TLS handshakes does (gh-113214).
            return UpstreamUnreachable(_TLS_FAILED)
        case aiohttp.ClientConnectorDNSError():
            return proxies.unknown_name()
        case aiohttp.ClientProxyConnectionError():
            return proxies.refused_connection()
        case aiohttp.ServerDisconnectedError():
            return proxies.closed_handshake(proxy)
        case aiohttp.ClientResponseError():
            return proxies.failed("did not answer as an HTTP proxy; check the scheme of its URL")
        case _:
            return _broken_by_proxy(error)


def _broken_by_proxy(error: Exception) -> UpstreamUnreachable:
    return proxies.failed(f"broke the connection off ({type(error).__name__})")


def _broken_body(error: Exception) -> UpstreamError:
    return UpstreamBroken(f"The upstream's answer broke off ({type(error).__name__}).")
