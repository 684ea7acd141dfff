"""Opening an answer of a Gradio app: find it, see what it takes, upload, queue the job.

The job goes into the app's queue, as a browser's does, and not through the simpler ``/call``: until
version 6 that keeps an app's errors to itself (a used-up GPU quota among them), and it repeats the
whole text at every step. ``/call`` is for dialects of the queue that are newer than this.
"""

from __future__ import annotations

import base64
import binascii
import logging
import mimetypes
import re
import secrets
from urllib.parse import quote

import msgspec

from dragoman.canonical.errors import (
    GatewayError,
    InvalidRequest,
    RateLimited,
    Unauthorized,
    UpstreamBroken,
    UpstreamError,
    UpstreamLoading,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefusedCredential,
    UpstreamRejected,
)
from dragoman.canonical.parts import Json
from dragoman.protocols.gradio.arguments import Arrangement, arrange
from dragoman.protocols.gradio.endpoint import choose
from dragoman.protocols.gradio.site import Door
from dragoman.protocols.gradio.types import File, Question
from dragoman.providers.gradio_lookup import Server, Steps, find_server, refusal, server_key
from dragoman.providers.gradio_place import Bearer, Place, bearer_of, hub_of, place_of
from dragoman.providers.gradio_way import Way
from dragoman.providers.opening import Draft, Memory, Opened, Opening, Recourse
from dragoman.wire.http import HttpReply, HttpRequest

logger = logging.getLogger("dragoman.gradio")

REFUSED_SECONDS = 300.0
"""How long a token that was refused is left out of further calls."""
_QUEUE_SECONDS = 5.0
_RESCUED = ("401", "429", "token", "limit", "quota")
_QUESTION = msgspec.json.Decoder(Question)
_NAME = re.compile(r"[^\w. -]", re.ASCII)


def open_space(draft: Draft, memory: Memory) -> Opening:
    """The opener of the provider ``gradio``. Raises GatewayError."""
    if draft.purpose == "models":
        return _reachable(draft)
    if draft.purpose != "generate":
        raise UpstreamRejected("A Gradio app can only be asked for an answer.")
    place = place_of(draft)
    bearer = bearer_of(draft, place)
    if bearer is not None and memory.get(_refused(place, bearer), draft.now):
        bearer = None
    return (yield from _Call(draft, memory, place).open(bearer))


def _reachable(draft: Draft) -> Opened:
    """What shows that the channel is set up well, where there is no list of models: the server's own
    description or, on the Hub, who the token is."""
    hub, on_hub = hub_of(draft)
    if not on_hub:
        return Opened(request=Way(draft, hub, None).get(f"{draft.base_url}/config"))
    what = "whoami-v2" if draft.credential is not None else "spaces?limit=1"
    return Opened(request=Way(draft, hub, draft.credential).get(f"{hub}/api/{what}"))


class _Call:
    """One question to one app, with a token or without."""

    def __init__(self, draft: Draft, memory: Memory, place: Place) -> None:
        self._draft = draft
        self._memory = memory
        self._place = place

    def open(self, bearer: Bearer | None) -> Opening:
        """Open with ``bearer`` or, where it is of no use, without."""
        try:
            return (yield from self._open(bearer))
        except UpstreamError as error:
            failure = error
        self._memory.forget(server_key(self._place, bearer))  # it may not be what it was
        recourse = self._recourse(failure, bearer)
        if bearer is None or recourse.again is None:
            raise recourse.error
        try:
            opened = yield from recourse.again
        except UpstreamError:
            raise recourse.error from None
        if isinstance(failure, UpstreamRefusedCredential):
            self._leave_out(bearer)
        return opened

    def _recourse(self, error: UpstreamError, bearer: Bearer | None) -> Recourse:
        """What ``error`` means, and whether it is worth a try without the token."""
        if bearer is None:
            return Recourse(error)
        return Recourse(_told(error, bearer), self._open(None) if _worth_a_try(error) else None)

    def _failed(self, error: UpstreamError, bearer: Bearer | None) -> Recourse:
        """The same for an answer that has failed."""
        if isinstance(error, UpstreamRejected):
            # Arguments that were wrong may have been right for what the app was before.
            self._memory.forget(server_key(self._place, bearer))
        return self._recourse(error, bearer)

    def _leave_out(self, bearer: Bearer) -> None:
        """Call this app without the token for a while: it is refused, and not needed."""
        logger.warning(
            "%s: the %s token is refused; it is called without",
            self._place.space or "a Gradio server",
            "caller's" if bearer.callers else "channel's",
        )
        until = self._draft.now + REFUSED_SECONDS
        self._memory.put(_refused(self._place, bearer), True, until=until)

    def _open(self, bearer: Bearer | None) -> Opening:
        draft, place = self._draft, self._place
        question = _QUESTION.decode(draft.request.body)
        way = Way(draft, place.hub, None if bearer is None else bearer.secret)
        server = yield from find_server(place, way, bearer, self._memory, draft.now)
        door = choose(server.site, place.api_name)
        arrangement = arrange(question, door, flags=place.flags, strict=place.strict)
        uploaded = yield from _upload(server, way, bearer, arrangement)
        job = _Job(server, door, way, arrangement.data(uploaded))
        reply = way.seen((yield job.request()))
        if reply.status != 200:
            raise _not_taken(reply, bearer)
        event_id = _event_id(reply)
        return Opened(
            request=job.events(event_id),
            abort=job.cancel(event_id),
            notes=arrangement.notes,
            failed=lambda error: self._failed(error, bearer),
        )


class _Job:
    """A call of one endpoint, in the queue's way or in the simple one."""

    def __init__(self, server: Server, door: Door, way: Way, data: list[Json]) -> None:
        self._api = f"{server.base}{server.site.prefix}"
        self._queued = server.site.queued
        self._cancel = server.site.cancel
        self._door = door
        self._way = way
        self._data = data
        self._session = secrets.token_hex(8)

    def request(self) -> HttpRequest:
        """What starts it."""
        if not self._queued:
            shown = [
                value
                for value, slot in zip(self._data, self._door.slots, strict=True)
                if not slot.hidden
            ]
            return self._way.post(f"{self._api}/call{self._path}", {"data": shown})
        job = {
            "data": self._data,
            "fn_index": self._door.fn_index,
            "session_hash": self._session,
            "event_data": None,
            "trigger_id": None,
        }
        return self._way.post(f"{self._api}/queue/join", job)

    def events(self, event_id: str) -> HttpRequest:
        """What its events are read from."""
        if self._queued:
            url = f"{self._api}/queue/data?session_hash={self._session}"
        else:
            url = f"{self._api}/call{self._path}/{quote(event_id, safe='')}"
        return self._way.get(url, accept="text/event-stream")

    def cancel(self, event_id: str) -> HttpRequest:
        """What ends it. A job of the simple API has its own id for a session."""
        job = {
            "session_hash": self._session if self._queued else event_id,
            "fn_index": self._door.fn_index,
            "event_id": event_id,
        }
        return self._way.post(f"{self._api}{self._cancel}", job)

    @property
    def _path(self) -> str:
        return quote(self._door.name)


def _upload(
    server: Server, way: Way, bearer: Bearer | None, arrangement: Arrangement
) -> Steps[list[Json]]:
    """The server's descriptions of the files, which it is given first."""
    uploaded: list[Json] = []
    for number, file in enumerate(arrangement.files, start=1):
        name, media_type, content = _file_name(file, number), _media_type(file), _content(file)
        url = f"{server.base}{server.site.prefix}/upload"
        reply = way.seen((yield way.upload(url, name, media_type, content)))
        if reply.status != 200:
            raise refusal(reply, bearer)
        uploaded.append(
            {
                "path": _path_of(reply),
                "size": len(content),
                "mime_type": media_type,
                "orig_name": name,
                "meta": {"_type": "gradio.FileData"},
            }
        )
    return uploaded


def _not_taken(reply: HttpReply, bearer: Bearer | None) -> UpstreamError:
    """Why there is no job. One app's full queue says nothing about the channel's others."""
    error = refusal(reply, bearer)
    if not isinstance(error, UpstreamOverloaded):
        return error
    seconds = _QUEUE_SECONDS if error.retry_after is None else error.retry_after
    return UpstreamLoading(
        error.message, upstream_status=503, retry_after=seconds, code="queue_full"
    )


def _worth_a_try(error: GatewayError) -> bool:
    """Whether a call may do better without its token: it was refused, or its owner has used up what
    is granted to them, by class or by the words that apps use."""
    if isinstance(error, UpstreamRefusedCredential | UpstreamRateLimited):
        return True
    if isinstance(error, UpstreamRejected):
        return False  # it judged the arguments
    return any(word in error.message.lower() for word in _RESCUED)


def _told(error: UpstreamError, bearer: Bearer) -> GatewayError:
    """An error as it is to be told: what a caller's own token is refused is the caller's affair, and
    no reason to think worse of the channel."""
    if not bearer.callers:
        return error
    if isinstance(error, UpstreamRefusedCredential):
        return Unauthorized(f"Hugging Face refuses your token: {error.message}")
    if isinstance(error, UpstreamRateLimited):
        return RateLimited(error.message, retry_after=error.retry_after)
    return error


def _refused(place: Place, bearer: Bearer) -> str:
    return f"refused by {server_key(place, bearer)}"


def _event_id(reply: HttpReply) -> str:
    answer = _json(reply)
    event_id = answer.get("event_id") if isinstance(answer, dict) else None
    if not isinstance(event_id, str) or not 0 < len(event_id) <= 200:
        raise UpstreamBroken("The Gradio server took the job without saying under which name.")
    return event_id


def _path_of(reply: HttpReply) -> str:
    paths = _json(reply)
    if not isinstance(paths, list) or len(paths) != 1 or not isinstance(paths[0], str):
        raise UpstreamBroken("The Gradio server took a file without saying where it is.")
    return paths[0]


def _json(reply: HttpReply) -> Json:
    try:
        return msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The Gradio server's answer is not valid JSON.") from None


def _content(file: File) -> bytes:
    try:
        return base64.b64decode(file.data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("A file's data is not valid base64.", param=file.where) from None


def _media_type(file: File) -> str:
    given = file.media_type or ""
    if re.fullmatch(r"[\w.+-]+/[\w.+-]+", given, re.ASCII):
        return given
    return mimetypes.guess_type(file.name or "")[0] or "application/octet-stream"


def _file_name(file: File, number: int) -> str:
    """A name the app can tell the kind by, without anything that has a meaning in a header."""
    name = _NAME.sub("_", (file.name or "").rpartition("/")[2]).strip(". ")[-100:]
    if name and "." in name:
        return name
    return f"{name or f'file-{number}'}{mimetypes.guess_extension(_media_type(file)) or ''}"
