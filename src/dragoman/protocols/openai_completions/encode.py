"""The canonical request as a completion for an upstream.

A conversation becomes a transcript that ends where the model is to go on. The API knows neither
tools, media, structured output nor reasoning.

Quirks: ``stream_usage`` (default true: ``stream_options.include_usage`` may be sent), ``stop_limit``
(default 4 sequences), ``top_k`` (default false: the field may be sent).
"""

from __future__ import annotations

import msgspec

from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import (
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    own_extensions,
)
from dragoman.canonical.request import Message, Request
from dragoman.protocols.base import Encoded, ModelProfile, Parsed
from dragoman.protocols.openai_completions.request import SETTINGS
from dragoman.protocols.openai_completions.types import PROTOCOL_ID, Wire
from dragoman.protocols.openai_shared.relay import repeat_body

_encode = msgspec.json.Encoder().encode

_SPEAKERS = {
    "system": "System",
    "developer": "System",
    "user": "User",
    "assistant": "Assistant",
    "tool": "Tool",
}


def encode_request(request: Request, profile: ModelProfile) -> Encoded:
    """The body for the upstream, and a note on everything a completion cannot say."""
    notes = Notes()
    own = own_extensions(request.extensions, PROTOCOL_ID)
    body: Wire = {
        "model": profile.model or request.model,
        "prompt": _prompt(request.messages, notes),
    }
    _encode_settings(request, profile, body, notes)
    for i in range(len(request.tools)):
        notes.dropped(f"tools.{i}", "a completion has no tools")
    for field in ("tool_choice", "parallel_tool_calls", "reasoning", "cache"):
        if getattr(request, field) is not None:
            notes.dropped(field, "a completion has no such field")
    if request.output is not None:
        note = notes.renamed if request.output.kind == "text" else notes.dropped
        note("output", "a completion is text")
    if request.stream:
        body["stream"] = True
        if profile.quirks.get("stream_usage", True):
            body["stream_options"] = {"include_usage": True}
    notes.foreign("", request.extensions, PROTOCOL_ID)
    for field, value in own.items():
        body.setdefault(field, value)
    if request.stream and isinstance(own.get("stream_options"), dict):
        body["stream_options"] = {**own["stream_options"], **body["stream_options"]}
    return Encoded(body=_encode(body), notes=notes.items)


def repeat_request(parsed: Parsed, profile: ModelProfile) -> Encoded:
    """The client's own bytes, but for the model's name and the wish for usage in a stream."""
    return Encoded(body=repeat_body(parsed, profile))


def _encode_settings(request: Request, profile: ModelProfile, body: Wire, notes: Notes) -> None:
    settings, quirks = request.settings, profile.quirks
    limit = profile.max_output_tokens
    if settings.max_output_tokens is None and limit is not None:
        body["max_tokens"] = limit  # unsaid, the official API stops after 16 tokens
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if value is None:
            continue
        path = f"settings.{name}"
        if name in profile.drops or (name == "top_k" and not quirks.get("top_k")):
            notes.dropped(path, "refused by this provider")
        elif name == "max_output_tokens":
            body["max_tokens"] = value if limit is None else min(value, limit)
            if body["max_tokens"] != value:
                notes.clamped(path, f"the model's ceiling is {limit}")
        elif name == "stop":
            most = quirks.get("stop_limit", 4)
            body["stop"] = value[:most]
            if len(value) > most:
                notes.clamped(path, f"only the first {most} are sent")
        elif name == "logprobs":
            _encode_logprobs(value, settings.top_logprobs, body, notes)
        elif name in SETTINGS:
            body[name] = value
        elif value == ["text"]:
            notes.renamed(path, "a completion is text")
        elif name == "top_logprobs" and settings.logprobs:
            continue  # one field with logprobs
        else:
            notes.dropped(path, "a completion has no such setting")


def _encode_logprobs(wanted: bool, alternatives: int | None, body: Wire, notes: Notes) -> None:
    if wanted:
        body["logprobs"] = alternatives or 0
    else:
        notes.renamed("settings.logprobs", "left out")


def _prompt(messages: list[Message], notes: Notes) -> str:
    """The one user message as it is, anything else as a transcript."""
    texts = [_message_text(message, f"messages.{i}", notes) for i, message in enumerate(messages)]
    if len(messages) == 1 and messages[0].role == "user":
        return texts[0]
    notes.emulated("messages", "a transcript")
    turns = [
        f"{_SPEAKERS[message.role]}: {text}" for message, text in zip(messages, texts, strict=True)
    ]
    if not messages or messages[-1].role != "assistant":
        turns.append("Assistant:")
    return "\n\n".join(turns)


def _message_text(message: Message, path: str, notes: Notes) -> str:
    if message.name is not None:
        notes.dropped(f"{path}.name", "a completion has no names")
    notes.foreign(path, message.extensions, PROTOCOL_ID)
    lines: list[str] = []
    for j, part in enumerate(message.parts):
        where = f"{path}.parts.{j}"
        text = _part_text(part, where, notes)
        if text is not None:
            lines.append(text)
        if part.cache is not None:
            notes.dropped(f"{where}.cache", "a completion has no cache breakpoints")
        notes.foreign(where, part.extensions, PROTOCOL_ID)
    if len(lines) > 1:
        notes.renamed(f"{path}.parts", "several texts become one")
    return "\n".join(lines)


def _part_text(part: Part, path: str, notes: Notes) -> str | None:
    match part:
        case Text() | Refusal():
            return part.text
        case Media(text=str(text)):
            notes.emulated(path, "a document in the text")
            return text
        case ToolCall():
            notes.emulated(path, "told in words")
            return f"[calls {part.name} with {part.arguments or '{}'}]"
        case ToolResult():
            return _result_text(part, path, notes)
        case Media() | Reasoning() | Opaque():
            notes.dropped(path, "a completion is made of text")
            return None


def _result_text(result: ToolResult, path: str, notes: Notes) -> str:
    notes.emulated(path, "told in words")
    told = [_part_text(item, f"{path}.content.{k}", notes) for k, item in enumerate(result.content)]
    text = "\n".join(filter(None, told))
    return f"Error: {text}" if result.is_error else text
