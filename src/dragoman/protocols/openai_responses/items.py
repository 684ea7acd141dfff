"""Items of the assistant's side (messages, calls, reasoning, hosted tools) ⇄ canonical parts.

Used for the history in a request's ``input`` and for a response's ``output`` alike. One item gives
one part, or, for a message, one part per content part. Source: ``openai.types.responses``
(``response_output_item``, ``response_input_item_param``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dragoman.canonical.parts import Json, Media, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from dragoman.canonical.signature import Signature
from dragoman.protocols.openai_responses import marks, types
from dragoman.protocols.openai_responses.content import decode_content
from dragoman.protocols.openai_responses.tools import CallName, joined_name
from dragoman.protocols.openai_shared.custom_tools import unwrap_input

ReadSignature = Callable[[str], Signature]
SEPARATOR = "\n\n"
"""Between two parts of one reasoning summary."""
_UNIT = "\x1f"
"""Between an item's id and its encrypted content; neither can hold it."""


def decode_item(raw: types.Object, path: str, sign: ReadSignature) -> list[Part]:
    """Read one item of the assistant. ``sign`` gives encrypted reasoning its origin.

    Raises InvalidRequest naming the field below ``path``.
    """
    kind = raw.get("type")
    known = _KINDS.get(kind) if isinstance(kind, str) else _message if "role" in raw else None
    if known is None:
        return [opaque(raw)]
    return known(raw, path, sign)


def opaque(raw: types.Object) -> Opaque:
    """An item that only this protocol understands."""
    return Opaque(protocol=marks.ID, value=raw)


def item_mark(typed: Any) -> dict[str, Json]:
    """The ITEM mark: identity and status of an item, as far as it says them."""
    named = {"id": typed.id, "status": typed.status}
    return {name: value for name, value in named.items() if value is not None}


def _message(raw: types.Object, path: str, sign: ReadSignature) -> list[Part]:
    message = marks.convert(raw, types.MessageItem, path)
    parts: list[Part]
    if isinstance(message.content, str):
        parts = [Text(text=message.content)]
    else:
        parts = [
            decode_content(content, f"{path}.content.{index}")
            for index, content in enumerate(message.content)
        ] or [Text(text="")]
    found = dict(marks.own(parts[0].extensions))
    found[marks.ITEM] = item_mark(message)
    if rest := marks.leftovers(raw, types.MessageItem):
        found[marks.MESSAGE] = rest
    parts[0].extensions = marks.extensions(found)
    return parts


def _function_call(raw: types.Object, path: str, sign: ReadSignature) -> list[Part]:
    call = marks.convert(raw, types.FunctionCall, path)
    found = marks.leftovers(raw, types.FunctionCall)
    return [_call(call, found, call.arguments, custom=False)]


def _custom_call(raw: types.Object, path: str, sign: ReadSignature) -> list[Part]:
    call = marks.convert(raw, types.CustomToolCall, path)
    found = marks.leftovers(raw, types.CustomToolCall)
    return [_call(call, found, call.input, custom=True)]


def _call(
    call: types.FunctionCall | types.CustomToolCall,
    found: dict[str, Json],
    arguments: str,
    *,
    custom: bool,
) -> ToolCall:
    found[marks.ITEM] = item_mark(call)
    if call.namespace is not None:
        found[marks.NAMESPACE] = [call.namespace, call.name]
    return ToolCall(
        id=call.call_id,
        name=joined_name(call.namespace, call.name),
        arguments=arguments,
        custom=custom,
        extensions=marks.extensions(found),
    )


def _reasoning(raw: types.Object, path: str, sign: ReadSignature) -> list[Part]:
    item = marks.convert(raw, types.ReasoningItem, path)
    summary = _texts(item.summary, "summary_text")
    content = _texts(item.content, "reasoning_text")
    if summary is None or content is None:
        return [opaque(raw)]
    found = marks.leftovers(raw, types.ReasoningItem)
    found[marks.ITEM] = item_mark(item)
    if summary and content:
        # The summary is what is meant to be read; the rest is carried.
        found["content"] = item.content
    texts = summary or content
    if len(texts) > 1:
        found[marks.CUTS] = _cuts(texts)
    text = SEPARATOR.join(texts)
    signature = sign(item.encrypted_content) if item.encrypted_content else None
    if signature is not None:
        signature = with_id(signature, item.id)
    return [
        Reasoning(
            text=text,
            signature=signature,
            redacted=signature is not None and not text,
            summary=bool(summary),
            extensions=marks.extensions(found),
        )
    ]


def with_id(signature: Signature, item_id: str | None) -> Signature:
    """``signature`` with the id of the item it belongs to, if it is this protocol's own.

    The provider refuses encrypted reasoning under another id than the one it was made for, and a
    client of another protocol carries nothing but the signature.
    """
    if not item_id or signature.origin.protocol != marks.ID:
        return signature
    return Signature(f"{item_id}{_UNIT}{signature.value}", signature.origin)


def without_id(signature: Signature) -> tuple[str | None, str]:
    """(item id, encrypted content) of one of this protocol's signatures."""
    item_id, found, encrypted = signature.value.partition(_UNIT)
    return (item_id, encrypted) if found else (None, signature.value)


def _texts(pieces: list[types.Object] | None, kind: str) -> list[str] | None:
    """The texts of a summary or content, none if all are empty; None if there is more than texts."""
    texts: list[str] = []
    for piece in pieces or ():
        match piece:
            case {"type": str(said), "text": str(text), **rest} if said == kind and not rest:
                texts.append(text)
            case _:
                return None
    return texts if any(texts) else []


def _cuts(texts: list[str]) -> list[int]:
    cuts: list[int] = []
    end = 0
    for text in texts[:-1]:
        end += len(text) + len(SEPARATOR)
        cuts.append(end)
    return cuts


def cut_texts(part: Reasoning) -> list[str]:
    """The pieces that ``part`` was joined from; none if it has no text."""
    if not part.text:
        return []
    cuts = marks.own(part.extensions).get(marks.CUTS, [])
    starts = [0, *cuts]
    ends = [cut - len(SEPARATOR) for cut in cuts] + [len(part.text)]
    return [part.text[start:end] for start, end in zip(starts, ends, strict=True)]


def _image_call(raw: types.Object, path: str, sign: ReadSignature) -> list[Part]:
    call = marks.convert(raw, types.ImageCall, path)
    if not call.result:
        return [opaque(raw)]
    found = marks.leftovers(raw, types.ImageCall)
    found[marks.ITEM] = item_mark(call)
    return [
        Media(
            kind="image",
            media_type=f"image/{call.output_format}" if call.output_format else None,
            data=call.result,
            extensions=marks.extensions(found),
        )
    ]


_KINDS: dict[str, Callable[[types.Object, str, ReadSignature], list[Part]]] = {
    "message": _message,
    "function_call": _function_call,
    "custom_tool_call": _custom_call,
    "reasoning": _reasoning,
    "image_generation_call": _image_call,
}


def is_content(part: Part) -> bool:
    """Whether ``part`` stands inside a message item, rather than being an item."""
    match part:
        case Text() | Refusal():
            return True
        case Opaque(protocol=marks.ID):
            return marks.CONTENT in marks.own(part.extensions)
        case _:
            return False


def identity(part: Part) -> dict[str, Any]:
    """``id`` and ``status`` of the item that ``part`` came in."""
    return dict(marks.own(part.extensions).get(marks.ITEM, {}))


def encode_call(call: ToolCall, names: dict[str, CallName], said: dict[str, Any]) -> dict[str, Any]:
    """A call as an item; ``said`` are the fields that identify it.

    A custom tool's input that a foreign upstream gave as JSON arguments is unpacked again.
    """
    name = names.get(call.name) or CallName(call.name)
    if namespace := marks.own(call.extensions).get(marks.NAMESPACE):
        name = CallName(namespace[1], namespace[0], call.custom)
    found: dict[str, Any] = {"call_id": call.id, "name": name.name}
    if call.custom:
        item = {"type": "custom_tool_call", **said, **found, "input": call.arguments}
    elif name.custom:
        item = {"type": "custom_tool_call", **said, **found, "input": unwrap_input(call.arguments)}
    else:
        item = {"type": "function_call", **said, **found, "arguments": call.arguments}
    if name.namespace is not None:
        item["namespace"] = name.namespace
    return item | marks.fields(call.extensions)


def encode_reasoning(
    part: Reasoning, encrypted: str | None, said: dict[str, Any], *, as_content: bool
) -> dict[str, Any]:
    """A reasoning item. ``as_content``: its text is the reasoning itself, not a summary of it."""
    texts = cut_texts(part)
    kind = "reasoning_text" if as_content else "summary_text"
    pieces = [{"type": kind, "text": text} for text in texts]
    item: dict[str, Any] = {"type": "reasoning", **said}
    item["summary"] = [] if as_content else pieces
    if as_content and pieces:
        item["content"] = pieces
    if encrypted is not None:
        item["encrypted_content"] = encrypted
    return item | marks.fields(part.extensions)


def encode_image(part: Media, said: dict[str, Any]) -> dict[str, Any]:
    """An image that the model made, as the item of the hosted tool."""
    item: dict[str, Any] = {"type": "image_generation_call", **said, "result": part.data}
    if part.media_type is not None:
        item["output_format"] = part.media_type.partition("/")[2]
    return item | marks.fields(part.extensions)


def native_content(part: Reasoning) -> bool:
    """Whether ``part`` is reasoning as such, from an upstream of this protocol. Others' reasoning is
    shown as a summary, which is what clients display."""
    return not part.summary and marks.ITEM in marks.own(part.extensions)
