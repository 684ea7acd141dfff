"""The only file that knows the HTTP client.

aiohttp was chosen by measurement (``docs/performance.md``) and because it closes an upstream request
cleanly when the task that waits for it is cancelled. Redirects are never followed (a provider's key
must not travel on) and the environment's proxy variables are ignored.
"""

from __future__ import annotations

import ssl

import aiohttp

from dragoman.canonical.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamUnreachable,
)
from dragoman.canonical.secret import Secret
from dragoman.engine import local
from dragoman.engine.reply import Deadlines, Exchange, UpstreamReply
from dragoman.wire.http import HttpRequest

USER_AGENT = "dragoman"
_KEEP_ALIVE_SECONDS = 30.0
DISCONNECTED = "upstream_disconnected"
"""Error code of a kept-alive connection that the upstream closed as we used it."""


class _NetworkReply(UpstreamReply):
    """An aiohttp response behind our interface."""

    def __init__(self, response: aiohttp.ClientResponse, exchange: NetworkExchange) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._exchange = exchange

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

    def __init__(
        self,
        session: aiohttp.ClientSession,
        request: HttpRequest,
        deadlines: Deadlines,
        proxy: Secret | None,
    ) -> None:
        super().__init__(deadlines)
        self._session = session
        self._request = request
        self._proxy = proxy
        self._response: aiohttp.ClientResponse | None = None

    async def open(self) -> UpstreamReply:
        request = self._request
        try:
            response = await self._session.request(
                request.method,
                request.url,
                data=request.body or None,
                headers=request.headers,
                allow_redirects=False,
                proxy=self._proxy.reveal() if self._proxy else None,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unreachable(error) from None
        self._response = response
        return _NetworkReply(response, self)

    def close(self, *, clean: bool) -> None:
        if self._response is not None:
            if clean and self._response.content.at_eof():
                self._response.release()
            else:
                self._response.close()


class Transport:
    """The connection pool, shared by all requests (aiohttp keys it by host and proxy)."""

    def __init__(self, *, connect_timeout: float = 5.0, tls: ssl.SSLContext | None = None) -> None:
        """``tls`` replaces the system's certificate store (tests, private authorities)."""
        self._connect_timeout = connect_timeout
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    def exchange(
        self, request: HttpRequest, deadlines: Deadlines, proxy: Secret | None = None
    ) -> Exchange:
        """Prepare one request; ``async with`` it to send it and get the reply."""
        if request.url.startswith(local.SCHEME):
            return local.LocalExchange(request, deadlines)
        return NetworkExchange(self._open_session(), request, deadlines, proxy)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open_session(self) -> aiohttp.ClientSession:
        # Made on first use, because aiohttp wants a running loop.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    keepalive_timeout=_KEEP_ALIVE_SECONDS,
                    ssl=self._tls if self._tls is not None else True,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout),
                headers={"user-agent": USER_AGENT, "accept-encoding": "gzip, deflate, br"},
                skip_auto_headers=("content-type", "accept"),
                trust_env=False,
                read_bufsize=2**16,
            )
        return self._session


def _unreachable(error: Exception) -> UpstreamError:
    """Name what went wrong before an answer came; host names stay out, clients read this."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return UpstreamUnreachable("The upstream's host name is unknown (DNS).")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return UpstreamUnreachable("TLS with the upstream failed: certificate or protocol.")
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return UpstreamUnreachable("The proxy on the way to the upstream failed.")
        case aiohttp.ServerTimeoutError():
            return UpstreamUnreachable("The upstream did not accept a connection in time.")
        case aiohttp.ClientConnectorError():
            return UpstreamUnreachable("The upstream refused the connection.")
        case aiohttp.ServerDisconnectedError():
            return UpstreamFailed(
                "The upstream closed the connection without an answer.", code=DISCONNECTED
            )
        case aiohttp.InvalidURL():
            return UpstreamUnreachable("The channel's base URL is not a valid address.")
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return UpstreamBroken("The upstream did not answer in valid HTTP.")
        case _:
            return UpstreamFailed(f"The connection to the upstream broke ({type(error).__name__}).")


def _broken_body(error: Exception) -> UpstreamError:
    return UpstreamBroken(f"The upstream's answer broke off ({type(error).__name__}).")
