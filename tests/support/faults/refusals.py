"""The right answer, and answers that say no in good order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.support.faults.exchange import Peer, Question
from tests.support.standin.script import VendorError
from tests.support.upstream import KEY

CANARY = "canary-7f3a9c"
"""In everything that a client must never see."""
PAGE = f"<html><body><h1>{CANARY}</h1>\n\n<p>Traceback: nginx</p></body></html>".encode()

Behaviour = Callable[[Peer, Question], Awaitable[None]]


async def answer(peer: Peer, question: Question) -> None:
    """The right answer."""
    await peer.begin(question)
    await peer.finish(question.pieces())


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
