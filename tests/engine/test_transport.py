"""The transport against servers that keep no rule: every failure has its error, and a bound."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import brotli
import pytest

from dragoman.canonical.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from dragoman.engine.reply import MAX_REPLY_BYTES, Deadlines
from dragoman.engine.transport import DISCONNECTED, Transport
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
from tests.support.proxies import Certificate

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
MIB = 1024 * 1024


def answering(*answers: bytes) -> Handler:
    """Give each request of a connection the next answer, then close it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await read_request(reader)
            writer.write(answer)
            await writer.drain()

    return handle


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take what comes and say nothing."""
    while await reader.read(2**16):
        pass


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def body_of(encoding: str, packed: bytes) -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {len(packed)}\r\n\r\n"
    ).encode() + packed


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


# -- no connection ------------------------------------------------------------------------------


def test_refused() -> None:
    with pytest.raises(UpstreamUnreachable, match="upstream refused the connection"):
        send(f"http://127.0.0.1:{free_port()}/")


def test_unknown_host_name() -> None:
    with pytest.raises(UpstreamUnreachable, match="host name is unknown") as caught:
        send("http://nobody-is-called-this.invalid/")
    assert "invalid/" not in caught.value.message


@pytest.fixture
def full_backlog() -> Iterator[int]:
    """A port whose queue of waiting connections is full, so that no more are accepted."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        try:
            yield server.getsockname()[1]
        finally:
            for one in waiting:
                one.close()


def test_a_connection_that_is_never_accepted(full_backlog: int) -> None:
    with pytest.raises(UpstreamUnreachable, match="in time"):
        send(f"http://127.0.0.1:{full_backlog}/", connect_timeout=0.3)


@on_every_loop
def test_a_tls_handshake_that_is_never_answered(loop: LoopFactory) -> None:
    with Listener(silence) as upstream:
        with pytest.raises(UpstreamUnreachable, match="in time"):
            send(f"https://{upstream.address}/", connect_timeout=0.3, loop=loop)
        assert wait_until(lambda: not upstream.open)


def test_a_certificate_that_nobody_vouches_for(certificate: Certificate) -> None:
    with Listener(answering(OK), tls=certificate.server()) as upstream:
        with pytest.raises(UpstreamUnreachable, match="TLS with the upstream failed"):
            send(f"https://{upstream.address}/")
        assert send(f"https://{upstream.address}/", tls=certificate.client()).body == b"hi"


def test_plain_http_where_tls_is_expected() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()

    with (
        Listener(handle) as upstream,
        pytest.raises(UpstreamUnreachable, match="TLS with the upstream failed"),
    ):
        send(f"https://{upstream.address}/")


def test_an_address_that_is_none() -> None:
    with pytest.raises(UpstreamUnreachable, match="not a valid address"):
        send("http:///v1/models")


# -- no answer ----------------------------------------------------------------------------------


def test_the_connection_closes_without_an_answer() -> None:
    with (
        Listener(answering(b"")) as upstream,
        pytest.raises(UpstreamFailed, match="closed the connection") as caught,
    ):
        send(f"http://{upstream.address}/")
    assert caught.value.code == DISCONNECTED
    assert caught.value.may_have_billed


@pytest.mark.parametrize("abrupt", [False, True], ids=["closed", "reset"])
@on_every_loop
def test_a_kept_alive_connection_ends_as_it_is_used(loop: LoopFactory, abrupt: bool) -> None:
    """The dispatcher repeats such a request, which it knows by the error's code."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)
        if abrupt:
            reset(writer)

    async def twice(transport: Transport) -> None:
        assert (await fetch(transport, url)).body == b"hi"
        with pytest.raises(UpstreamFailed) as caught:
            await fetch(transport, url)
        assert caught.value.code == DISCONNECTED
        assert upstream.accepted == 1

    with Listener(handle) as upstream:
        url = f"http://{upstream.address}/"
        with_transport(twice, loop=loop)


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail.example.com ESMTP\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b'{"error": "no head at all"}\r\n\r\n',
    ],
)
def test_what_is_not_http(answer: bytes) -> None:
    with (
        Listener(answering(answer)) as upstream,
        pytest.raises(UpstreamBroken, match="valid HTTP"),
    ):
        send(f"http://{upstream.address}/")


@pytest.mark.parametrize(
    "headers",
    [
        b"".join(b"x-%d: 1\r\n" % number for number in range(500)),
        b"x-long: " + b"a" * 100_000 + b"\r\n",
    ],
    ids=["many", "long"],
)
def test_a_header_flood(headers: bytes) -> None:
    with (
        Listener(answering(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n")) as upstream,
        pytest.raises(UpstreamBroken, match="valid HTTP"),
    ):
        send(f"http://{upstream.address}/")


@pytest.mark.parametrize("line", [b"x: 1\r\n", b"a"], ids=["lines", "one line"])
def test_headers_that_never_end(line: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(line * 1000)
            await writer.drain()

    with Listener(handle) as upstream, pytest.raises(UpstreamBroken, match="valid HTTP"):
        send(f"http://{upstream.address}/")


def test_silence_before_the_headers() -> None:
    async def ask(transport: Transport) -> None:
        request = HttpRequest(method="POST", url=f"http://{upstream.address}/", headers={})
        deadlines = Deadlines(first=0.2, idle=0.2, total=5.0)
        with pytest.raises(UpstreamTimeout):
            async with transport.exchange(request, deadlines):
                pass

    with Listener(silence) as upstream:
        with_transport(ask)
        assert wait_until(lambda: not upstream.open)


# -- bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress)],
)
def test_compressed_bodies(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    text = json.dumps({"text": "hello " * 1000}).encode()
    with Listener(answering(body_of(encoding, pack(text)))) as upstream:
        got = send(f"http://{upstream.address}/")
    assert got.body == text


def test_we_ask_for_what_we_can_read() -> None:
    asked: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await read_request(reader))
        writer.write(OK)

    with Listener(handle) as upstream:
        send(f"http://{upstream.address}/")
    assert b"accept-encoding: gzip, deflate, br\r\n" in asked[0].lower()
    assert b"user-agent: dragoman\r\n" in asked[0].lower()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_a_body_that_is_not_what_its_encoding_says(encoding: str) -> None:
    with (
        Listener(answering(body_of(encoding, b"this was never packed"))) as upstream,
        pytest.raises(UpstreamBroken),
    ):
        send(f"http://{upstream.address}/")


def gzip_bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(size // MIB)) + packer.flush()


def brotli_bomb(size: int) -> bytes:
    packer = brotli.Compressor(quality=3)
    return b"".join(packer.process(bytes(MIB)) for _ in range(size // MIB)) + packer.finish()


BOMBS = {"gzip": gzip_bomb(400 * MIB), "br": brotli_bomb(400 * MIB)}


@pytest.mark.parametrize("encoding", BOMBS)
def test_a_decompression_bomb(encoding: str) -> None:
    assert len(BOMBS[encoding]) < 500_000

    async def ask(transport: Transport) -> None:
        tracemalloc.start()
        try:
            with pytest.raises(UpstreamBroken, match="exceeds"):
                await fetch(transport, url)
            assert tracemalloc.get_traced_memory()[1] < MAX_REPLY_BYTES + 16 * MIB
        finally:
            tracemalloc.stop()

    with Listener(answering(body_of(encoding, BOMBS[encoding]))) as upstream:
        url = f"http://{upstream.address}/"
        with_transport(ask)


@pytest.mark.parametrize("encoding", BOMBS)
def test_a_decompression_bomb_in_a_stream_comes_in_small_pieces(encoding: str) -> None:
    async def ask(transport: Transport) -> list[int]:
        request = HttpRequest(method="POST", url=f"http://{upstream.address}/", headers={})
        async with transport.exchange(request, PATIENCE) as reply:
            return [len(await reply.chunk()) for _ in range(20)]

    with Listener(answering(body_of(encoding, BOMBS[encoding]))) as upstream:
        sizes = with_transport(ask)
    assert min(sizes) > 0
    assert max(sizes) <= MIB


def test_http_1_0_ends_by_closing() -> None:
    with Listener(answering(b"HTTP/1.0 200 OK\r\n\r\nhello to the end")) as upstream:
        got = send(f"http://{upstream.address}/")
    assert (got.status, got.body) == (200, b"hello to the end")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["content-length", "chunked", "bad chunk"],
)
def test_a_body_that_breaks_off(answer: bytes) -> None:
    with (
        Listener(answering(answer)) as upstream,
        pytest.raises(UpstreamBroken, match=r"broke off|valid HTTP") as caught,
    ):
        send(f"http://{upstream.address}/")
    assert caught.value.may_have_billed


def test_a_body_that_is_reset() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")
        await writer.drain()
        await asyncio.sleep(0.05)  # the head must have been read before the connection dies
        reset(writer)

    with Listener(handle) as upstream, pytest.raises(UpstreamError):
        send(f"http://{upstream.address}/")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    with Listener(answering(OK)) as elsewhere:
        answer = (
            f"HTTP/1.1 {status} Moved\r\nlocation: http://{elsewhere.address}/\r\n"
            "content-length: 0\r\n\r\n"
        ).encode()
        with Listener(answering(answer)) as upstream:
            assert send(f"http://{upstream.address}/").status == status
        assert elsewhere.accepted == 0


# -- connections --------------------------------------------------------------------------------


def test_connections_are_used_again() -> None:
    async def ask(transport: Transport) -> None:
        for _ in range(3):
            assert (await fetch(transport, f"http://{upstream.address}/")).body == b"hi"

    with Listener(answering(OK, OK, OK)) as upstream:
        with_transport(ask)
        assert upstream.accepted == 1


HEAD_AND_HELLO = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"


def busy(answer: bytes, tls: ssl.SSLContext | None) -> Handler:
    """Send ``answer`` to a request, then take no notice of anything but the connection's end: TLS's
    own goodbye is read and not answered."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if tls is None:
            await read_request(reader)
            writer.write(answer)
        else:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            session = tls.wrap_bio(incoming, outgoing, server_side=True)
            steps = [session.do_handshake, lambda: session.read(2**16)]
            steps += [lambda: session.write(answer)] if answer else []
            while steps:
                try:
                    steps[0]()
                    steps.pop(0)
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(2**16))
            writer.write(outgoing.read())
        await silence(reader, writer)

    return handle


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("answered", [True, False], ids=["amid the answer", "before it"])
@on_every_loop
def test_leaving_early_closes_the_connection_at_once(
    loop: LoopFactory, certificate: Certificate, answered: bool, scheme: str
) -> None:
    async def ask(transport: Transport) -> None:
        request = HttpRequest(method="POST", url=f"{scheme}://{upstream.address}/", headers={})
        async with transport.exchange(request, PATIENCE) as reply:
            assert await reply.chunk() == b"hello"
            assert upstream.open == 1

    async def leave(transport: Transport) -> None:
        asking = asyncio.ensure_future(ask(transport))
        if answered:
            await asking
        else:
            await until(lambda: upstream.open == 1)
            await asyncio.sleep(0.1)  # let the handshake and the request pass
            asking.cancel()
        await until(lambda: upstream.open == 0)

    tls = certificate.server() if scheme == "https" else None
    with Listener(busy(HEAD_AND_HELLO if answered else b"", tls)) as upstream:
        with_transport(leave, loop=loop, tls=certificate.client())


@on_every_loop
def test_leaving_amid_an_upload_does_not_finish_it(loop: LoopFactory) -> None:
    size = 64 * MIB
    received: list[int] = []
    read_on = threading.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while not read_on.is_set():
            await asyncio.sleep(0.01)
        total = 0
        try:
            while data := await reader.read(2**20):
                total += len(data)
        finally:
            received.append(total)

    async def leave(transport: Transport) -> None:
        asking = asyncio.ensure_future(fetch(transport, url, body=bytes(size)))
        await until(lambda: upstream.open == 1)
        await asyncio.sleep(0.1)  # let the buffers on the way fill
        asking.cancel()
        await asyncio.wait([asking])
        read_on.set()
        await until(lambda: bool(received))

    with Listener(handle) as upstream:
        url = f"http://{upstream.address}/"
        with_transport(leave, loop=loop)
    assert received[0] < size


def test_the_environments_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    with Listener(silence) as proxy, Listener(answering(OK)) as upstream:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.address}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert send(f"http://{upstream.address}/").body == b"hi"
        assert proxy.accepted == 0
