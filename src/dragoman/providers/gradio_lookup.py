"""Finding a Gradio app and asking it what it takes."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import TypeVar

import msgspec

from dragoman.canonical.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamLoading,
    UpstreamMisconfigured,
    UpstreamModelMissing,
    UpstreamRefusedCredential,
)
from dragoman.protocols.gradio.errors import decode_error
from dragoman.protocols.gradio.site import Site, read_config, read_site
from dragoman.providers.gradio_place import Bearer, Place, is_host_of_space
from dragoman.providers.gradio_way import Way
from dragoman.providers.opening import Memory, Step
from dragoman.wire.http import HttpReply, HttpRequest

KEPT_SECONDS = 600.0
"""How long a server's description is believed; authors change their apps."""
_COMING_UP_SECONDS = 30.0
_DOWN_SECONDS = 300.0

T = TypeVar("T")
Steps = Generator[Step, HttpReply, T]

_COMING_UP = frozenset(
    {"BUILDING", "RUNNING_BUILDING", "APP_STARTING", "RUNNING_APP_STARTING", "SLEEPING"}
)


class _Host(msgspec.Struct):
    host: str = ""


class _Runtime(msgspec.Struct):
    stage: str = ""


class Server(msgspec.Struct, frozen=True):
    """An app that was found: its URL without a closing slash, and what it says of itself."""

    base: str
    site: Site


def server_key(place: Place, bearer: Bearer | None) -> str:
    """The name under which a server is remembered: what a token may see is for that token only."""
    who = "" if bearer is None else bearer.digest
    where = f"{place.hub}\n{place.space}\n{place.server}\n{who}"
    return f"gradio {hashlib.sha256(where.encode()).hexdigest()}"


def find_server(
    place: Place, way: Way, bearer: Bearer | None, memory: Memory, now: float
) -> Steps[Server]:
    """The app, as it was remembered or asked anew. Raises UpstreamError."""
    key = server_key(place, bearer)
    known = memory.get(key, now)
    if isinstance(known, Server):
        return known
    base = place.server or (yield from _host_of(place, way, bearer))
    config_reply = way.seen((yield way.get(f"{base}/config")))
    if config_reply.status != 200 or not config_reply.body.lstrip().startswith(b"{"):
        raise (yield from _not_there(place, way, bearer, config_reply))
    config = read_config(config_reply.body, base, ours=not place.space)
    prefix = (config.api_prefix or "").rstrip("/")
    info_reply = way.seen((yield way.get(f"{base}{prefix}/info")))
    if info_reply.status != 200:
        raise refusal(info_reply, bearer)
    server = Server(base, read_site(config, info_reply.body))
    memory.put(key, server, until=now + KEPT_SECONDS)
    return server


def refusal(reply: HttpReply, bearer: Bearer | None) -> UpstreamError:
    """The error of a step that was not answered with 200. Without a token a refusal is about this one
    app, and says nothing about the channel's credential."""
    if 300 <= reply.status < 400:
        return UpstreamBroken("The Gradio app redirects elsewhere, where it is not followed.")
    if reply.status in (401, 403) and bearer is None:
        return UpstreamRefusedCredential(
            "The Gradio app wants a login or a token, and none was given.", upstream_status=403
        )
    return decode_error(reply.status, dict(reply.headers), reply.body)


def _host_of(place: Place, way: Way, bearer: Bearer | None) -> Steps[str]:
    """Source: ``GET /api/spaces/{owner}/{name}/host`` → ``{"subdomain", "host"}``."""
    reply = yield _hub_request(place, way, "host")
    if reply.status == 404 or (reply.status == 401 and bearer is None):
        # The Hub does not tell a stranger whether a private Space exists.
        private = "" if bearer is not None else ", or it is private and a token is missing"
        raise UpstreamModelMissing(
            f"There is no Space {place.space} on the Hub{private}.", upstream_status=404
        )
    if reply.status != 200:
        raise refusal(reply, bearer)
    host = _read(reply, _Host).host.rstrip("/")
    if not is_host_of_space(host, place.hub):
        raise UpstreamBroken("The Hub names no usable address for the Space.")
    return host


def _not_there(
    place: Place, way: Way, bearer: Bearer | None, reply: HttpReply
) -> Steps[UpstreamError]:
    """Why there is no configuration to be had."""
    if not place.space:
        if reply.status in (200, 404):
            return UpstreamMisconfigured("There is no Gradio server at the channel's address.")
        return refusal(reply, bearer)
    runtime = yield _hub_request(place, way, "runtime")
    stage = _read(runtime, _Runtime).stage if runtime.status == 200 else ""
    if stage == "PAUSED":
        return _unavailable("The Space is paused; its author can wake it.")
    if stage in _COMING_UP:
        return UpstreamLoading(
            f"The Space is coming up ({stage.lower()}).",
            upstream_status=503,
            retry_after=_COMING_UP_SECONDS,
        )
    if stage not in ("", "RUNNING"):
        return _unavailable(f"The Space does not run ({stage.lower()[:40]}).")
    if reply.status == 200:
        return UpstreamMisconfigured("The Space is no Gradio app.")
    if reply.status == 404:
        return _unavailable("The Space does not answer.")
    return refusal(reply, bearer)


def _unavailable(message: str) -> UpstreamError:
    """The error for one Space, whatever becomes of the channel's others."""
    return UpstreamLoading(
        message, upstream_status=503, retry_after=_DOWN_SECONDS, code="space_unavailable"
    )


def _hub_request(place: Place, way: Way, what: str) -> HttpRequest:
    return way.get(f"{place.hub}/api/spaces/{place.space}/{what}")


def _read(reply: HttpReply, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The Hub's answer is not what it should be.") from None
