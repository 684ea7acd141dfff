"""Messages from the wire: roles, and what an assistant's message holds besides content."""

from __future__ import annotations

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import (
    Json,
    Media,
    Opaque,
    Part,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    set_extension,
)
from dragoman.canonical.request import Message
from dragoman.canonical.signature import Signature, unseal
from dragoman.protocols.openai_chat.parts import (
    Sign,
    Wire,
    decode_content,
    leftovers,
    media_of_url,
    need,
    take_cache,
)
from dragoman.protocols.openai_chat.reasoning import decode_message_reasoning
from dragoman.protocols.openai_chat.tools import arguments_text, decode_call
from dragoman.protocols.openai_chat.types import PROTOCOL_ID


def from_client(value: str) -> Signature:
    """A signature that a client of this protocol sent back."""
    return unseal(value, PROTOCOL_ID)


class MessageReader:
    """Reads a conversation in order: a tool's result is told what call it answers."""

    def __init__(self) -> None:
        self._calls: dict[str, ToolCall] = {}
        self._last_by_name: dict[str, ToolCall] = {}

    def read(self, wire: Wire, path: str) -> Message:
        """Read one message. Raises InvalidRequest for an unknown role or a missing field."""
        role = wire.pop("role")
        match role:
            case "assistant":
                return self._assistant(wire, path)
            case "tool" | "function":
                return self._result(wire, path, role)
            case "system" | "developer" | "user":
                cache = take_cache(wire)
                parts = decode_content(wire.pop("content", None), f"{path}.content", from_client)
                if cache is not None and parts:
                    parts[-1].cache = parts[-1].cache or cache
                return Message(
                    role=role, parts=parts, name=wire.pop("name", None), extensions=leftovers(wire)
                )
            case _:
                raise InvalidRequest("This role is not known.", param=f"{path}.role")

    def _assistant(self, wire: Wire, path: str) -> Message:
        cache = take_cache(wire)
        parts = decode_assistant(wire, path, from_client, f"call_{path.rpartition('.')[2]}")
        if cache is not None and parts:
            parts[-1].cache = parts[-1].cache or cache
        for part in parts:
            if isinstance(part, ToolCall):
                self._calls[part.id] = self._last_by_name[part.name] = part
        return Message(
            role="assistant", parts=parts, name=wire.pop("name", None), extensions=leftovers(wire)
        )

    def _result(self, wire: Wire, path: str, role: str) -> Message:
        name: str | None = wire.pop("name", None)
        if role == "function":  # the old form answers a call by the function's name
            name = name or need(wire, "name", path)
            named = self._last_by_name.get(name)
            call_id = named.id if named is not None else name
        else:
            call_id = need(wire, "tool_call_id", path)
        call = self._calls.get(call_id)
        content = decode_content(wire.pop("content", None), f"{path}.content", from_client)
        result = ToolResult(
            call_id=call_id,
            content=[part for part in content if isinstance(part, Text | Media | Opaque)],
            name=name or (call.name if call is not None else None),
            custom=call.custom if call is not None else False,
            cache=take_cache(wire),
        )
        return Message(role="tool", parts=[result], extensions=leftovers(wire))


def decode_assistant(wire: Wire, path: str, sign: Sign, call_id: str) -> list[Part]:
    """Take the parts out of an assistant's message, earlier or just answered.

    ``call_id`` begins the ids of calls that have none. What is left in ``wire`` is unknown.
    """
    parts = decode_message_reasoning(wire, sign)
    annotations = wire.pop("annotations", None)
    content = decode_content(wire.pop("content", None), f"{path}.content", sign)
    if annotations:
        _annotate(content, annotations)
    parts += content
    if refusal := wire.pop("refusal", None):
        parts.append(Refusal(text=refusal))
    for image in wire.pop("images", None) or ():
        parts.append(decode_image(image))
    if audio := wire.pop("audio", None):
        parts.append(decode_audio(audio))
    calls = wire.pop("tool_calls", None) or ()
    for i, call in enumerate(calls):
        parts.append(decode_call(call, f"{path}.tool_calls.{i}", f"{call_id}_{i}", sign))
    if function := wire.pop("function_call", None):
        # The old form has no ids.
        parts.append(
            ToolCall(
                id=f"{call_id}_{len(calls)}",
                name=function.get("name") or "",
                arguments=arguments_text(function.get("arguments")),
            )
        )
    return parts


def _annotate(content: list[Part], annotations: Json) -> None:
    """Hang a message's annotations on its first text."""
    text = next((part for part in content if isinstance(part, Text)), None)
    if text is None:
        text = Text(text="")
        content.append(text)
    text.extensions = set_extension(text.extensions, PROTOCOL_ID, "annotations", annotations)


def decode_image(wire: Wire) -> Media:
    """Read one of ``images``, OpenRouter's way of answering with pictures."""
    image = wire["image_url"]
    part = media_of_url("image", image if isinstance(image, str) else image["url"])
    if isinstance(image, dict):
        part.detail = image.get("detail")
    return part


def decode_audio(wire: Wire) -> Media:
    """Read ``audio``: the answer's own, with data, or an earlier one, by its id."""
    data = wire.pop("data", None)
    if data is None and wire.get("id"):
        return Media(kind="audio", file_id=wire["id"])
    return Media(kind="audio", data=data or "", extensions=leftovers(wire))


def annotations_of(parts: list[Text]) -> list[Json]:
    """What ``_annotate`` hung there."""
    found: list[Json] = []
    for part in parts:
        own = (part.extensions or {}).get(PROTOCOL_ID, {})
        if isinstance(own.get("annotations"), list):
            found += own["annotations"]
    return found
