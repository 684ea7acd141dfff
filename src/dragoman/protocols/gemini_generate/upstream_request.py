"""The canonical request → a body for Google.

Quirks of the profile (all optional):

``json_schema`` (default true): the server takes JSON Schema (``parametersJsonSchema``,
``responseJsonSchema``); false compiles to its OpenAPI subset. ``thinking_level``: true, or the levels
taken, for models that are told a level (Gemini 3) instead of a budget. ``thinking_budget_range``:
[least, most] tokens. ``thought_signature_required``: the model refuses function calls without a
signature (Gemini 3). ``function_response_parts``: media may stand inside ``functionResponse``.
``flat_count_tokens``: ``countTokens`` takes the request's fields beside ``contents`` (Vertex AI).
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import Json, Text, ToolCall, own_extensions
from dragoman.canonical.request import Message, Request
from dragoman.protocols.base import Encoded, ModelProfile
from dragoman.protocols.gemini_generate import settings, tools
from dragoman.protocols.gemini_generate.contents import Contents, PartWriter
from dragoman.protocols.gemini_generate.parts import own_fields
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID

_ENCODER = msgspec.json.Encoder()
_TIERS = {
    "default": "standard",
    "standard_only": "standard",
    "auto": "unspecified",
}


def encode_request(request: Request, profile: ModelProfile) -> Encoded:
    """The body for ``:generateContent`` or ``:streamGenerateContent``, and what became of each field.
    Raises InvalidRequest if nothing is left to say."""
    body, notes = build_request(request, profile)
    return Encoded(body=_ENCODER.encode(body), notes=notes.items)


def build_request(request: Request, profile: ModelProfile) -> tuple[dict[str, Any], Notes]:
    """As ``encode_request``, before it becomes bytes."""
    notes = Notes()
    own = own_extensions(request.extensions, PROTOCOL_ID)
    notes.foreign("", request.extensions, PROTOCOL_ID)
    body = _conversation(request, profile, notes)
    if wire_tools := tools.write_tools(request, profile, notes):
        body["tools"] = wire_tools
    if tool_config := _tool_config(request, profile, notes, own):
        body["toolConfig"] = tool_config
    if config := settings.write_config(request, profile, notes, own):
        body["generationConfig"] = config
    _beside(request, profile, notes, body)
    elsewhere = ("generationConfig", "toolConfig")
    fields = own_fields(request.extensions)
    body.update((name, fields[name]) for name in fields if name not in elsewhere)
    return body, notes


def _conversation(request: Request, profile: ModelProfile, notes: Notes) -> dict[str, Any]:
    calls = {
        part.id: part.name
        for message in request.messages
        for part in message.parts
        if isinstance(part, ToolCall)
    }
    contents = Contents(PartWriter(profile, notes, calls), profile, notes)
    leading = list(takewhile(lambda message: message.role in _SYSTEM, request.messages))
    instruction = _system_instruction(leading, contents, notes)
    for index, message in enumerate(request.messages[len(leading) :], len(leading)):
        contents.add(message, f"messages.{index}")
    body: dict[str, Any] = {}
    written = contents.finish()
    if not written and instruction:
        # Google wants at least one content; a lone system message is a prompt by another name.
        notes.emulated("messages.0", "sent as the user's words")
        written, instruction = [{"role": "user", **instruction}], {}
    if not written:
        raise InvalidRequest("No message has anything that this model can read.", param="messages")
    body["contents"] = written
    if instruction:
        body["systemInstruction"] = instruction
    return body


_SYSTEM = ("system", "developer")


def _system_instruction(
    messages: list[Message], contents: Contents, notes: Notes
) -> dict[str, Json]:
    """The leading system messages as one ``systemInstruction``, which holds text only; whatever else
    they hold becomes the first thing the user says."""
    instruction: dict[str, Json] = {}
    parts: list[Json] = []
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        contents.writer.about(message, path)
        if message.role == "developer":
            notes.renamed(path, "systemInstruction")
        for position, part in enumerate(message.parts):
            where = f"{path}.parts.{position}"
            if isinstance(part, Text):
                parts += contents.writer.write(part, where)
            else:
                notes.emulated(where, "sent as the user's")
                contents.open("user", {})
                contents.part(part, where)
        instruction.update(own_fields(message.extensions))
    return {"parts": parts, **instruction} if parts else {}


def _tool_config(
    request: Request, profile: ModelProfile, notes: Notes, own: dict[str, Json]
) -> dict[str, Any]:
    config: dict[str, Any] = {}
    choice = request.tool_choice
    if choice is not None and "tool_choice" in profile.drops:
        notes.dropped("tool_choice", "refused by this provider")
    elif choice is not None:
        config["functionCallingConfig"] = tools.write_choice(choice)
    left = dict(own.get("toolConfig", {}))
    if calling := left.pop("functionCallingConfig", None):
        config["functionCallingConfig"] = {**config.get("functionCallingConfig", {}), **calling}
    config.update(left)
    return config


def _beside(request: Request, profile: ModelProfile, notes: Notes, body: dict[str, Any]) -> None:
    """What stands beside ``generationConfig``, and what stands nowhere."""
    tier = request.settings.service_tier
    if tier is not None:
        if "service_tier" in profile.drops:
            notes.dropped("settings.service_tier", "refused by this provider")
        else:
            body["serviceTier"] = _TIERS.get(tier, tier)
            if tier in _TIERS:
                notes.renamed("settings.service_tier", _TIERS[tier])
    if request.parallel_tool_calls:
        notes.renamed("parallel_tool_calls", "as always here")
    elif request.parallel_tool_calls is False:
        notes.dropped("parallel_tool_calls", "Gemini may always call several at once")
    if request.cache is not None:
        notes.dropped("cache", "Gemini caches by itself")
