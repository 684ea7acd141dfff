"""Files fetched by their address: what comes, what is refused, and that it all has an end."""

from __future__ import annotations

import asyncio
import base64
import gzip
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from dragoman.canonical.errors import GatewayError, InvalidRequest, Unavailable
from dragoman.canonical.notes import Note
from dragoman.canonical.parts import Media, ToolResult
from dragoman.canonical.request import Request
from dragoman.canonical.secret import Secret
from dragoman.engine.call import Call
from dragoman.engine.fetch import MAX_FILES, Fetcher, Limits
from dragoman.engine.guard import Guard
from dragoman.engine.journey import Journey
from dragoman.engine.records import Trace
from dragoman.engine.transport import Transport
from dragoman.governance.principal import ANONYMOUS
from dragoman.protocols.base import ModelProfile, Protocol, Target
from dragoman.protocols.registry import protocols
from tests.engine.network import until, with_transport
from tests.support.listener import Listener, read_request, wait_until
from tests.support.proxies import Certificate
from tests.support.standin.script import PNG

T = TypeVar("T")
CHAT, OLLAMA = protocols()["openai_chat"], protocols()["ollama_chat"]
PIXELS = base64.b64decode(PNG)
KIB = 1024
SMALL = Limits(file_bytes=64 * KIB, call_bytes=96 * KIB, held_bytes=160 * KIB)


class Site:
    """A server on loopback that answers each path with bytes of the test's choice, for ever those of
    ``/endless``, ``/trickle`` and ``/silent``. ``paths`` are those that were asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.paths: list[str] = []
        self.heads: list[bytes] = []
        self.at_once = self.most_at_once = 0

    def put(self, path: str, body: bytes, content_type: str = "image/png", head: str = "") -> None:
        """Answer ``path`` with 200."""
        kind = f"content-type: {content_type}\r\n" if content_type else ""
        length = f"content-length: {len(body)}\r\n"
        self.answers[path] = f"HTTP/1.1 200 OK\r\n{kind}{length}{head}\r\n".encode() + body

    def redirect(self, path: str, to: str, status: int = 302) -> None:
        """Answer ``path`` with a redirect."""
        head = f"HTTP/1.1 {status} Moved\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
        self.answers[path] = head.encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The listener's handler."""
        head = await read_request(reader)
        path = head.split(b" ")[1].decode()
        self.paths.append(path)
        self.heads.append(head.lower())
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await self._answer(path, reader, writer)
        finally:
            self.at_once -= 1

    async def _answer(
        self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        start = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n"
        if path.startswith("/endless"):
            writer.write(start)
            while True:
                writer.write(b"x" * 16 * KIB)
                await writer.drain()
        elif path.startswith("/trickle"):
            writer.write(start)
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        elif path.startswith("/silent"):
            await reader.read()  # to the end, which is the client's leaving
            return
        elif path.startswith("/slowly"):
            await asyncio.sleep(0.1)
        missing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\nsecret"
        writer.write(self.answers.get(path.partition("?")[0], missing))
        await writer.drain()


@pytest.fixture
def site() -> Site:
    """The answers, with a picture to start with."""
    site = Site()
    site.put("/a.png", PIXELS)
    return site


@pytest.fixture
def server(site: Site) -> Iterator[Listener]:
    """The site on a port."""
    with Listener(site.serve) as listener:
        yield listener


def new_call(*urls: str, kind: str = "image_url") -> Call:
    """A chat request that names ``urls``."""
    parts: list[Any] = [{"type": "text", "text": "What is this?"}]
    for url in urls:
        if kind == "file":
            parts.append({"type": "file", "file": {"file_data": url}})
        else:
            parts.append({"type": kind, kind: {"url": url}})
    body = {"model": "m", "messages": [{"role": "user", "content": parts}]}
    parsed = CHAT.parse_request(msgspec.json.encode(body), Target())
    trace = Trace(Journey(id="r1", protocol="openai_chat", started=0.0), "generate")
    return Call(protocol=CHAT, parsed=parsed, principal=ANONYMOUS, strict=False, trace=trace)


def run(
    work: Callable[[Fetcher], Awaitable[T]],
    *allowed: str,
    limits: Limits | None = None,
    **options: Any,
) -> T:
    """``work`` with a fetcher of its own, which may fetch from ``allowed``."""

    async def main(transport: Transport) -> T:
        transport.guard = Guard(allowed)
        return await work(Fetcher(transport, limits))

    return with_transport(main, **options)


Inlined = tuple[Request, list[Note]] | None


async def inline(
    fetcher: Fetcher,
    call: Call,
    upstream: Protocol = OLLAMA,
    quirks: dict[str, Any] | None = None,
    proxy: str | None = None,
) -> Inlined:
    """The call's request for ``upstream``."""
    profile = ModelProfile(quirks=quirks or {})
    return await fetcher.with_bytes(call, upstream, profile, Secret(proxy) if proxy else None)


def fetch(server: Listener, *paths: str, limits: Limits | None = None, **options: Any) -> Inlined:
    """What Ollama is sent of a request that names ``paths`` of the server."""
    call = new_call(*(f"http://{server.address}{path}" for path in paths))
    return run(lambda fetcher: inline(fetcher, call, **options), server.address, limits=limits)


def media_of(found: Inlined) -> list[Media]:
    """The files among the parts."""
    assert found is not None
    return [part for part in found[0].messages[0].parts if isinstance(part, Media)]


def refusal(work: Callable[[], object]) -> GatewayError:
    """The error that ``work`` raises."""
    with pytest.raises(GatewayError) as caught:
        work()
    return caught.value


# -- what comes --------------------------------------------------------------------------------------


def test_the_bytes_take_the_address_s_place(server: Listener, site: Site) -> None:
    found = fetch(server, "/a.png?signature=s")
    (part,) = media_of(found)
    assert (part.data, part.url, part.media_type) == (PNG, None, "image/png")
    assert found is not None
    (note,) = found[1]
    assert (note.path, note.action, note.detail) == ("messages.0.parts.1", "emulated", "fetched")
    assert site.paths == ["/a.png?signature=s"]
    assert b"authorization" not in site.heads[0]
    assert b"cookie" not in site.heads[0]


def test_one_address_is_fetched_once_for_all_attempts(server: Listener, site: Site) -> None:
    url = f"http://{server.address}/a.png"
    call = new_call(url, url)

    async def twice(fetcher: Fetcher) -> None:
        for _ in range(2):
            assert [part.data for part in media_of(await inline(fetcher, call))] == [PNG, PNG]

    run(twice, server.address)
    assert site.paths == ["/a.png"]
    # Another upstream may want the addresses.
    assert [part.url for part in call.request.messages[0].parts if isinstance(part, Media)] == [
        url,
        url,
    ]


def test_at_most_four_at_once(server: Listener, site: Site) -> None:
    paths = [f"/slowly/{number}" for number in range(10)]
    for path in paths:
        site.put(path, PIXELS)
    assert len(media_of(fetch(server, *paths))) == 10
    assert site.most_at_once == 4


def test_images_in_a_tool_s_result(server: Listener) -> None:
    call = new_call()
    image = Media(kind="image", url=f"http://{server.address}/a.png")
    call.request.messages[0].parts.append(ToolResult(call_id="1", content=[image]))
    found = run(lambda fetcher: inline(fetcher, call), server.address)
    assert found is not None
    result = found[0].messages[0].parts[-1]
    assert isinstance(result, ToolResult)
    assert isinstance(result.content[0], Media)
    assert result.content[0].data == PNG
    assert found[1][0].path == "messages.0.parts.1.content.0"


@pytest.mark.parametrize(
    ("kind", "body", "named", "expected"),
    [
        ("image_url", b"\xff\xd8\xffjpeg", "application/octet-stream", "image/jpeg"),
        ("image_url", b"GIF89a", "", "image/gif"),
        ("image_url", b"RIFF\0\0\0\0WEBPVP8", "binary/octet-stream", "image/webp"),
        ("image_url", b"anything", "Image/PNG; charset=x", "image/png"),
        ("file", b"%PDF-1.7", "application/pdf", "application/pdf"),
        ("file", b"%PDF-1.7", "application/octet-stream", "application/pdf"),
        ("file", b"words", "text/plain; charset=utf-8", "text/plain"),
    ],
)
def test_the_type_is_what_the_server_or_else_the_file_says(
    server: Listener, site: Site, kind: str, body: bytes, named: str, expected: str
) -> None:
    site.put("/f", body, named)
    call = new_call(f"http://{server.address}/f", kind=kind)
    quirks = {"bytes_only": ["image", "document"]}
    found = run(lambda one: inline(one, call, CHAT, quirks), server.address)
    (part,) = media_of(found)
    assert part.media_type == expected
    assert part.data == base64.b64encode(body).decode()


# -- for whom ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("upstream", "quirks", "fetched"),
    [
        ("ollama_chat", {}, True),
        ("openai_chat", {}, False),
        ("openai_chat", {"bytes_only": ["image"]}, True),
        ("openai_chat", {"bytes_only": "image"}, True),
        ("openai_responses", {}, False),
        ("openai_responses", {"bytes_only": ["image"]}, True),
        ("anthropic_messages", {}, False),
        ("anthropic_messages", {"bytes_only": ["image", "document"]}, True),
        ("gemini_generate", {}, False),
    ],
)
def test_who_fetches_for_himself_is_left_to_it(
    server: Listener, site: Site, upstream: str, quirks: dict[str, Any], fetched: bool
) -> None:
    call = new_call(f"http://{server.address}/a.png")
    found = run(lambda one: inline(one, call, protocols()[upstream], quirks), server.address)
    assert (found is not None) is fetched
    assert bool(site.paths) is fetched


@pytest.mark.parametrize(
    "url",
    ["gs://bucket/a.png", "file:///etc/passwd", "ftp://x/a", "data:image/png;base64,eA==", ""],
)
def test_what_is_no_web_address_is_the_codec_s_affair(url: str) -> None:
    assert run(lambda fetcher: inline(fetcher, new_call(url))) is None


# -- what is refused ---------------------------------------------------------------------------------


def test_every_failure_sounds_the_same(
    server: Listener, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.answers["/500"] = b"HTTP/1.1 500 Oh\r\ncontent-length: 6\r\n\r\nsecret"
    site.answers["/cut"] = (
        b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 9\r\n\r\nx"
    )
    site.answers["/gibberish"] = b"SSH-2.0-OpenSSH_9.2\r\n\r\n"
    site.answers["/206"] = (
        b"HTTP/1.1 206 Part\r\ncontent-type: image/png\r\ncontent-length: 0\r\n\r\n"
    )
    site.redirect("/nowhere", "")
    site.redirect("/metadata", "http://169.254.169.254/latest/")
    site.redirect("/file", "file:///etc/passwd")
    site.redirect("/invalid", "http://[")
    urls = [
        *(f"http://{server.address}{path}" for path in ("/none", *site.answers, "/silent")),
        "http://127.0.0.1:1/x.png",
        "http://localhost/x.png",
        "http://nobody-is-called-this.invalid/x.png",
        "http://user:pw@public.example/x.png",
        "http://[/x.png",
        "http://public.example:99999/",
        "https://",
    ]
    urls.remove(f"http://{server.address}/a.png")
    said = set()
    limits = Limits(file_seconds=0.5)
    with caplog.at_level(logging.WARNING, "dragoman.fetch"):
        for url in urls:
            call = new_call(url)
            error = refusal(lambda: run(lambda f: inline(f, call), server.address, limits=limits))  # noqa: B023
            assert isinstance(error, InvalidRequest), url
            assert (error.status, error.param) == (400, "messages.0.parts.1")
            said.add(error.message)
    assert len(said) == 1
    assert said.pop().startswith(
        "messages.0.parts.1: the file at the address could not be fetched."
    )
    logged = [record for record in caplog.records if record.name == "dragoman.fetch"]
    assert len(logged) == len(urls), "the operator learns each reason"
    assert "HTTP 404" in caplog.text
    assert "none that the gateway may ask" in caplog.text
    assert "secret" not in caplog.text
    assert "pw@" not in caplog.text


@pytest.mark.parametrize("named", ["text/html", "application/json", "image", "", "video/mp4"])
def test_another_type_is_refused(server: Listener, site: Site, named: str) -> None:
    site.put("/a.png", b"<html>internal</html>", named)
    error = refusal(lambda: fetch(server, "/a.png"))
    assert isinstance(error, InvalidRequest)
    assert error.message == "messages.0.parts.1: the address does not lead to an image."


def test_too_many_files(server: Listener, site: Site) -> None:
    error = refusal(lambda: fetch(server, *(f"/{n}" for n in range(MAX_FILES + 1))))
    assert isinstance(error, InvalidRequest)
    assert error.param == f"messages.0.parts.{MAX_FILES + 1}"
    assert not site.paths


def test_a_proxy_is_not_asked(server: Listener, caplog: pytest.LogCaptureFixture) -> None:
    with Listener(Site().serve) as proxy:
        call = new_call("http://public.example/a.png")
        route = f"http://{proxy.address}"
        error = refusal(lambda: run(lambda one: inline(one, call, proxy=route)))
        assert isinstance(error, InvalidRequest)
        assert proxy.accepted == 0
    assert "fetch_through_proxies" in caplog.text


# -- redirects ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_three_times(server: Listener, site: Site, status: int) -> None:
    site.redirect("/1", "/2?x=1", status)
    site.redirect("/2", f"http://{server.address}/3", status)
    site.redirect("/3", "a.png", status)
    assert media_of(fetch(server, "/1"))[0].data == PNG
    site.redirect("/0", "/1", status)
    assert "could not be fetched" in refusal(lambda: fetch(server, "/0")).message
    assert site.paths[-4:] == ["/0", "/1", "/2?x=1", "/3"]


def test_a_loop_ends(server: Listener, site: Site) -> None:
    site.redirect("/loop", "/loop")
    refusal(lambda: fetch(server, "/loop"))
    assert len(site.paths) == 4


def test_a_redirect_to_a_private_address_is_not_followed(server: Listener, site: Site) -> None:
    inner = Site()
    inner.put("/a.png", PIXELS)
    with Listener(inner.serve) as victim:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "2130706433"):
            site.redirect("/go", f"http://{host}:{victim.port}/a.png")
            assert "could not be fetched" in refusal(lambda: fetch(server, "/go")).message
        assert victim.accepted == 0
    assert site.paths == ["/go"] * 5


def test_https_does_not_lead_to_http(tmp_path: Path, server: Listener) -> None:
    certificate = Certificate(tmp_path)
    secure = Site()
    secure.put("/a.png", PIXELS)
    secure.redirect("/down", f"http://{server.address}/a.png")
    secure.redirect("/on", "/a.png")
    with Listener(secure.serve, tls=certificate.server()) as tls:
        hosts = (tls.address, server.address)

        def get(path: str) -> Inlined:
            call = new_call(f"https://{tls.address}{path}")
            return run(lambda one: inline(one, call), *hosts, tls=certificate.client())

        assert media_of(get("/on"))[0].data == PNG
        assert "could not be fetched" in refusal(lambda: get("/down")).message
    assert server.accepted == 0


# -- everything has an end -----------------------------------------------------------------------------


def test_an_endless_file(server: Listener) -> None:
    error = refusal(lambda: fetch(server, "/endless"))
    assert error.message == "messages.0.parts.1: the file at the address is larger than 20 MiB."
    assert wait_until(lambda: not server.open), "the connection is closed"


@pytest.mark.parametrize("path", ["/trickle", "/silent"])
def test_a_slow_file(server: Listener, path: str) -> None:
    """It would never end by itself."""
    error = refusal(lambda: fetch(server, path, limits=Limits(file_seconds=0.3)))
    assert "could not be fetched" in error.message
    assert wait_until(lambda: not server.open)


def test_slow_files_do_not_add_up(server: Listener) -> None:
    began = time.monotonic()
    limits = Limits(file_seconds=60, call_seconds=0.5)
    paths = [f"/silent{number}" for number in range(12)]
    assert "could not be fetched" in refusal(lambda: fetch(server, *paths, limits=limits)).message
    assert time.monotonic() - began < 50, "less than one of them may take"
    assert wait_until(lambda: not server.open)


def test_a_bomb(server: Listener, site: Site) -> None:
    """What counts is what comes out of a compressed answer."""
    packed = gzip.compress(b"x" * 64 * 1024 * KIB)
    assert len(packed) < 100 * KIB
    site.put("/bomb", packed, head="content-encoding: gzip\r\n")
    assert "larger than 20 MiB" in refusal(lambda: fetch(server, "/bomb")).message


def test_files_that_are_too_large_together(server: Listener, site: Site) -> None:
    for path in ("/1", "/2"):
        site.put(path, PIXELS + b"x" * 60 * KIB)
    assert len(media_of(fetch(server, "/1", limits=SMALL))) == 1
    error = refusal(lambda: fetch(server, "/1", "/2", limits=SMALL))
    assert isinstance(error, InvalidRequest)
    assert "together" in error.message


def test_what_all_calls_hold_is_bounded(server: Listener, site: Site) -> None:
    site.put("/1", PIXELS + b"x" * 60 * KIB)

    async def work(fetcher: Fetcher) -> None:
        calls = [new_call(f"http://{server.address}/1") for _ in range(4)]
        for call in calls[:2]:
            assert await inline(fetcher, call)
        with pytest.raises(Unavailable) as caught:
            await inline(fetcher, calls[2])
        assert caught.value.retry_after
        for call in calls[:3]:
            fetcher.forget(call)
            fetcher.forget(call)
        assert await inline(fetcher, calls[3]), "what is over counts no more"

    run(work, server.address, limits=SMALL)


def test_a_client_that_leaves_ends_it(server: Listener) -> None:
    call = new_call(f"http://{server.address}/silent", f"http://{server.address}/trickle")

    async def work(fetcher: Fetcher) -> None:
        task = asyncio.ensure_future(inline(fetcher, call))
        await until(lambda: server.open == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not server.open)  # while the transport is still there

    run(work, server.address)
