"""What a proxy's URL says, and for how long something is kept open for a proxy."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.canonical.errors import UpstreamUnreachable
from dragoman.canonical.secret import Secret
from dragoman.engine import proxies
from dragoman.engine.proxies import MAX_WAYS, Proxy, Ways, read_proxy
from tests.engine.network import until


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "user", "password"),
    [
        ("http://proxy.example.com", "http", "proxy.example.com", 80, "", ""),
        ("https://proxy.example.com/", "https", "proxy.example.com", 443, "", ""),
        ("socks5://10.0.0.1", "socks5", "10.0.0.1", 1080, "", ""),
        ("socks5h://[::1]:9050", "socks5h", "::1", 9050, "", ""),
        ("HTTP://Proxy:3128", "http", "proxy", 3128, "", ""),
        ("http://user:hidden@p:1", "http", "p", 1, "user", "hidden"),
        ("http://user@p:1", "http", "p", 1, "user", ""),
        ("socks5://u%40x:a%3Ab%2Fc%25@p:1", "socks5", "p", 1, "u@x", "a:b/c%"),
        ("http://u:p@ss@p:1", "http", "p", 1, "u", "p@ss"),
        ("http://u:%C3%A9@p:1", "http", "p", 1, "u", "\u00c3\u00a9"),
    ],
)
def test_a_url_taken_apart(
    url: str, scheme: str, host: str, port: int, user: str, password: str
) -> None:
    proxy = read_proxy(Secret(url))
    assert (proxy.scheme, proxy.host, proxy.port) == (scheme, host, port)
    assert (proxy.user, proxy.password.reveal()) == (user, password)
    assert not password or password not in repr(proxy)
    again = read_proxy(Secret(proxy.url))
    assert (again.scheme, again.host, again.port, again.user) == (scheme, host, port, "")


def test_the_octets_of_a_password_travel_as_they_were_written() -> None:
    headers = read_proxy(Secret("http://u:%C3%A9@p:1")).headers()
    assert headers == {"proxy-authorization": "Basic dTrDqQ=="}  # base64 of "u:é" in UTF-8
    assert read_proxy(Secret("http://p:1")).headers() == {}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("socks4://hidden:1", "must begin with http://"),
        ("socks://hidden:1", "must begin with http://"),
        ("hidden:1", "must begin with http://"),
        ("http://", "names no host"),
        ("http://p:hidden", "not a valid URL"),
        ("http://p:99999", "not a valid URL"),
        ("http://[hidden:1", "not a valid URL"),
        ("http://p:1/hidden", "must end after host and port"),
        ("http://p:1?hidden", "must end after host and port"),
        ("http://u:1#hidden@p:1", "%23"),
        ("http://u:1/hidden@p:1", "%2F"),
        ("http://hid%3Aden:x@p:1", "':' in the user's name"),
        ("socks5://hidden@p:1", "both user and password"),
        ("socks5h://:hidden@p:1", "both user and password"),
        ("socks5://hidden:%C3%A9@p:1", "ASCII"),
        (f"socks5://u:{'hidden' * 50}@p:1", "at most 255 bytes"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_proxy(Secret(url))
    assert reason in str(caught.value)
    assert "hid" not in str(caught.value)


# -- ways ---------------------------------------------------------------------------------------


class Session:
    def __init__(self, proxy: Proxy) -> None:
        self.host = proxy.host
        self.closed = False

    async def close(self) -> None:
        self.closed = True


def url(name: object) -> Secret:
    return Secret(f"socks5://host{name}:1")


def test_requests_through_one_proxy_share_a_session() -> None:
    async def work() -> None:
        ways = Ways(Session, idle=60)
        first, second, other = ways.take(url(1)), ways.take(url(1)), ways.take(url(2))
        assert first.session is second.session
        assert other.session is not first.session
        await ways.close()
        assert first.session.closed
        assert other.session.closed
        assert len(ways) == 0

    asyncio.run(work())


def test_the_password_is_part_of_which_proxy_it_is() -> None:
    async def work() -> None:
        ways = Ways(Session, idle=60)
        one = ways.take(Secret("socks5://u:a@p:1"))
        other = ways.take(Secret("socks5://u:b@p:1"))
        assert one.session is not other.session
        await ways.close()

    asyncio.run(work())


def test_what_is_unused_for_a_while_is_closed() -> None:
    async def work() -> None:
        ways = Ways(Session, idle=0.05)
        used, unused = ways.take(url("used")), ways.take(url("unused"))
        ways.give_back(unused)
        await until(lambda: unused.session.closed)
        assert not used.session.closed
        assert len(ways) == 1
        assert ways.take(url("used")) is used
        ways.give_back(used)
        ways.give_back(used)
        await until(lambda: used.session.closed)
        assert ways.take(url("used")).session is not used.session
        await ways.close()

    asyncio.run(work())


def test_there_are_never_many() -> None:
    async def work() -> None:
        ways = Ways(Session, idle=60)
        busy = ways.take(url("busy"))
        longest = ways.take(url("longest"))
        ways.give_back(longest)
        for number in range(MAX_WAYS * 3):
            await asyncio.sleep(0)
            ways.give_back(ways.take(url(number)))
            assert len(ways) <= MAX_WAYS
        await until(lambda: longest.session.closed)
        assert not busy.session.closed
        assert ways.take(url("busy")) is busy
        await ways.close()

    asyncio.run(work())


def test_an_unusable_url_is_a_failure_not_a_direct_connection() -> None:
    async def work() -> None:
        ways = Ways(Session, idle=60)
        with pytest.raises(UpstreamUnreachable, match="proxy_url must begin with"):
            ways.take(Secret("socks4://hidden:1"))
        assert len(ways) == 0

    asyncio.run(work())


def test_the_failures_name_no_proxy() -> None:
    proxy = read_proxy(Secret("socks5://theuser:thepassword@thehost:1"))
    for error in (proxies.refused_credentials(proxy), proxies.closed_handshake(proxy)):
        assert not {"theuser", "thepassword", "thehost"} & set(error.message.split())
        assert "user and password" in error.message
