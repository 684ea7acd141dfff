"""Choosing the endpoint that chats."""

from __future__ import annotations

from dragoman.canonical.errors import UpstreamMisconfigured
from dragoman.protocols.gradio.roles import is_chat, roles_of
from dragoman.protocols.gradio.site import Door, Site

USUAL = "/chat"
_MOST_NAMED = 20


def choose(site: Site, api_name: str = "") -> Door:
    """The endpoint ``api_name``, else ``/chat``, else the only one that chats. Raises
    UpstreamMisconfigured, which names those there are."""
    doors = {door.name: door for door in site.doors}
    wanted = f"/{api_name.strip('/')}" if api_name.strip("/") else ""
    if wanted and wanted not in doors:
        raise UpstreamMisconfigured(
            f"The Gradio app has no endpoint {wanted[:100]!r}. {_what_there_is(site)}",
            code="endpoint_not_found",
        )
    chats = [door for door in site.doors if is_chat(door, roles_of(door))]
    if wanted:
        if doors[wanted] not in chats:
            raise _no_chat(f"The Gradio app's endpoint {wanted[:100]!r} is no chat", site)
        return doors[wanted]
    if USUAL in doors and doors[USUAL] in chats:
        return doors[USUAL]
    if not chats:
        raise _no_chat("The Gradio app has no endpoint that chats", site)
    if len(chats) > 1:
        raise UpstreamMisconfigured(
            f"The Gradio app has several endpoints that may be the chat: {_named(chats)}. "
            "Name one as the model's 'api_name'.",
            code="endpoint_ambiguous",
        )
    return chats[0]


def _no_chat(what: str, site: Site) -> UpstreamMisconfigured:
    return UpstreamMisconfigured(
        f"{what}: a chat takes a message and answers in text. {_what_there_is(site)}",
        code="endpoint_no_chat",
    )


def _what_there_is(site: Site) -> str:
    if not site.doors:
        return "It offers none at all."
    return f"There are {_named(site.doors)}."


def _named(doors: list[Door] | tuple[Door, ...]) -> str:
    names = ", ".join(door.name[:60] for door in doors[:_MOST_NAMED])
    return f"{names}, …" if len(doors) > _MOST_NAMED else names
