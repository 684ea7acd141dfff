"""Fetches the files whose addresses clients send, for upstreams that take nothing but the bytes.

Everything goes through the guarded transport. A redirect is followed by hand, at most three times and
never from https to http: each hop is a guarded request of its own. Whatever keeps a file from coming
(refused, unknown, silent, an error's status) is told to the client in one and the same sentence, so
that nobody learns from it what stands behind an address; the operator finds the reason in the log.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeGuard
from urllib.parse import urljoin, urlsplit

import msgspec

from dragoman.canonical.errors import InvalidRequest, Unavailable, UpstreamError
from dragoman.canonical.notes import Action, Note
from dragoman.canonical.parts import Media, MediaKind, Part, ToolResult
from dragoman.canonical.request import Request
from dragoman.canonical.secret import Secret
from dragoman.engine.reply import Deadlines, UpstreamReply
from dragoman.engine.tasks import spawn
from dragoman.engine.transport import Transport
from dragoman.protocols.base import ModelProfile, Protocol, bytes_only
from dragoman.wire.http import HttpRequest, media_type

if TYPE_CHECKING:
    from dragoman.engine.call import Call

logger = logging.getLogger("dragoman.fetch")

MIB = 1024 * 1024
MAX_FILES = 20
MAX_REDIRECTS = 3
_AT_ONCE = 4
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WORDS: dict[MediaKind, str] = {
    "image": "an image",
    "audio": "a sound",
    "video": "a film",
    "document": "a PDF or plain text",
}
_DOCUMENTS = frozenset(
    {"application/pdf", "application/json", "text/plain", "text/markdown", "text/csv"}
)
_UNNAMED = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds in seconds and bytes: for one file, for all of a request's, for all that are held."""

    file_seconds: float = 10.0
    call_seconds: float = 20.0
    file_bytes: int = 20 * MIB
    call_bytes: int = 40 * MIB
    held_bytes: int = 256 * MIB


class File(NamedTuple):
    """A fetched file; ``data`` is base64."""

    media_type: str
    data: str


class Fetched:
    """What was fetched for one call: one address once, however many attempts and parts name it."""

    __slots__ = ("files", "size")

    def __init__(self) -> None:
        self.files: dict[tuple[str, MediaKind], File] = {}
        self.size = 0


class _NotFetched(Exception):
    """Why a file did not come; for the log only."""


class Fetcher:
    """Fetches for all calls of a process."""

    def __init__(self, transport: Transport, limits: Limits | None = None) -> None:
        self._transport = transport
        self._limits = limits or Limits()
        self._held = 0

    async def with_bytes(
        self, call: Call, upstream: Protocol, profile: ModelProfile, proxy: Secret | None
    ) -> tuple[Request, list[Note]] | None:
        """The call's request with every file that ``upstream`` would not fetch as bytes, and a note on
        each; None if there is none. ``proxy`` is the channel's. Raises InvalidRequest and Unavailable."""
        kinds = _wanted(call, upstream, profile)
        if not kinds:
            return None
        found = list(_files(call.request, kinds))
        if not found:
            return None
        if len(found) > MAX_FILES:
            where = found[MAX_FILES][0]
            raise _refusal(where, f"more than {MAX_FILES} files are given by their address.")
        if call.fetched is None:
            call.fetched = Fetched()
        await self._fetch_all(call.fetched, call.journey.id, found, proxy)
        notes = [Note(path, Action.EMULATED, "fetched") for path, _ in found]
        return _replaced(call.request, call.fetched, kinds), notes

    def forget(self, call: Call) -> None:
        """``call`` is over."""
        if call.fetched is not None:
            self._held -= call.fetched.size
            call.fetched = None

    async def _fetch_all(
        self, fetched: Fetched, id_: str, found: list[tuple[str, Media]], proxy: Secret | None
    ) -> None:
        wanted: dict[tuple[str, MediaKind], str] = {}
        for path, part in found:
            assert part.url is not None
            if (part.url, part.kind) not in fetched.files:
                wanted.setdefault((part.url, part.kind), path)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def fetch(
            url: str, kind: MediaKind, path: str
        ) -> InvalidRequest | Unavailable | None:
            async with gate:
                try:
                    fetched.files[url, kind] = await self._fetch(url, kind, path, fetched, proxy)
                except _NotFetched as why:
                    host = _host_for_log(url)
                    logger.warning("request %s: %s at %s was not fetched: %s", id_, path, host, why)
                    return _unfetched(path)
                except (InvalidRequest, Unavailable) as error:
                    return error
            return None

        tasks = [
            spawn(fetch(url, kind, path), "fetch-file") for (url, kind), path in wanted.items()
        ]
        try:
            async with asyncio.timeout(self._limits.call_seconds):
                for failure in await asyncio.gather(*tasks):
                    if failure is not None:
                        raise failure
        except TimeoutError:
            late = next(path for key, path in wanted.items() if key not in fetched.files)
            raise _unfetched(late) from None
        finally:
            for task in tasks:
                task.cancel()

    async def _fetch(
        self, url: str, kind: MediaKind, path: str, fetched: Fetched, proxy: Secret | None
    ) -> File:
        seconds = self._limits.file_seconds
        deadlines = Deadlines(first=seconds, idle=seconds, total=seconds)
        try:
            async with asyncio.timeout(seconds):
                for _ in range(MAX_REDIRECTS + 1):
                    request = _get(url, kind)
                    async with self._transport.exchange(request, deadlines, proxy) as reply:
                        if reply.status not in _REDIRECTS:
                            return await self._read(reply, kind, path, fetched)
                        url = _next(url, reply)
        except UpstreamError as error:
            raise _NotFetched(error.message) from None
        except TimeoutError:
            raise _NotFetched(f"it took longer than {seconds:g} s") from None
        raise _NotFetched(f"more than {MAX_REDIRECTS} redirects")

    async def _read(
        self, reply: UpstreamReply, kind: MediaKind, path: str, fetched: Fetched
    ) -> File:
        if reply.status != 200:
            raise _NotFetched(f"HTTP {reply.status}")
        named = media_type(reply.headers.get("content-type", ""))
        if named not in _UNNAMED and not _fits(named, kind):
            raise _refusal(path, f"the address does not lead to {_WORDS[kind]}.")
        data = bytearray()
        while chunk := await reply.chunk():
            self._count(len(chunk), path, fetched)
            data += chunk
            if len(data) > self._limits.file_bytes:
                mib = self._limits.file_bytes // MIB
                raise _refusal(path, f"the file at the address is larger than {mib} MiB.")
        if named in _UNNAMED:
            named = _sniffed(data)
            if not _fits(named, kind):
                raise _refusal(path, f"the address does not lead to {_WORDS[kind]}.")
        return File(named, base64.b64encode(data).decode())

    def _count(self, size: int, path: str, fetched: Fetched) -> None:
        """Take ``size`` bytes more into account; they stay there until the call is over."""
        self._held += size
        fetched.size += size
        if fetched.size > self._limits.call_bytes:
            mib = self._limits.call_bytes // MIB
            raise _refusal(path, f"the files at the addresses are larger than {mib} MiB together.")
        if self._held > self._limits.held_bytes:
            raise Unavailable(
                "The gateway holds as many fetched files as it may; try again soon.", retry_after=1
            )


def _wanted(call: Call, upstream: Protocol, profile: ModelProfile) -> Collection[str]:
    """The kinds of files to fetch. What is forwarded in its own protocol is the upstream's affair,
    unless its row says otherwise."""
    return bytes_only(profile) if upstream is call.protocol else upstream.bytes_only(profile)


def _files(request: Request, kinds: Collection[str]) -> Iterator[tuple[str, Media]]:
    """(canonical path, part) of every file of ``kinds`` that is given by a web address."""
    for i, message in enumerate(request.messages):
        for j, part in enumerate(message.parts):
            path = f"messages.{i}.parts.{j}"
            if _is_remote(part, kinds):
                yield path, part
            elif isinstance(part, ToolResult):
                for k, piece in enumerate(part.content):
                    if _is_remote(piece, kinds):
                        yield f"{path}.content.{k}", piece


def _is_remote(part: Part, kinds: Collection[str]) -> TypeGuard[Media]:
    return (
        isinstance(part, Media)
        and part.kind in kinds
        and part.data is None
        and part.url is not None
        and part.url[:8].lower().startswith(("http://", "https://"))
    )


def _replaced(request: Request, fetched: Fetched, kinds: Collection[str]) -> Request:
    """A copy with the bytes in place; the original is still needed for upstreams that fetch."""

    def piece(part: Part) -> Part:
        if _is_remote(part, kinds):
            assert part.url is not None
            file = fetched.files[part.url, part.kind]
            return msgspec.structs.replace(
                part, url=None, data=file.data, media_type=file.media_type
            )
        if isinstance(part, ToolResult):
            return msgspec.structs.replace(part, content=list(map(piece, part.content)))
        return part

    messages = [
        msgspec.structs.replace(message, parts=list(map(piece, message.parts)))
        for message in request.messages
    ]
    return msgspec.structs.replace(request, messages=messages)


def _host_for_log(url: str) -> str:
    """Without user, path and query, which may hold secrets."""
    try:
        return repr(urlsplit(url).netloc.rpartition("@")[2][:100])
    except ValueError:
        return "an invalid address"


def _get(url: str, kind: MediaKind) -> HttpRequest:
    accept = f"{kind}/*" if kind != "document" else ", ".join(sorted(_DOCUMENTS))
    headers = {"accept": accept, "accept-encoding": "identity"}
    return HttpRequest(method="GET", url=url, headers=headers, guarded=True)


def _next(url: str, reply: UpstreamReply) -> str:
    """Where a redirect leads."""
    try:
        target = urljoin(url, reply.headers.get("location", ""))
    except ValueError:
        raise _NotFetched("a redirect to nowhere") from None
    if not reply.headers.get("location"):
        raise _NotFetched("a redirect to nowhere")
    if url[:6].lower() == "https:" and target[:6].lower() != "https:":
        raise _NotFetched("a redirect from https to something else")
    return target


def _fits(named: str, kind: MediaKind) -> bool:
    return named in _DOCUMENTS if kind == "document" else named.startswith(f"{kind}/")


def _sniffed(data: bytearray) -> str:
    """The type of a file that its server calls bytes; empty if unknown."""
    if data[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(bytes(data[8:12]), "")
    return next((named for magic, named in _MAGIC if data.startswith(magic)), "")


def _unfetched(path: str) -> InvalidRequest:
    return _refusal(
        path,
        "the file at the address could not be fetched. The address must be public, answer at once and "
        f"redirect {MAX_REDIRECTS} times at most; otherwise send the file itself.",
    )


def _refusal(path: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{path}: {what}", param=path, code="file_not_fetched")
