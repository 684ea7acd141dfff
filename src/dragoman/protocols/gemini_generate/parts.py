"""One wire part ⇄ one canonical part, as far as requests and answers have it in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as Interface

import msgspec

from dragoman.canonical.parts import (
    Extensions,
    Json,
    Media,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    own_extensions,
    set_extension,
)
from dragoman.canonical.signature import Signature
from dragoman.protocols.gemini_generate import media, types
from dragoman.protocols.gemini_generate.reading import plain, rest
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID

THOUGHT = "_thought"
"""Bookkeeping on unsigned reasoning: a client of this protocol sent it, so it may go back."""

CUSTOM_INPUT = "input"
"""The one argument of the function that stands for a custom tool."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_WRAPPERS = ("result", "output", "error")
_UNREADABLE = (msgspec.MsgspecError, RecursionError)

ReadSignature = Callable[[str], Signature]


class CallIds(Interface):
    """Gives ids to calls and results, which this protocol may leave without."""

    def call(self, call: types.FunctionCall) -> str: ...

    def result(self, result: types.FunctionResponse) -> str: ...


def read_part(part: types.Part, ids: CallIds, read_signature: ReadSignature) -> Part | None:
    """A wire part → a canonical one; None for a part that holds nothing at all."""
    if part.function_call is not None:
        return _call(part, part.function_call, ids, read_signature)
    if part.function_response is not None:
        return _result(part, part.function_response, ids)
    if part.thought:
        if part.text is not None or _bare(part):
            return _reasoning(part, read_signature)
        # Image models show their drafts as thoughts; to anyone else these would pass for answers.
        return Opaque(protocol=PROTOCOL_ID, value=plain(part))
    if part.inline_data is not None:
        return media.from_blob(part.inline_data, _set_aside(part, "inline_data"))
    if part.file_data is not None:
        return media.from_file(part.file_data, _set_aside(part, "file_data"))
    if part.text is not None or (part.thought_signature is not None and _bare(part)):
        extensions = _set_aside(part, "text", "thought")
        return (
            Text(text=part.text or "", extensions=extensions) if part.text or extensions else None
        )
    value = plain(part)
    return Opaque(protocol=PROTOCOL_ID, value=value) if value else None


def arguments_text(args: dict[str, Json] | None) -> str:
    """A call's ``args`` → JSON text."""
    return msgspec.json.encode(args or {}).decode()


def arguments_object(call: ToolCall) -> tuple[Json, bool]:
    """A call's arguments → what may stand as ``args``, and whether that is what the model wrote."""
    if call.custom:
        return {CUSTOM_INPUT: call.arguments}, False
    if not call.arguments.strip():
        return {}, True
    value = object_text(call.arguments)
    return ({"arguments": call.arguments}, False) if value is None else (value, True)


def object_text(text: str) -> msgspec.Raw | None:
    """``text`` for embedding if it is a JSON object; its key order and numbers stay as they are."""
    if not text.lstrip().startswith("{"):
        return None
    raw = text.encode()
    try:
        _OBJECT.decode(raw)
    except _UNREADABLE:
        return None
    return msgspec.Raw(raw)


def own_fields(extensions: Extensions | None) -> dict[str, Json]:
    """The wire fields that this protocol set aside; its bookkeeping stays behind."""
    own = own_extensions(extensions, PROTOCOL_ID)
    return {name: value for name, value in own.items() if not name.startswith("_")}


def with_own(data: dict[str, Json], part: Part) -> dict[str, Json]:
    """``data`` and the fields that this protocol set aside on ``part``."""
    for name, value in own_fields(part.extensions).items():
        known = data.get(name)
        both = isinstance(known, dict) and isinstance(value, dict)
        data[name] = known | value if known is not None and both else value
    return data


def response_value(result: ToolResult, text: str) -> Json:
    """What a tool answered → ``functionResponse.response``, which must be an object."""
    value = object_text(text)
    if result.is_error:
        return {"error": text if value is None else value}
    if value is not None:
        return value
    said = any(isinstance(item, Text) for item in result.content)
    return {"result": text} if said else {}


def _set_aside(part: types.Part, *used: str) -> Extensions | None:
    left = rest(part, frozenset(used))
    return {PROTOCOL_ID: left} if left else None


def _bare(part: types.Part) -> bool:
    """Nothing but a thought or a signature."""
    return not rest(part, frozenset(("thought", "thought_signature")))


def _call(
    part: types.Part, call: types.FunctionCall, ids: CallIds, read_signature: ReadSignature
) -> ToolCall:
    extensions = _set_aside(part, "function_call", "thought_signature")
    if unknown := rest(call, frozenset(("id", "name", "args"))):
        extensions = set_extension(extensions, PROTOCOL_ID, "functionCall", unknown)
    signature = part.thought_signature
    return ToolCall(
        id=ids.call(call),
        name=call.name or "",
        arguments=arguments_text(call.args),
        signature=None if signature is None else read_signature(signature),
        extensions=extensions,
    )


def _reasoning(part: types.Part, read_signature: ReadSignature) -> Reasoning | None:
    extensions = _set_aside(part, "text", "thought", "thought_signature")
    signature = part.thought_signature
    if signature is None:
        if not part.text and not extensions:
            return None
        extensions = set_extension(extensions, PROTOCOL_ID, THOUGHT, True)
    return Reasoning(
        text=part.text or "",
        signature=None if signature is None else read_signature(signature),
        redacted=part.text is None,
        summary=True,
        extensions=extensions,
    )


def _result(part: types.Part, result: types.FunctionResponse, ids: CallIds) -> ToolResult:
    extensions = _set_aside(part, "function_response")
    if unknown := rest(result, frozenset(("id", "name", "response", "parts"))):
        extensions = set_extension(extensions, PROTOCOL_ID, "functionResponse", unknown)
    text, is_error = _response_text(result.response)
    content: list[Text | Media | Opaque] = [] if text is None else [Text(text=text)]
    content += [_result_media(item) for item in result.parts or ()]
    return ToolResult(
        call_id=ids.result(result),
        name=result.name,
        content=content,
        is_error=is_error,
        extensions=extensions,
    )


def _response_text(response: dict[str, Json] | None) -> tuple[str | None, bool]:
    """The SDKs put plain answers under ``result`` or ``output``, failures under ``error``."""
    if not response:
        return None, False
    if len(response) == 1:
        ((name, value),) = response.items()
        if name in ("result", "output") and isinstance(value, str) and not _is_wrapped(value):
            return value, False
        if name == "error" and isinstance(value, str | dict):
            return value if isinstance(value, str) else msgspec.json.encode(value).decode(), True
    return msgspec.json.encode(response).decode(), False


def _is_wrapped(text: str) -> bool:
    """Whether ``text`` would itself be unwrapped once it is embedded as an object."""
    if object_text(text) is None:
        return False
    keys = _OBJECT.decode(text.encode()).keys()
    return len(keys) == 1 and not keys.isdisjoint(_WRAPPERS)


def _result_media(item: types.FunctionResponsePart) -> Media | Opaque:
    if not item.extra:
        if item.inline_data is not None and item.file_data is None:
            return media.from_blob(item.inline_data, None)
        if item.file_data is not None and item.inline_data is None:
            return media.from_file(item.file_data, None)
    return Opaque(protocol=PROTOCOL_ID, value=plain(item))
