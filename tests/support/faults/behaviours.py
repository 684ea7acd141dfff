"""What the scripted upstream does instead of answering, or while it answers."""

from __future__ import annotations

import asyncio
import functools
import zlib
from typing import Any

import brotli

from tests.support.faults.exchange import Peer, Question
from tests.support.faults.refusals import (
    CANARY,
    Behaviour,
    answer,
    ok_empty,
    ok_error,
    page,
    recover_after,
    redirect,
    refuse,
)

OVERSIZE_BYTES = 36 * 1024 * 1024  # the limit is 32
BOMB_BYTES = 128 * 1024 * 1024
_MEBIBYTE = b" " * (1024 * 1024)


# -- wrong bytes -------------------------------------------------------------------------------------


async def json_broken(peer: Peer, question: Question) -> None:
    """JSON that breaks off, in a body that does not."""
    broken = b'{"id": "%s", "choices": [' % CANARY.encode()
    if question.stream:
        broken = b"data: %s\n\n" % broken
    await peer.begin(question)
    await peer.finish([*question.opening(), broken])


async def json_broken_midway(peer: Peer, question: Question) -> None:
    """The same after content; a whole answer has rubbish behind it."""
    await peer.begin(question)
    if question.stream:
        await peer.chunks(question.first_half())
        await peer.content_arrived()
        await peer.finish([b'data: {"%s\n\n' % CANARY.encode()])
    else:
        await peer.finish([question.whole(), CANARY.encode()])


async def sse_broken(peer: Peer, question: Question) -> None:
    """An event stream that holds no event, asked for or not."""
    await peer.head(content_type="text/event-stream", transfer_encoding="chunked")
    await peer.finish([b"\xff\xfe\x00 %s\n\n\r\r::\ndata\n\n" % CANARY.encode()])


async def error_first(peer: Peer, question: Question) -> None:
    """An event stream, asked for or not, whose first event is an error."""
    await peer.head(content_type="text/event-stream", transfer_encoding="chunked")
    await peer.finish([*question.opening(), question.vendor.stream_error()])


async def error_midway(peer: Peer, question: Question) -> None:
    """An error event after content; where no stream was asked for, it comes as one all the same."""
    await peer.head(content_type="text/event-stream", transfer_encoding="chunked")
    await peer.chunks(question.half_stream())
    if question.stream:
        await peer.content_arrived()
    await peer.finish([question.vendor.stream_error()])


async def not_http(peer: Peer, question: Question) -> None:
    """Another protocol answers on the port."""
    await peer.send(b"SSH-2.0-%s\r\n\r\n" % CANARY.encode())
    peer.close()


async def gzip_broken(peer: Peer, question: Question) -> None:
    """Says gzip and is none."""
    kind = question.content_type
    await peer.head(content_type=kind, content_encoding="gzip", transfer_encoding="chunked")
    await peer.finish([CANARY.encode() * 10, *question.pieces()])


async def no_marker(peer: Peer, question: Question) -> None:
    """Half an answer in a body that ends well."""
    await peer.begin(question)
    await peer.finish(question.first_half())


async def chunks_broken_midway(peer: Peer, question: Question) -> None:
    """After half an answer, a chunk whose length is no number."""
    await peer.begin(question)
    await peer.chunks(question.first_half())
    if question.stream:
        await peer.content_arrived()
    await peer.send(b"%s\r\n\r\n" % CANARY.encode())
    peer.close()


# -- too much ----------------------------------------------------------------------------------------


async def oversize(peer: Peer, question: Question) -> None:
    """The right answer, behind more blanks than anyone should take: only a limit can refuse it."""
    await peer.begin(question)
    await peer.chunk(b": " if question.stream else b" ")
    for _ in range(OVERSIZE_BYTES // len(_MEBIBYTE)):
        await peer.chunk(_MEBIBYTE)
    await peer.finish([b"\n\n", *question.pieces()])


async def headers_flood(peer: Peer, question: Question) -> None:
    """Headers of a size that no honest server has use for, before the right answer."""
    flood = "x" * 256 * 1024
    await peer.head(content_type=question.content_type, transfer_encoding="chunked", x_flood=flood)
    await peer.finish(question.pieces())


async def gzip_bomb(peer: Peer, question: Question) -> None:
    """As ``oversize`` and a good deal larger, yet small on the wire."""
    kind = question.content_type
    await peer.head(content_type=kind, content_encoding="gzip", transfer_encoding="chunked")
    blanks, packer = _bomb(b": " if question.stream else b" ")
    packer = packer.copy()
    rest = packer.compress(b"\n\n" + b"".join(question.pieces())) + packer.flush()
    await peer.finish([blanks, rest])


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
    await peer.begin(question)
    await peer.chunks(question.opening())
    peer.close()


async def cut_midway(peer: Peer, question: Question) -> None:
    """Half an answer, then the end of the connection."""
    await peer.begin_half(question)
    peer.close()


async def reset_midway(peer: Peer, question: Question) -> None:
    """Half an answer, then a reset."""
    await peer.begin_half(question)
    peer.reset()


async def cut_http10(peer: Peer, question: Question) -> None:
    """Half an answer whose end nothing tells from a good one but its own marker."""
    await peer.head(version="1.0", content_type=question.content_type)
    await peer.send(b"".join(question.first_half()))
    if question.stream:
        await peer.content_arrived()
    peer.close()


# -- silence -----------------------------------------------------------------------------------------


async def no_first_byte(peer: Peer, question: Question) -> None:
    """Not even headers."""
    await peer.silence()


async def stall_before(peer: Peer, question: Question) -> None:
    """Headers and what precedes the content, then nothing."""
    await peer.begin(question)
    await peer.chunks(question.opening())
    await peer.silence()


async def stall_midway(peer: Peer, question: Question) -> None:
    """Half an answer, then nothing."""
    await peer.begin_half(question)
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
    await peer.finish([*pieces, packer.flush()])


async def brotlied(peer: Peer, question: Question) -> None:
    """Compressed, flushed after each event."""
    packer = brotli.Compressor()
    pieces = [packer.process(piece) + packer.flush() for piece in question.pieces()]
    kind = question.content_type
    await peer.head(content_type=kind, content_encoding="br", transfer_encoding="chunked")
    await peer.finish([*pieces, packer.finish()])


async def early_hints(peer: Peer, question: Question) -> None:
    """Interim answers, then the right one."""
    await peer.head(100)
    await peer.head(103, link="</>; rel=preconnect")
    await answer(peer, question)


async def endless(peer: Peer, question: Question) -> None:
    """Comments for as long as anyone listens."""
    await peer.begin(question)
    while True:
        await peer.chunk(b": still queueing\n\n")
        await asyncio.sleep(0.1)


async def keep_alives(peer: Peer, question: Question) -> None:
    """Comments or, before a whole answer, blank lines, as some providers send while they queue."""
    await peer.begin(question)
    for _ in range(3):
        await peer.chunk(b": keep-alive\n\n" if question.stream else b"\n")
        await asyncio.sleep(0.005)
    await peer.finish(question.pieces())


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
    "headers-flood": headers_flood,
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
    "early-hints": early_hints,
    "keep-alives": keep_alives,
    "endless": endless,
}
