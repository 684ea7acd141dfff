"""The canonical request as a question to a Gradio app.

An app knows neither tools, structured output nor several answers; those are dropped with a note. What
else it takes is seen when it has been asked (``arguments``).

Quirks: none of the codec's own; ``spaces`` and ``hub`` are the opener's.
"""

from __future__ import annotations

from typing import Literal

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
)
from dragoman.canonical.request import Message, ReasoningConfig, Request
from dragoman.protocols.base import Encoded, ModelProfile
from dragoman.protocols.gradio.roles import SETTINGS
from dragoman.protocols.gradio.types import PROTOCOL_ID, File, Question, Turn

_encode = msgspec.json.Encoder().encode
_EVERYBODYS = ("repetition_penalty", "repeat_penalty")  # no protocol's own, though none has it


def encode_request(request: Request, profile: ModelProfile) -> Encoded:
    """The question for the opener, and a note on everything that no app can be asked."""
    notes = Notes()
    system, turns = _conversation(request.messages, notes)
    question = Question(
        system=system, turns=turns, settings=_settings(request, profile, notes), effort=None
    )
    _reasoning(request.reasoning, profile, question, notes)
    for i in range(len(request.tools)):
        notes.dropped(f"tools.{i}", "a Gradio app is given no tools")
    for field in ("tool_choice", "parallel_tool_calls", "cache"):
        if getattr(request, field) is not None:
            notes.dropped(field, "a Gradio app has no such field")
    if request.output is not None and request.output.kind != "text":
        notes.dropped("output", "a Gradio app answers in text")
    return Encoded(body=_encode(question), notes=notes.items)


def _settings(request: Request, profile: ModelProfile, notes: Notes) -> dict[str, float]:
    settings: dict[str, float] = {}
    for name in request.settings.__struct_fields__:
        value = getattr(request.settings, name)
        if value is None:
            continue
        path = f"settings.{name}"
        if name in profile.drops:
            notes.dropped(path, "refused by this provider")
        elif name in SETTINGS:
            settings[name] = value
        elif value not in (["text"], [], {}, 1) or name not in ("modalities", "n", "metadata"):
            notes.dropped(path, "a Gradio app has no such setting")
    limit = profile.max_output_tokens
    if limit is not None and settings.get("max_output_tokens", 0) > limit:
        settings["max_output_tokens"] = limit
        notes.clamped("settings.max_output_tokens", f"the model's ceiling is {limit}")
    _extensions(request, settings, notes)
    return settings


def _extensions(request: Request, settings: dict[str, float], notes: Notes) -> None:
    """Fields that only some protocol knows; a penalty on repetition is taken from any."""
    left: dict[str, dict[str, object]] = {}
    for owner, fields in (request.extensions or {}).items():
        left[owner] = dict(fields)
        for name in _EVERYBODYS:
            value = fields.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                settings["repetition_penalty"] = value
                del left[owner][name]
    notes.foreign("", left, PROTOCOL_ID)


def _reasoning(
    config: ReasoningConfig | None, profile: ModelProfile, question: Question, notes: Notes
) -> None:
    if config is None:
        return
    if "reasoning" in profile.drops:
        notes.dropped("reasoning", "refused by this provider")
        return
    question.effort = config.effort
    if config.mode is not None:
        question.thinking = config.mode != "off"
    for field in ("budget_tokens", "summary"):
        if getattr(config, field) is not None:
            notes.dropped(f"reasoning.{field}", "a Gradio app has no such setting")
    if config.visible is False:
        notes.dropped("reasoning.visible", "a Gradio app shows what it shows")


def _conversation(messages: list[Message], notes: Notes) -> tuple[str, list[Turn]]:
    """(system text, turns); neighbours of one speaker are one turn."""
    system: list[str] = []
    turns: list[Turn] = []
    for i, message in enumerate(messages):
        path = f"messages.{i}"
        files: list[File] = []
        text = _text(message.parts, f"{path}.parts", files, notes)
        if message.name is not None:
            notes.dropped(f"{path}.name", "a Gradio app has no names")
        notes.foreign(path, message.extensions, PROTOCOL_ID)
        if message.role in ("system", "developer"):
            system.append(text)
            for file in files:
                notes.dropped(file.where, "the system text has no files")
            continue
        role: Literal["user", "assistant"] = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1].role == role:
            last = turns[-1]
            last.text = "\n".join(filter(None, (last.text, text)))
            last.files += files
        else:
            turns.append(Turn(role=role, text=text, files=files))
    return "\n\n".join(filter(None, system)), turns


def _text(parts: list[Part], path: str, files: list[File], notes: Notes) -> str:
    lines: list[str] = []
    for j, part in enumerate(parts):
        where = f"{path}.{j}"
        text = _part(part, where, files, notes)
        if text:
            lines.append(text)
        if part.cache is not None:
            notes.dropped(f"{where}.cache", "a Gradio app has no cache breakpoints")
        notes.foreign(where, part.extensions, PROTOCOL_ID)
    return "\n".join(lines)


def _part(part: Part, path: str, files: list[File], notes: Notes) -> str:
    match part:
        case Text() | Refusal():
            return part.text
        case Media(text=str(text)):
            notes.emulated(path, "a document in the text")
            return text
        case Media():
            return _media(part, path, files, notes)
        case ToolCall():
            notes.emulated(path, "told in words")
            return f"[calls {part.name} with {part.arguments or '{}'}]"
        case ToolResult():
            notes.emulated(path, "told in words")
            told = _text(list(part.content), f"{path}.content", files, notes)
            return f"Error: {told}" if part.is_error else told
        case Reasoning() | Opaque():
            notes.dropped(path, "a Gradio app has no place for it")
            return ""


def _media(media: Media, path: str, files: list[File], notes: Notes) -> str:
    if media.data is None:  # the engine fetches what a client gives by address
        notes.dropped(path, "a Gradio app is given files by their content")
        return ""
    if media.detail is not None:
        notes.dropped(f"{path}.detail", "a Gradio app has no such field")
    files.append(
        File(
            kind=media.kind,
            where=path,
            media_type=media.media_type,
            name=media.name,
            data=media.data,
        )
    )
    return ""
