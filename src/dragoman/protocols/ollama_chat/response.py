"""Whole ``/api/chat`` answers, both ways, and the pieces that streams share with them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.parts import (
    Extensions,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    own_extensions,
)
from dragoman.canonical.request import Request
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin
from dragoman.canonical.usage import Usage, split
from dragoman.protocols.ollama_chat.errors import in_band_error
from dragoman.protocols.ollama_chat.messages import object_arguments
from dragoman.protocols.ollama_chat.types import (
    PROTOCOL_ID,
    ChatAnswer,
    ChatMessage,
    arguments_text,
    as_extensions,
    image_type,
    leftovers,
)
from dragoman.protocols.ollama_chat.types import ToolCall as WireCall
from dragoman.protocols.wire_json import read_upstream

_answer = msgspec.json.Decoder(ChatAnswer)
_object = msgspec.json.Decoder(dict[str, Any])

UNKNOWN_TIME = "1970-01-01T00:00:00Z"
"""What is written where nobody said when: typed clients insist on a date."""

# Fields that every line of a stream has; the others that are not understood come with the last line.
_OF_EVERY_LINE = ("created_at", "remote_model", "remote_host")
_MESSAGE_FIELDS = ("role", "content", "thinking", "images", "tool_calls")

# ``load`` and ``unload`` answer requests that only manage memory. An absent reason is a plain stop, as
# in Ollama's own OpenAI-compatible API; older versions never gave one.
_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
_WORDS = {FinishReason.LENGTH: "length"}  # everything else is a "stop"


def decode_response(body: bytes, origin: Origin) -> Response:
    """Read an upstream's whole answer. Raises UpstreamBroken, or the error that it holds."""
    answer = read_upstream(body, _answer)
    if answer.error is not None:
        raise in_band_error(answer.error)
    if answer.message is None:
        raise UpstreamBroken("The upstream's answer has no message.")
    raw = read_upstream(body, _object)
    parts = list(message_parts(answer.message, answer.created_at or ""))
    calls = any(isinstance(part, ToolCall) for part in parts)
    choice = Choice(
        parts=parts,
        finish=finish_of(answer, raw, calls=calls),
        logprobs=answer.logprobs,
        extensions=as_extensions(leftovers(raw["message"], _MESSAGE_FIELDS)),
    )
    return Response(
        model=answer.model or origin.model,
        choices=[choice],
        usage=usage_of(answer),
        created=created_seconds(answer.created_at),
        extensions=line_extensions(raw),
    )


def message_parts(message: ChatMessage, seed: str) -> Iterator[Part]:
    """The parts of a whole message."""
    if message.thinking:
        yield Reasoning(text=message.thinking)
    if message.content:
        yield Text(text=message.content)
    for data in message.images or ():
        yield Media(kind="image", media_type=image_type(data), data=data)
    for index, call in enumerate(message.tool_calls or ()):
        yield call_part(call, index, seed)


def call_part(call: WireCall, index: int, seed: str) -> ToolCall:
    """A call, with an id made up if it has none: unique within its conversation because ``seed`` (the
    answer's time) is in it, and the same whenever the same bytes are read."""
    try:
        arguments = arguments_text(call.function.arguments)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamBroken("The upstream's tool call has unreadable arguments.") from None
    id = call.id
    if not id:
        digest = zlib.crc32(f"{seed}\0{call.function.name}\0{arguments}".encode())
        id = f"call_{index}_{digest:08x}"
    return ToolCall(id=id, name=call.function.name, arguments=arguments)


def finish_of(answer: ChatAnswer, raw: dict[str, Any], *, calls: bool) -> Finish:
    """How the answer ended, with the figures of its last line."""
    extra = leftovers(raw, (*ChatAnswer.__struct_fields__, *_OF_EVERY_LINE))
    word = answer.done_reason or "stop"
    reason = _REASONS.get(word)
    if reason is None:
        extra["done_reason"] = word
    if calls and reason is not FinishReason.LENGTH:
        return Finish(reason=FinishReason.TOOL_CALLS, extensions=as_extensions(extra))
    return Finish(
        reason=reason or FinishReason.STOP,
        raw=None if reason else word,
        extensions=as_extensions(extra),
    )


def usage_of(answer: ChatAnswer) -> Usage | None:
    """Ollama counts thinking as output, and leaves out a count of zero."""
    if answer.prompt_eval_count is None and answer.eval_count is None:
        return None
    (read,), (written,) = split(answer.prompt_eval_count), split(answer.eval_count)
    return Usage(input=read, output=written)


def line_extensions(raw: dict[str, Any]) -> Extensions | None:
    """The fields that every line of an answer carries, kept as they are spelled."""
    return as_extensions({name: raw[name] for name in _OF_EVERY_LINE if raw.get(name) is not None})


def created_seconds(text: str | None) -> int | None:
    """Unix seconds of an RFC 3339 time; None for nonsense and for ``UNKNOWN_TIME``."""
    if not text or text == UNKNOWN_TIME:
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return None


def created_text(created: int | None, extensions: Extensions | None) -> str:
    """The time in Ollama's form: its own spelling if it came from there."""
    own = own_extensions(extensions, PROTOCOL_ID).get("created_at")
    if isinstance(own, str):
        return own
    if created is None:
        return UNKNOWN_TIME
    try:
        moment = datetime.fromtimestamp(created, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return UNKNOWN_TIME
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def encode_response(response: Response, request: Request) -> bytes:
    """The whole answer for a client: the first choice, as Ollama knows only one."""
    choice = response.choices[0] if response.choices else Choice()
    body: dict[str, Any] = {
        "model": response.model or request.model,
        "created_at": created_text(response.created, response.extensions),
        "message": {
            **own_extensions(choice.extensions, PROTOCOL_ID),
            **_message(choice.parts),
        },
    }
    if choice.logprobs is not None:
        body["logprobs"] = choice.logprobs
    body |= last_fields(choice.finish, response.usage)
    for name, value in own_extensions(response.extensions, PROTOCOL_ID).items():
        body.setdefault(name, value)
    return msgspec.json.encode(body)


def _message(parts: list[Part]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    calls: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case Text() | Refusal():
                message["content"] += part.text
            case Reasoning() if part.text:
                message["thinking"] = message.get("thinking", "") + part.text
            case Media(kind="image", data=str(data)):
                message.setdefault("images", []).append(data)
            case ToolCall():
                calls.append(wire_call(part, len(calls)))
            case _:
                pass  # sounds, encrypted reasoning and hosted tools cannot be shown to this client
    if calls:
        message["tool_calls"] = calls
    return message


def wire_call(call: ToolCall, index: int) -> dict[str, Any]:
    """A call as clients of Ollama read it."""
    arguments, _ = object_arguments(call)
    return {
        "id": call.id,
        "function": {"index": index, "name": call.name, "arguments": arguments},
    }


def last_fields(finish: Finish | None, usage: Usage | None) -> dict[str, Any]:
    """The fields that only the last line of an answer has."""
    own = own_extensions(finish.extensions, PROTOCOL_ID) if finish is not None else {}
    fields: dict[str, Any] = {
        "done": True,
        "done_reason": _WORDS.get(finish.reason, "stop") if finish is not None else "stop",
        **own,
    }
    if usage is not None:
        fields["prompt_eval_count"] = usage.total_input
        fields["eval_count"] = usage.total_output
    return fields
