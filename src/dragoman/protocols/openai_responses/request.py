"""A client's request: ``POST /responses`` → canonical.

Input items become messages: each message of a user, system or developer one of its own; neighbouring
items of the assistant one together; each tool output one. Source:
``openai.types.responses.response_create_params``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.carry import signatures_rejoined
from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Json, Media, Opaque, Part, Refusal, Text, ToolResult
from dragoman.canonical.request import (
    Message,
    OutputFormat,
    ReasoningConfig,
    Request,
    Settings,
    Tool,
)
from dragoman.canonical.signature import Signature, unseal
from dragoman.protocols.base import Parsed, Target
from dragoman.protocols.openai_responses import marks, types
from dragoman.protocols.openai_responses.content import check_content, decode_content
from dragoman.protocols.openai_responses.items import decode_item, item_mark, opaque
from dragoman.protocols.openai_responses.tools import check_tools, decode_choice, decode_tools
from dragoman.protocols.openai_responses.types import ENCRYPTED_REASONING, LOGPROBS
from dragoman.protocols.wire_json import read_client

_read = msgspec.json.Decoder(types.RequestBody)
_read_any: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_read_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])

_CARRIED = (
    "previous_response_id",
    "conversation",
    "prompt",
    "background",
    "truncation",
    "max_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "safety_identifier",
    "context_management",
    "moderation",
    "access_programs",
    "image",
    "client_metadata",
)
"""Known fields that have no canonical home."""
_DEFAULTS = {"background": False, "truncation": "disabled"}
"""Saying these is saying nothing."""
_ELSEWHERE = ("previous_response_id", "conversation", "prompt")
"""What may stand in for ``input``: the conversation so far, or a prompt, kept by the provider."""
_CLIENT_ITEMS = frozenset(
    {"mcp_approval_response", "item_reference", "compaction_trigger", "configuration_update"}
)
"""Items that the client's side writes, besides those named ``…_output``."""
_ITEMS: dict[str, type[msgspec.Struct]] = {
    "message": types.MessageItem,
    "function_call": types.FunctionCall,
    "function_call_output": types.ToolOutput,
    "custom_tool_call": types.CustomToolCall,
    "custom_tool_call_output": types.ToolOutput,
    "reasoning": types.ReasoningItem,
    "image_generation_call": types.ImageCall,
    "additional_tools": types.AdditionalTools,
}
_SETTINGS = (
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_logprobs",
    "service_tier",
    "user",
    "metadata",
    "store",
)
"""Settings that have the same name here."""
_FORMATS = ("text", "json_object", "json_schema")


def parse_request(body: bytes, target: Target) -> Parsed:
    """Read a request far enough to know that it is well-formed. Raises InvalidRequest."""
    wire = read_client(body, _read)
    if not wire.model:
        raise InvalidRequest("You must provide a model.", param="model")
    if not wire.input and not any(getattr(wire, name) for name in _ELSEWHERE):
        raise InvalidRequest("The input must not be empty.", param="input")
    _check(wire)
    return Parsed(
        body=body,
        wire=wire,
        model=wire.model,
        stream=bool(wire.stream),
        include_usage=True,
        max_output_tokens=wire.max_output_tokens,
        target=target,
        session=wire.prompt_cache_key or "",
        previous=wire.previous_response_id or "",
    )


def _check(wire: types.RequestBody) -> None:
    """Judge what the typed body leaves open, so that a same-protocol upstream need not."""
    if isinstance(wire.input, list):
        for index, raw in enumerate(wire.input):
            _check_item(raw, f"input.{index}")
    check_tools(wire.tools or (), "tools")
    if wire.text is not None and wire.text.format is not None:
        marks.convert(wire.text.format, types.TextFormat, "text.format")


def _check_item(raw: types.Object, path: str) -> None:
    kind = raw.get("type")
    if kind is None and "role" in raw:
        kind = "message"
    struct = _ITEMS.get(kind) if isinstance(kind, str) else None
    if struct is None:
        return
    marks.convert(raw, struct, path)
    if kind == "additional_tools":
        check_tools(raw["tools"], f"{path}.tools")
    field = "content" if kind == "message" else "output"
    content = raw.get(field)
    if isinstance(content, list) and kind != "reasoning":
        for index, part in enumerate(content):
            check_content(part, f"{path}.{field}.{index}")


def decode_request(parsed: Parsed) -> Request:
    """The canonical request. Raises InvalidRequest."""
    wire: types.RequestBody = parsed.wire
    raw = read_client(parsed.body, _read_raw)
    tools = decode_tools(wire.tools or (), "tools")
    messages = _decode_input(wire, tools)
    if wire.instructions is not None:
        instructions = Message(
            role="system",
            parts=[Text(text=wire.instructions)],
            extensions=marks.extensions({marks.INSTRUCTIONS: True}),
        )
        messages.insert(0, instructions)
    found = _carried(wire, raw)
    request = Request(
        model=parsed.model,
        messages=messages,
        tools=tools,
        parallel_tool_calls=wire.parallel_tool_calls,
        settings=Settings(**{name: getattr(wire, name) for name in _SETTINGS}),
        stream=parsed.stream,
        extensions={marks.ID: found},
    )
    if wire.tool_choice is not None:
        request.tool_choice = decode_choice(wire.tool_choice, tools)
        if request.tool_choice is None:
            found["tool_choice"] = wire.tool_choice
    _decode_include(wire, request.settings, found)
    _decode_text(wire, raw, request, found)
    _decode_reasoning(wire, raw, request, found)
    return request


def _carried(wire: types.RequestBody, raw: dict[str, msgspec.Raw]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name in _CARRIED:
        value = getattr(wire, name)
        if value is not None and value != _DEFAULTS.get(name):
            found[name] = value
    for name, value in marks.leftovers(raw, types.RequestBody).items():
        found[name] = read_client(value, _read_any)
    if wire.stream_options:
        found[marks.STREAM_OPTIONS] = wire.stream_options
    return found


def _decode_include(wire: types.RequestBody, settings: Settings, found: dict[str, Json]) -> None:
    include = list(wire.include or ())
    if LOGPROBS in include:
        settings.logprobs = True
    if ENCRYPTED_REASONING in include:
        found[marks.ENCRYPTED] = True
    if rest := [name for name in include if name not in (LOGPROBS, ENCRYPTED_REASONING)]:
        found["include"] = rest


def _decode_text(
    wire: types.RequestBody, raw: dict[str, msgspec.Raw], request: Request, found: dict[str, Json]
) -> None:
    if wire.text is None:
        return
    request.settings.verbosity = wire.text.verbosity
    rest = marks.leftovers(read_client(raw["text"], _read_any), types.TextConfig)
    if wire.text.format is not None:
        form = marks.convert(wire.text.format, types.TextFormat, "text.format")
        if form.type not in _FORMATS:
            rest["format"] = wire.text.format
        else:
            request.output = OutputFormat(
                kind=form.type,  # type: ignore[arg-type]
                name=form.name,
                description=form.description,
                schema=form.schema,
                strict=form.strict,
            )
            if more := marks.leftovers(wire.text.format, types.TextFormat):
                rest["format"] = more
    if rest:
        found["text"] = rest


def _decode_reasoning(
    wire: types.RequestBody, raw: dict[str, msgspec.Raw], request: Request, found: dict[str, Json]
) -> None:
    options = wire.reasoning
    if options is None:
        return
    summary = options.summary or options.generate_summary
    if options.effort or summary:
        request.reasoning = ReasoningConfig(
            effort=options.effort, summary=summary, visible=True if summary else None
        )
    if rest := marks.leftovers(read_client(raw["reasoning"], _read_any), types.ReasoningOptions):
        found["reasoning"] = rest


def _decode_input(wire: types.RequestBody, tools: list[Tool] | None = None) -> list[Message]:
    """The messages of ``input``; tools that come among them are added to ``tools``."""
    if isinstance(wire.input, str):
        return [Message(role="user", parts=[Text(text=wire.input)])]
    messages: list[Message] = []
    for index, raw in enumerate(wire.input or ()):
        path = f"input.{index}"
        kind = raw.get("type")
        if kind == "additional_tools":
            added = _additional_tools(raw, path, index)
            if tools is not None:
                tools += added
            continue
        message = _client_message(raw, kind, path)
        if message is not None:
            messages.append(message)
            continue
        parts = decode_item(raw, path, _unseal)
        if messages and messages[-1].role == "assistant":
            messages[-1].parts += parts
        else:
            messages.append(Message(role="assistant", parts=parts))
    for message in messages:
        if message.role == "assistant":
            message.parts = signatures_rejoined(message.parts, marks.ID)
    return messages


def _unseal(value: str) -> Signature:
    return unseal(value, marks.ID)


def _client_message(raw: types.Object, kind: Any, path: str) -> Message | None:
    """The message of an item that the client's side wrote; None if it is the assistant's."""
    if kind in ("function_call_output", "custom_tool_call_output"):
        return _tool_message(raw, path)
    if isinstance(kind, str) and (kind.endswith("_output") or kind in _CLIENT_ITEMS):
        return Message(role="user", parts=[opaque(raw)])
    if kind not in ("message", None):
        return None
    message = marks.convert(raw, types.MessageItem, path)
    if message.role == "assistant":
        return None
    if message.role not in ("user", "system", "developer"):
        return Message(role="user", parts=[opaque(raw)])
    parts: list[Part]
    if isinstance(message.content, str):
        parts = [Text(text=message.content)]
    else:
        parts = [
            decode_content(content, f"{path}.content.{index}")
            for index, content in enumerate(message.content)
        ]
    found = marks.leftovers(raw, types.MessageItem)
    if mark := item_mark(message):
        found[marks.ITEM] = mark
    return Message(
        role=message.role,  # type: ignore[arg-type]
        parts=parts,
        extensions=marks.extensions(found),
    )


def _tool_message(raw: types.Object, path: str) -> Message:
    output = marks.convert(raw, types.ToolOutput, path)
    content: list[Text | Media | Opaque] = []
    if isinstance(output.output, str):
        content += [Text(text=output.output)] if output.output else []
    else:
        for at, value in enumerate(output.output):
            part = decode_content(value, f"{path}.output.{at}")
            content.append(Text(text=part.text) if isinstance(part, Refusal) else part)
    found = marks.leftovers(raw, types.ToolOutput)
    found[marks.ITEM] = item_mark(output)
    result = ToolResult(
        call_id=output.call_id or "",
        content=content,
        name=output.name,
        custom=output.type == "custom_tool_call_output",
        extensions=marks.extensions(found),
    )
    return Message(role="tool", parts=[result])


def _additional_tools(raw: types.Object, path: str, index: int) -> list[Tool]:
    item = marks.convert(raw, types.AdditionalTools, path)
    mark = {"at": index, "item": marks.leftovers(raw, types.AdditionalTools)}
    return decode_tools(item.tools, f"{path}.tools", **{marks.ADDITIONAL: mark})
