"""Requests with an Idempotency-Key: served once, however often they are sent.

A key is claimed in the database before its request is served, and what the client was sent is kept
there after. Which answers are kept, and for how long, ``docs/idempotency.md`` tells.

- An error that may be tried again frees the key: nothing was charged to the client for it.
- A client that leaves does not end its request, as one without a key would: it sent a key to come
  back for the answer, which is finished and kept. So a broken connection never costs twice.
- A key whose process died is free unless the ledger has its request: then the answer is lost, and
  serving it anew would charge for it twice in silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from itertools import islice
from typing import Any
from typing import Protocol as Interface

from dragoman.canonical.errors import (
    AnswerLost,
    GatewayError,
    IdempotencyKeyReused,
    RequestInFlight,
    Unavailable,
    UpstreamError,
)
from dragoman.governance.idempotency import (
    HEADER,
    Answered,
    Claim,
    Earlier,
    fingerprint_of,
    key_of,
    scope_of,
)
from dragoman.server.answer import RawHeaders, Receive, Send
from dragoman.server.inference import Incoming
from dragoman.server.routes import Operation, Route

logger = logging.getLogger("dragoman.idempotency")

MOST_ANSWER_BYTES = 2**20
"""Larger answers are not kept."""
MOST_MEMORY_BYTES = 64 * 2**20
"""Of answers that are being recorded or wait to be written; beyond them none is kept."""
_HOUR_SECONDS = 3600.0
_PRUNE_SECONDS = 60.0
_AGAIN_SECONDS = 1.0
_CLOSE_SECONDS = 10.0
_BATCH = 100
_PORTIONS = 8
_NAME = HEADER.lower().encode()
_KEYED = frozenset({Operation.GENERATE, Operation.EMBED, Operation.RUN_TASK})
_OF_THE_MOMENT = ("content-length", "connection", "date", "x-ratelimit-", "anthropic-ratelimit-")
"""How headers begin that say nothing of the answer itself."""

Serve = Callable[[Route, Incoming], Awaitable[None]]
Fail = Callable[[GatewayError], Awaitable[None]]
Charged = Callable[[str], Awaitable[bool | None]]
"""Whether the request of that id is in the ledger; None if that is not known yet."""


class Answers(Interface):
    """Where keys and answers last. Any method may fail when the database cannot be used."""

    async def claim(self, claim: Claim, since: float, lost: str = "") -> Earlier | None:
        """Take a key for a request. None if it is taken now; else who has taken it before, unless that
        was before ``since`` (Unix time) or is the open request ``lost``."""
        ...

    async def settle(self, ended: Mapping[bytes, tuple[str, Answered | None]]) -> None:
        """Note how requests (scope → id, answer) have ended; None for an answer that is too much to
        keep."""
        ...

    async def free(self, scope: bytes, request_id: str) -> None:
        """Forget a request: its key may be used again."""
        ...

    async def prune(self, before: float) -> bool:
        """Forget a portion of what is from before ``before`` (Unix time) or beyond what may be kept;
        True if there may be more."""
        ...


class Idempotency:
    """Used on one event loop. ``hours`` is how long answers are kept; with 0 the header is ignored.

    ``run`` writes answers down until it is cancelled; ``close`` writes the last of them.
    """

    def __init__(
        self, answers: Answers, *, clock: Callable[[], float], charged: Charged, hours: float = 24.0
    ) -> None:
        """``clock`` gives Unix time."""
        self.hours = hours
        self._answers = answers
        self._clock = clock
        self._charged = charged
        self._in_flight: dict[bytes, Claim] = {}
        self._unwritten: dict[bytes, tuple[Claim, Answered | None]] = {}
        self._memory = _Memory(MOST_MEMORY_BYTES)
        self._wake = asyncio.Event()
        self._away = False

    def concerns(self, route: Route, headers: RawHeaders) -> bool:
        """Whether the request is to be answered by ``answer``."""
        for name, _ in headers:
            if name == _NAME:
                return self.hours > 0 and route.operation in _KEYED
        return False

    async def answer(self, route: Route, incoming: Incoming, serve: Serve, fail: Fail) -> None:
        """Have ``serve`` answer the request, or send again what it was answered before. ``fail`` sends
        an error. Raises GatewayError while nothing was sent: a refusal, also for its key's sake
        (InvalidRequest, IdempotencyKeyReused, RequestInFlight, AnswerLost, Unavailable)."""
        key = key_of([text.decode("latin-1") for name, text in incoming.headers if name == _NAME])
        body = await incoming.body()
        scope = incoming.scope
        claim = Claim(
            scope=scope_of(incoming.principal.key_id, route.operation.value, key),
            fingerprint=fingerprint_of(scope["path"], scope["query_string"], body),
            request_id=incoming.id,
            at=self._clock(),
        )
        earlier = await self._claim(claim)
        if earlier is not None:
            answered = _replayable(earlier, claim)
            headers = {**answered.headers, "idempotent-replayed": "true"}
            await incoming.answer.whole(answered.status, headers, answered.body)
            return
        recording = _Recording(self._memory, lambda answered: self._complete(claim, answered))
        incoming.answer.divert(recording.listen)
        incoming.receive = recording.staying(body, incoming.receive)
        try:
            await serve(route, incoming)
        except GatewayError as error:
            if not _is_final(error):
                recording.forget()
                await self._free(claim)
                raise
            await fail(error)
        finally:
            # It is there if the answer has no end: a defect, or this process is being stopped. Then
            # the row stays open, and whoever comes back is told by what the ledger says.
            if self._in_flight.get(claim.scope) is claim:
                del self._in_flight[claim.scope]
                recording.forget()

    async def run(self) -> None:
        """Write down how requests have ended, and forget what is old, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PRUNE_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            if not await self._write():
                await asyncio.sleep(_AGAIN_SECONDS)
                self._wake.set()
                continue
            if not self._unwritten:
                await self._prune()

    async def close(self) -> None:
        """Write what waits, for ten seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                while self._unwritten and await self._write():
                    pass
        if self._unwritten:
            logger.error("%d answers could not be kept for their keys", len(self._unwritten))

    async def _claim(self, claim: Claim) -> Earlier | None:
        """Take the key. None if the request is to be served; else what it was answered."""
        scope = claim.scope
        if (running := self._in_flight.get(scope)) is not None:
            _refuse_another(running.fingerprint, claim)
            raise _in_flight(running.request_id)
        if (ended := self._unwritten.get(scope)) is not None:
            first, answered = ended
            return Earlier(
                fingerprint=first.fingerprint, request_id=first.request_id, answered=answered
            )
        self._in_flight[scope] = claim
        earlier = None
        try:
            earlier = await self._claim_stored(claim)
        except BaseException:
            del self._in_flight[scope]
            raise
        if earlier is not None:
            del self._in_flight[scope]
        return earlier

    async def _claim_stored(self, claim: Claim) -> Earlier | None:
        since = claim.at - self.hours * _HOUR_SECONDS
        try:
            earlier = await self._answers.claim(claim, since)
            if earlier is None or not earlier.is_open:
                return earlier
            charged = await self._charged(earlier.request_id)
            if charged is None:
                raise _in_flight(earlier.request_id)
            if charged:
                return earlier
            return await self._answers.claim(claim, since, lost=earlier.request_id)
        except GatewayError:
            raise
        except Exception as error:  # noqa: BLE001 - the home of the answers is not known here
            logger.warning("a request with an %s is refused: %s", HEADER, error)
            raise Unavailable(
                f"The gateway's database cannot be used just now, so what {HEADER} asks for cannot "
                "be promised. Send the request again later, or without the header.",
                retry_after=2,
            ) from None

    def _complete(self, claim: Claim, answered: Answered | None) -> None:
        """The last piece of an answer is about to leave."""
        self._in_flight.pop(claim.scope, None)
        self._unwritten[claim.scope] = (claim, answered)
        self._wake.set()

    async def _free(self, claim: Claim) -> None:
        """Let the key be used again. If that cannot be written, the ledger tells as much later."""
        try:
            await self._answers.free(claim.scope, claim.request_id)
        except Exception as error:  # noqa: BLE001 - as in _claim_stored
            logger.warning("the key of request %s could not be freed: %s", claim.request_id, error)

    async def _write(self) -> bool:
        """Write some of what waits; False if that fails."""
        batch = dict(islice(self._unwritten.items(), _BATCH))
        if not batch:
            return True
        ended = {scope: (claim.request_id, answered) for scope, (claim, answered) in batch.items()}
        try:
            await self._answers.settle(ended)
        except Exception as error:  # noqa: BLE001 - as in _claim_stored
            if not self._away:
                logger.error("answers cannot be kept for their keys, trying on: %s", error)
            self._away = True
            return False
        self._away = False
        for scope, (_, answered) in batch.items():
            del self._unwritten[scope]
            self._memory.give_back(0 if answered is None else len(answered.body))
        if self._unwritten:
            self._wake.set()
        return True

    async def _prune(self) -> None:
        before = self._clock() - self.hours * _HOUR_SECONDS
        try:
            for _ in range(_PORTIONS):
                if not await self._answers.prune(before):
                    break
        except Exception as error:  # noqa: BLE001 - as in _claim_stored
            logger.warning("old answers could not be forgotten: %s", error)


class _Memory:
    """Bytes that all recordings share."""

    __slots__ = ("_free",)

    def __init__(self, most: int) -> None:
        self._free = most

    def take(self, size: int) -> bool:
        """Whether there was room for ``size`` bytes; then it is taken."""
        if size > self._free:
            return False
        self._free -= size
        return True

    def give_back(self, size: int) -> None:
        """So much is free again."""
        self._free += size


class _Recording:
    """Listens to an answer as it is sent. It goes on if the client has left."""

    def __init__(self, memory: _Memory, complete: Callable[[Answered | None], None]) -> None:
        """``complete`` is told of the answer before its last piece is sent; None if it is too much to
        keep."""
        self._memory = memory
        self._complete = complete
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: bytearray | None = bytearray()
        self._left = False

    def listen(self, send: Send) -> Send:
        """``send``, listened to."""

        async def heard(message: MutableMapping[str, Any]) -> None:
            self._take(message)
            if not self._left:
                await send(message)

        return heard

    def staying(self, body: bytes, receive: Receive) -> Receive:
        """``receive`` of a client that has sent ``body`` and never leaves."""
        unread = [body]

        async def stay() -> MutableMapping[str, Any]:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            while (await receive())["type"] != "http.disconnect":
                pass
            self._left = True
            await asyncio.Event().wait()  # until the answer is complete, and the watch is stopped
            raise AssertionError("unreachable")

        return stay

    def forget(self) -> None:
        """Keep nothing."""
        if self._body is not None:
            self._memory.give_back(len(self._body))
        self._body = None

    def _take(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = {
                name.decode("ascii"): text.decode("latin-1")
                for name, text in message["headers"]
                if not name.decode("ascii").startswith(_OF_THE_MOMENT)
            }
            return
        piece = message.get("body", b"")
        if self._body is not None:
            too_large = len(self._body) + len(piece) > MOST_ANSWER_BYTES
            if too_large or not self._memory.take(len(piece)):
                self.forget()
            else:
                self._body += piece
        if not message.get("more_body", False):
            kept, self._body = self._body, None
            answered = None
            if kept is not None:
                answered = Answered(self._status, self._headers, bytes(kept))
            self._complete(answered)


def _is_final(error: GatewayError) -> bool:
    """Whether an error is the answer. One of the gateway's own is a refusal: it was not served; and one
    that may be tried again should be."""
    return isinstance(error, UpstreamError) and not error.retryable


def _replayable(earlier: Earlier, claim: Claim) -> Answered:
    """The answer to send again. Raises IdempotencyKeyReused or AnswerLost."""
    _refuse_another(earlier.fingerprint, claim)
    if earlier.answered is not None:
        return earlier.answered
    why = (
        "the gateway ended before it was complete"
        if earlier.is_open
        else f"it was too much to keep (above {MOST_ANSWER_BYTES} bytes, or among too many)"
    )
    raise AnswerLost(
        f"This {HEADER} was used for the request {earlier.request_id}, whose answer cannot be sent "
        f"again: {why}. It was served, and is not charged twice; for a new answer, send another key.",
        param=HEADER,
    )


def _refuse_another(fingerprint: bytes, claim: Claim) -> None:
    if fingerprint != claim.fingerprint:
        raise IdempotencyKeyReused(
            f"This {HEADER} was used for another request: send a new key with each new request, and "
            "the same body with the same key.",
            param=HEADER,
        )


def _in_flight(request_id: str) -> RequestInFlight:
    return RequestInFlight(
        f"The request {request_id} with the same {HEADER} is being answered: ask again in a moment.",
        param=HEADER,
        retry_after=1,
    )
