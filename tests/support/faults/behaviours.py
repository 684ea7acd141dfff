"""What the scripted upstream does instead of answering, or while it answers.

Everything that a client must never see holds ``CANARY``.
"""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import brotli

from tests.support.faults.exchange import Peer, Question
from tests.support.standin.script import VendorError
from tests.support.upstream import KEY

CANARY = "canary-7f3a9c"
PAGE = f"<html><body><h1>{CANARY}</h1>\n\n<p>Traceback: nginx</p></body></html>".encode()
OVERSIZE_BYTES = 36 * 1024 * 1024  # the limit is 32
BOMB_BYTES = 128 * 1024 * 1024
_MEBIBYTE = b" " * (1024 * 1024)

Behaviour = Callable[[Peer, Question], Awaitable[None]]


async def answer(peer: Peer, question: Question) -> None:
    """The right answer."""
    await _begin(peer, question)
    await _send_all(peer, question.pieces())


# -- refusals ----------------------------------------------------------------------------------------


def refuse(status: int, retry_after: int | None = None) -> Behaviour:
    """The vendor's own error. That of a wrong key quotes the key, as some servers do."""
    said = f"The key {KEY} is wrong." if status in (401, 403) else f"Answered {status} as told."

    async def behave(peer: Peer, question: Question) -> None:
        failure = VendorError(status, said, retry_after=retry_after)
        _, headers, body = question.vendor.error(failure)
        length = len(body)
        await peer.head(status, **headers, retry_after=retry_after, content_length=length)
        await peer.send(body)

    return behave


def recover_after(failures: int) -> Behaviour:
    """Fails that often, then answers."""
    fail = refuse(500)

    async def behave(peer: Peer, question: Question) -> None:
        await (fail if peer.number <= failures else answer)(peer, question)

    return behave


def redirect(status: int) -> Behaviour:
    """To ``elsewhere``, which nobody may follow."""

    async def behave(peer: Peer, question: Question) -> None:
        await peer.head(status, location=f"{peer.elsewhere}/{CANARY}", content_length=0)

    return behave


def page(status: int) -> Behaviour:
    """A web page, as reverse proxies and captive portals give."""

    async def behave(peer: Peer, question: Question) -> None:
        await peer.head(status, content_type="text/html", content_length=len(PAGE))
        await peer.send(PAGE)

    return behave


async def ok_error(peer: Peer, question: Question) -> None:
    """An error body under HTTP 200."""
    _, _, body = question.vendor.error(VendorError(500, "It failed, but politely."))
    await peer.head(content_type="application/json", content_length=len(body))
    await peer.send(body)


async def ok_empty(peer: Peer, question: Question) -> None:
    """Nothing, under HTTP 200."""
    await peer.head(content_type=question.content_type, content_length=0)


# -- wrong bytes -------------------------------------------------------------------------------------


async def json_broken(peer: Peer, question: Question) -> None:
    """JSON that breaks off, in a body that does not."""
    broken = b'{"id": "%s", "choices": [' % CANARY.encode()
    await _begin(peer, question)
    if question.stream:
        await _send_some(peer, _opening(question))
        broken = b"data: %s\n\n" % broken
    await _send_all(peer, [broken])


async def json_broken_midway(peer: Peer, question: Question) -> None:
    """The same after content; a whole answer has rubbish behind it."""
    await _begin(peer, question)
    if question.stream:
        await _send_some(peer, _first_half(question))
        await peer.content_arrived()
        await _send_all(peer, [b'data: {"%s\n\n' % CANARY.encode()])
    else:
        await _send_all(peer, [question.whole(), CANARY.encode()])


async def sse_broken(peer: Peer, question: Question) -> None:
    """An event stream that holds no event, asked for or not."""
    await peer.head(content_type="text/event-stream", transfer_encoding="chunked")
    await _send_all(peer, [b"\xff\xfe\x00 %s\n\n\r\r::\ndata\n\n" % CANARY.encode()])


async def error_first(peer: Peer, question: Question) -> None:
    """An event stream, asked for or not, whose first event is an error."""
    await peer.head(content_type="text/event-stream", transfer_encoding="chunked")
    opening = _opening(question) if question.stream else []
    await _send_all(peer, [*opening, question.vendor.stream_error()])


async def error_midway(peer: Peer, question: Question) -> None:
    """An error event after content; where no stream was asked for, it comes as one all the same."""
    await peer.head(content_type="text/event-stream", transfer_encoding="chunked")
    frames = question.frames()
    await _send_some(peer, [frame.data for frame in frames[: len(frames) // 2]])
    if question.stream:
        await peer.content_arrived()
    await _send_all(peer, [question.vendor.stream_error()])


async def not_http(peer: Peer, question: Question) -> None:
    """Another protocol answers on the port."""
    await peer.send(b"SSH-2.0-%s\r\n\r\n" % CANARY.encode())
    peer.close()


async def gzip_broken(peer: Peer, question: Question) -> None:
    """Says gzip and is none."""
    kind = question.content_type
    await peer.head(content_type=kind, content_encoding="gzip", transfer_encoding="chunked")
    await _send_all(peer, [CANARY.encode() * 10, *question.pieces()])


async def no_marker(peer: Peer, question: Question) -> None:
    """Half an answer in a body that ends well."""
    await _begin(peer, question)
    await _send_all(peer, _first_half(question))


async def chunks_broken_midway(peer: Peer, question: Question) -> None:
    """After half an answer, a chunk whose length is no number."""
    await _begin(peer, question)
    await _send_some(peer, _first_half(question))
    if question.stream:
        await peer.content_arrived()
    await peer.send(b"%s\r\n\r\n" % CANARY.encode())
    peer.close()


# -- too much ----------------------------------------------------------------------------------------


async def oversize(peer: Peer, question: Question) -> None:
    """The right answer, behind more blanks than anyone should take: only a limit can refuse it."""
    await _begin(peer, question)
    await peer.chunk(b": " if question.stream else b" ")
    for _ in range(OVERSIZE_BYTES // len(_MEBIBYTE)):
        await peer.chunk(_MEBIBYTE)
    await _send_all(peer, [b"\n\n", *question.pieces()])


async def gzip_bomb(peer: Peer, question: Question) -> None:
    """The same a good deal larger, yet small on the wire."""
    kind = question.content_type
    await peer.head(content_type=kind, content_encoding="gzip", transfer_encoding="chunked")
    blanks, packer = _bomb(b": " if question.stream else b" ")
    packer = packer.copy()
    rest = packer.compress(b"\n\n" + b"".join(question.pieces())) + packer.flush()
    await _send_all(peer, [blanks, rest])


@functools.cache
def _bomb(opening: bytes) -> tuple[bytes, Any]:
    """(``opening`` and the blanks, packed; the packer, to be copied for what follows)."""
    packer = zlib.compressobj(1, wbits=31)
    packed = [packer.compress(opening)]
    packed += [packer.compress(_MEBIBYTE) for _ in range(BOMB_BYTES // len(_MEBIBYTE))]
    return b"".join(packed), packer


# -- broken connections ------------------------------------------------------------------------------


async def reset_before(peer: Peer, question: Question) -> None:
    """Reset instead of an answer."""
    peer.reset()


async def closed_before(peer: Peer, question: Question) -> None:
    """Closed instead of an answer."""
    peer.close()


async def cut_before(peer: Peer, question: Question) -> None:
    """Headers and what precedes the content, then the end of the connection."""
    await _begin(peer, question)
    if question.stream:
        await _send_some(peer, _opening(question))
    peer.close()


async def cut_midway(peer: Peer, question: Question) -> None:
    """Half an answer, then the end of the connection."""
    await _begin_half(peer, question)
    peer.close()


async def reset_midway(peer: Peer, question: Question) -> None:
    """Half an answer, then a reset."""
    await _begin_half(peer, question)
    peer.reset()


async def cut_http10(peer: Peer, question: Question) -> None:
    """Half an answer whose end nothing tells from a good one but its own marker."""
    await peer.head(version="1.0", content_type=question.content_type)
    await peer.send(b"".join(_first_half(question)))
    if question.stream:
        await peer.content_arrived()
    peer.close()


# -- silence -----------------------------------------------------------------------------------------


async def no_first_byte(peer: Peer, question: Question) -> None:
    """Not even headers."""
    await peer.silence()


async def stall_before(peer: Peer, question: Question) -> None:
    """Headers and what precedes the content, then nothing."""
    await _begin(peer, question)
    if question.stream:
        await _send_some(peer, _opening(question))
    await peer.silence()


async def stall_midway(peer: Peer, question: Question) -> None:
    """Half an answer, then nothing."""
    await _begin_half(peer, question)
    await peer.silence()


# -- unusual, but right ------------------------------------------------------------------------------


async def http10(peer: Peer, question: Question) -> None:
    """No length, no chunks: the end of the connection is the end of the body."""
    await peer.head(version="1.0", content_type=question.content_type)
    for piece in question.pieces():
        await peer.send(piece)
    peer.close()


async def gzipped(peer: Peer, question: Question) -> None:
    """Compressed, flushed after each event."""
    packer = zlib.compressobj(wbits=31)
    pieces = [
        packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in question.pieces()
    ]
    kind = question.content_type
    await peer.head(content_type=kind, content_encoding="gzip", transfer_encoding="chunked")
    await _send_all(peer, [*pieces, packer.flush()])


async def brotlied(peer: Peer, question: Question) -> None:
    """Compressed, flushed after each event."""
    packer = brotli.Compressor()
    pieces = [packer.process(piece) + packer.flush() for piece in question.pieces()]
    kind = question.content_type
    await peer.head(content_type=kind, content_encoding="br", transfer_encoding="chunked")
    await _send_all(peer, [*pieces, packer.finish()])


async def keep_alives(peer: Peer, question: Question) -> None:
    """Comments or, before a whole answer, blank lines, as some providers send while they queue."""
    await _begin(peer, question)
    for _ in range(3):
        await peer.chunk(b": keep-alive\n\n" if question.stream else b"\n")
        await asyncio.sleep(0.005)
    await _send_all(peer, question.pieces())


# -- pieces ------------------------------------------------------------------------------------------


async def _begin(peer: Peer, question: Question) -> None:
    await peer.head(content_type=question.content_type, transfer_encoding="chunked")


async def _begin_half(peer: Peer, question: Question) -> None:
    """Half an answer that has, if it is a stream, reached the client."""
    if question.stream:
        await _begin(peer, question)
        await _send_some(peer, _first_half(question))
        await peer.content_arrived()
    else:
        whole = question.whole()
        await peer.head(content_type=question.content_type, content_length=len(whole))
        await peer.send(whole[: len(whole) // 2])


async def _send_some(peer: Peer, pieces: list[bytes]) -> None:
    for piece in pieces:
        await peer.chunk(piece)


async def _send_all(peer: Peer, pieces: list[bytes]) -> None:
    await _send_some(peer, pieces)
    await peer.last_chunk()


def _opening(question: Question) -> list[bytes]:
    """What a stream says before its content; nothing in some protocols."""
    return [frame.data for frame in question.frames() if frame.kind == "head"]


def _first_half(question: Question) -> list[bytes]:
    """Half the events, the first content among them, or half of the whole answer's bytes."""
    if not question.stream:
        whole = question.whole()
        return [whole[: len(whole) // 2]]
    frames = question.frames()
    return [frame.data for frame in frames[: len(frames) // 2]]


BEHAVIOURS: dict[str, Behaviour] = {
    "healthy": answer,
    "recovers-1": recover_after(1),
    "recovers-2": recover_after(2),
    "status-401": refuse(401),
    "status-403": refuse(403),
    "status-429-after": refuse(429, retry_after=7),
    "status-429": refuse(429),
    "status-500": refuse(500),
    "status-502-page": page(502),
    "status-503": refuse(503),
    "status-529": refuse(529),
    "redirect-302": redirect(302),
    "redirect-308": redirect(308),
    "ok-error": ok_error,
    "ok-empty": ok_empty,
    "ok-page": page(200),
    "error-first": error_first,
    "json-broken": json_broken,
    "sse-broken": sse_broken,
    "not-http": not_http,
    "gzip-broken": gzip_broken,
    "oversize": oversize,
    "gzip-bomb": gzip_bomb,
    "reset-before": reset_before,
    "closed-before": closed_before,
    "cut-before": cut_before,
    "cut-midway": cut_midway,
    "cut-http10": cut_http10,
    "reset-midway": reset_midway,
    "no-marker": no_marker,
    "json-broken-midway": json_broken_midway,
    "chunks-broken-midway": chunks_broken_midway,
    "error-midway": error_midway,
    "no-first-byte": no_first_byte,
    "stall-before": stall_before,
    "stall-midway": stall_midway,
    "http10": http10,
    "gzip": gzipped,
    "brotli": brotlied,
    "keep-alives": keep_alives,
}
