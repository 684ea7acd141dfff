"""Whole answers, both ways.

Source: ``anthropic.types.message``, ``beta_message`` and their content blocks.

What a stream only knows at its end (``container``, ``context_management``, ``stop_details``, the rest
of ``usage``) rides on the Finish, everything else on the Response, so that a collected stream equals
the whole answer.
"""

from __future__ import annotations

import msgspec

from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.parts import (
    Json,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    own_extensions,
)
from dragoman.canonical.request import Request
from dragoman.canonical.response import Choice, Response
from dragoman.canonical.signature import Origin, Signature, for_client
from dragoman.protocols.anthropic_messages.blocks import (
    JSON,
    MissingField,
    ReadSignature,
    decode_block,
    own,
)
from dragoman.protocols.anthropic_messages.errors import error_from_body
from dragoman.protocols.anthropic_messages.finish import (
    STOP_REASON,
    decode_finish,
    encode_finish,
)
from dragoman.protocols.anthropic_messages.parts import WireBlock, tool_input
from dragoman.protocols.anthropic_messages.types import (
    OBJECT,
    PROTOCOL_ID,
    WHOLE_BLOCK,
    MessageOut,
    UsageIn,
    field_names,
    leftovers,
)
from dragoman.protocols.anthropic_messages.usage import (
    decode_tier,
    decode_usage,
    encode_usage,
    usage_rest,
)
from dragoman.protocols.wire_json import ABSENT, is_there, read_upstream

_MESSAGE = msgspec.json.Decoder(MessageOut)

AT_THE_END = frozenset({"container", "context_management", "stop_details"})
_KNOWN = field_names(MessageOut) | AT_THE_END

UNNAMED = "msg_unnamed"
"""The id of an answer whose upstream gives none; clients want a text there."""


def signature_reader(origin: Origin) -> ReadSignature:
    """Stamps signatures with the upstream they came from."""
    return lambda value: Signature(value, origin)


def decode_response(body: bytes, origin: Origin) -> Response:
    """The canonical answer. Raises what an error body stands for, or UpstreamBroken."""
    message = read_upstream(body, _MESSAGE)
    document = read_upstream(body, OBJECT)
    if message.content is None:
        if message.error is not None or message.type == "error":
            raise error_from_body(document)
        raise UpstreamBroken("The upstream's answer has no content.")
    read = signature_reader(origin)
    try:
        parts = [decode_block(block, read) for block in document["content"]]
    except MissingField as error:
        raise UpstreamBroken(f"A block of the upstream's answer lacks '{error.path}'.") from None
    except RecursionError:
        raise UpstreamBroken("The upstream's answer is nested too deeply.") from None
    finish = decode_finish(
        message.stop_reason,
        message.stop_sequence,
        called=any(isinstance(part, ToolCall) for part in parts),
        extras=end_extras(document),
    )
    return Response(
        id=message.id or "",
        model=message.model or "",
        choices=[Choice(parts=parts, finish=finish)],
        usage=None if message.usage is None else decode_usage(message.usage),
        service_tier=decode_tier(message.usage),
        extensions=own(start_extras(document)),
    )


class _Glance(msgspec.Struct):
    """The little that forwarding needs of a message, and where an error hides."""

    content: msgspec.Raw = ABSENT
    type: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: UsageIn | None = None
    error: msgspec.Raw = ABSENT


_GLANCE = msgspec.json.Decoder(_Glance)


def glance_response(body: bytes, origin: Origin) -> Response:
    """What forwarding needs of an answer. Raises as ``decode_response``."""
    message = read_upstream(body, _GLANCE)
    if is_there(message.error) or not is_there(message.content) or message.type == "error":
        return decode_response(body, origin)
    finish = decode_finish(message.stop_reason, message.stop_sequence, called=False, extras={})
    return Response(
        model=message.model or "",
        choices=[Choice(finish=finish)],
        usage=None if message.usage is None else decode_usage(message.usage),
    )


def start_extras(document: dict[str, Json]) -> dict[str, Json]:
    """The fields of a message that are known when it begins and have no place of their own."""
    return leftovers(document, _KNOWN)


def end_extras(document: dict[str, Json]) -> dict[str, Json]:
    """The fields of a message that are known when it ends."""
    extras = {
        field: document[field] for field in document if field in AT_THE_END and document[field]
    }
    rest = usage_rest(document.get("usage"))
    if rest:
        extras["usage"] = rest
    return extras


def encode_response(response: Response, request: Request) -> bytes:
    """The client's body: the first choice, for this protocol has only one."""
    choice = response.choices[0] if response.choices else Choice()
    content: list[WireBlock] = []
    for part in choice.parts:
        content += encode_part(part)
    word, stop_sequence = encode_finish(
        choice.finish,
        called=any(block["type"] == "tool_use" for block in content),
        refused=any(isinstance(part, Refusal) for part in choice.parts),
    )
    ending = finish_extras(choice)
    return write(
        {
            "id": response.id or UNNAMED,
            "type": "message",
            "role": "assistant",
            "model": response.model or request.model,
            "content": content,
            "stop_reason": word,
            "stop_sequence": stop_sequence,
            "usage": encode_usage(response.usage, response.service_tier, ending.pop("usage", None)),
            **own_extensions(response.extensions, PROTOCOL_ID),
            **ending,
        }
    )


def write(value: Json) -> bytes:
    """JSON of what an upstream answered; raises UpstreamBroken if it cannot be written again."""
    try:
        return JSON.encode(value)
    except RecursionError:
        raise UpstreamBroken("The upstream's answer is nested too deeply.") from None


def finish_extras(choice: Choice) -> dict[str, Json]:
    """What rides on the Finish, without the word ``encode_finish`` has used."""
    extensions = None if choice.finish is None else choice.finish.extensions
    extras = dict(own_extensions(extensions, PROTOCOL_ID))
    extras.pop(STOP_REASON, None)
    return extras


def encode_part(part: Part) -> list[WireBlock]:
    """The blocks of an answer that show ``part``; none for what only another protocol knows."""
    extras = dict(own_extensions(part.extensions, PROTOCOL_ID))
    whole = extras.pop(WHOLE_BLOCK, None)
    if isinstance(whole, dict):
        return [{**whole, **extras}]
    match part:
        case Text() | Refusal():
            return [{"type": "text", "text": part.text, **extras}]
        case Reasoning():
            return thinking_block(part, extras)
        case ToolCall():
            arguments, _ = tool_input(part.arguments, part.custom)
            call = {
                "type": "tool_use",
                "id": part.id,
                "name": part.name,
                "input": arguments,
                **extras,
            }
            return [*call_signature(part), call]
        case Media():
            return [{"type": "text", "text": media_text(part)}]
        case Opaque():
            if part.protocol == PROTOCOL_ID and isinstance(part.value, dict):
                return [{**part.value, **extras}]
            return []
        case _:
            return []


def thinking_block(part: Reasoning, extras: dict[str, Json]) -> list[WireBlock]:
    """The block for reasoning. That of other providers is never redacted in this protocol's sense:
    it goes into a thinking block, empty if need be, whose signature is sealed."""
    signature = part.signature
    value = "" if signature is None else for_client(signature, PROTOCOL_ID)
    if part.redacted and (signature is None or signature.origin.protocol == PROTOCOL_ID):
        return [{"type": "redacted_thinking", "data": value, **extras}] if value else []
    return [{"type": "thinking", "thinking": part.text, "signature": value, **extras}]


def call_signature(call: ToolCall) -> list[WireBlock]:
    """The block that carries a signed call's signature, for ``tool_use`` has no field for it.

    Gemini refuses a later turn whose calls lost theirs; clients must send thinking back unchanged, so
    it travels as redacted thinking right before the call, where ``request`` finds it again.
    """
    if call.signature is None:
        return []
    return [{"type": "redacted_thinking", "data": for_client(call.signature, PROTOCOL_ID)}]


def media_text(media: Media) -> str:
    """Media in an answer as Markdown: there is no block for it, but clients show Markdown."""
    if media.text is not None:
        return media.text
    url = media.url
    if url is None and media.data is not None:
        url = f"data:{media.media_type or 'application/octet-stream'};base64,{media.data}"
    label = media.name or media.kind
    return f"{'!' if media.kind == 'image' else ''}[{label}]({url or media.file_id or ''})"
