"""Content blocks → parts, for requests, answers and streams alike.

Source: ``anthropic.types.content_block_param``, ``beta_content_block_param`` and their members. A
block of a type not in ``_DECODERS`` becomes ``Opaque``: hosted-tool calls and results, compactions,
and whatever is invented next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dragoman.canonical.parts import (
    CacheHint,
    Extensions,
    Json,
    Media,
    MediaKind,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.canonical.signature import Signature
from dragoman.protocols.anthropic_messages.types import PROTOCOL_ID, WHOLE_BLOCK, leftovers

JSON = msgspec.json.Encoder()

ReadSignature = Callable[[str], Signature]
"""How a signature's text becomes a Signature: unsealed when a client sent it, stamped with the
upstream's origin when an upstream did."""

_BASE = frozenset({"type", "cache_control"})
_TEXT = _BASE | {"text"}
_MEDIA = _BASE | {"source", "title"}
_SOURCE = frozenset({"type", "media_type", "data", "url", "file_id"})
_TOOL_USE = _BASE | {"id", "name", "input"}
_TOOL_RESULT = _BASE | {"tool_use_id", "content", "is_error"}
_THINKING = _BASE | {"thinking", "signature"}
_REDACTED = _BASE | {"data"}
_CACHE_CONTROL = frozenset({"type", "ttl"})


class MissingField(Exception):
    """A block lacks a field its type needs. Never leaves this package: requests turn it into
    InvalidRequest, answers into UpstreamBroken."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def decode_block(block: dict[str, Any], read: ReadSignature) -> Part:
    """One block, its fields already checked against ``types.Block``; raises MissingField."""
    decode = _DECODERS.get(block["type"])
    return _opaque(block) if decode is None else decode(block, read)


def decode_cache(control: Json) -> CacheHint | None:
    """``cache_control`` → the hint it is; None when absent."""
    return CacheHint(ttl=control.get("ttl")) if isinstance(control, dict) else None


def own(extras: dict[str, Json]) -> Extensions | None:
    """``extras`` as this protocol's extensions; None when there are none."""
    return {PROTOCOL_ID: extras} if extras else None


def need(block: dict[str, Any], field: str) -> Any:
    """``block[field]``; raises MissingField if it is absent or null."""
    value = block.get(field)
    if value is None:
        raise MissingField(field)
    return value


def _dress(
    block: dict[str, Any], known: frozenset[str], more: dict[str, Json] | None = None
) -> dict[str, Any]:
    """The fields every part has: ``cache``, and as extensions what is left over and ``more``."""
    extras = leftovers(block, known)
    if more:
        extras |= more
    control = block.get("cache_control")
    if control and (control.get("type") != "ephemeral" or not control.keys() <= _CACHE_CONTROL):
        extras["cache_control"] = control
    return {"cache": decode_cache(control), "extensions": own(extras)}


def _text(block: dict[str, Any], read: ReadSignature) -> Part:
    return Text(text=need(block, "text"), **_dress(block, _TEXT))


def _tool_use(block: dict[str, Any], read: ReadSignature) -> Part:
    return ToolCall(
        id=need(block, "id"),
        name=need(block, "name"),
        arguments=JSON.encode(block.get("input") or {}).decode(),
        **_dress(block, _TOOL_USE),
    )


def _tool_result(block: dict[str, Any], read: ReadSignature) -> Part:
    content = block.get("content")
    items: list[Text | Media | Opaque] = []
    if isinstance(content, str):
        if content:
            items.append(Text(text=content))
    elif isinstance(content, list):
        for index, inner in enumerate(content):
            items.append(_result_item(inner, read, f"content.{index}"))
    elif content is not None:
        raise MissingField("content")
    return ToolResult(
        call_id=need(block, "tool_use_id"),
        content=items,
        is_error=bool(block.get("is_error")),
        **_dress(block, _TOOL_RESULT),
    )


def _result_item(block: dict[str, Any], read: ReadSignature, path: str) -> Text | Media | Opaque:
    try:
        part = decode_block(block, read)
    except MissingField as error:
        raise MissingField(f"{path}.{error.path}") from None
    return part if isinstance(part, Text | Media | Opaque) else _opaque(block)


def _thinking(block: dict[str, Any], read: ReadSignature) -> Part:
    signature = block.get("signature")
    return Reasoning(
        text=block.get("thinking") or "",
        signature=read(signature) if signature else None,
        **_dress(block, _THINKING),
    )


def _redacted_thinking(block: dict[str, Any], read: ReadSignature) -> Part:
    return Reasoning(redacted=True, signature=read(need(block, "data")), **_dress(block, _REDACTED))


def _image(block: dict[str, Any], read: ReadSignature) -> Part:
    return _media("image", block)


def _document(block: dict[str, Any], read: ReadSignature) -> Part:
    source = need(block, "source")
    if isinstance(source, dict) and source.get("type") == "content":
        return _readable(block, source.get("content"))
    return _media("document", block)


def _search_result(block: dict[str, Any], read: ReadSignature) -> Part:
    return _readable(block, block.get("content"))


def _media(kind: MediaKind, block: dict[str, Any]) -> Part:
    source = need(block, "source")
    where: dict[str, Any]
    match source:
        case {"type": "base64", "data": str(data)}:
            where = {"data": data}
        case {"type": "url", "url": str(url)}:
            where = {"url": url}
        case {"type": "file", "file_id": str(file_id)}:
            where = {"file_id": file_id}
        case {"type": "text", "data": str(data)} if kind == "document":
            where = {"text": data}
        case _:
            return _opaque(block)
    more = leftovers(source, _SOURCE)
    return Media(
        kind=kind,
        media_type=source.get("media_type"),
        name=block.get("title"),
        **where,
        **_dress(block, _MEDIA, {"source": more} if more else None),
    )


def _readable(block: dict[str, Any], content: Json) -> Part:
    """A block of text passages: other protocols get the text, this one its block back."""
    if isinstance(content, str):
        text = content
    else:
        inner = content if isinstance(content, list) else []
        text = "\n\n".join(item["text"] for item in inner if isinstance(item.get("text"), str))
    if not text:
        return _opaque(block)
    return Media(
        kind="document",
        media_type="text/plain",
        text=text,
        name=block.get("title"),
        **_dress(block, frozenset(block), {WHOLE_BLOCK: _without_cache(block)}),
    )


def _opaque(block: dict[str, Any]) -> Opaque:
    return Opaque(
        protocol=PROTOCOL_ID, value=_without_cache(block), **_dress(block, frozenset(block))
    )


def _without_cache(block: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in block.items() if field != "cache_control"}


_DECODERS: dict[str, Callable[[dict[str, Any], ReadSignature], Part]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted_thinking,
}
