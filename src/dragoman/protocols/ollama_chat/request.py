"""A client's ``/api/chat`` request: read it, turn it into the canonical one, or pass it on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast, get_args

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Media, Part, Reasoning, Text, ToolCall, ToolResult
from dragoman.canonical.request import (
    Message,
    OutputFormat,
    ReasoningConfig,
    Request,
    Role,
    Settings,
    StreamOptions,
)
from dragoman.canonical.request import Tool as CanonicalTool
from dragoman.protocols.base import Encoded, ModelProfile, Parsed, Target
from dragoman.protocols.ollama_chat.types import (
    PROTOCOL_ID,
    SETTINGS_BY_OPTION,
    ChatMessage,
    ChatRequest,
    Options,
    Tool,
    arguments_text,
    as_extensions,
    image_type,
    leftovers,
)
from dragoman.protocols.wire_json import read_client

_request = msgspec.json.Decoder(ChatRequest)
_object = msgspec.json.Decoder(dict[str, Any])
_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])

_ROLES = frozenset(get_args(Role))
_SYNONYMS = {"developer": "system"}  # Ollama's templates do not know the younger name
_TURN_FIELDS = frozenset({"role", "content", "thinking", "images", "tool_calls"})
_RESULT_FIELDS = frozenset({"role", "content", "images", "tool_name", "tool_call_id"})
_ARGUMENT_STARTS = frozenset(b'{"n')  # an object, a string, null


def parse_request(body: bytes, target: Target) -> Parsed:
    """Validate a client's body. Raises InvalidRequest naming the field at fault."""
    wire = read_client(body, _request)
    if not wire.model:
        raise InvalidRequest("A model is required.", param="model")
    if not wire.messages:
        raise InvalidRequest("'messages' must hold at least one message.", param="messages")
    for index, message in enumerate(wire.messages):
        for number, call in enumerate(message.tool_calls or ()):
            if bytes(call.function.arguments)[0] not in _ARGUMENT_STARTS:
                raise InvalidRequest(
                    "Expected `object`.",
                    param=f"messages.{index}.tool_calls.{number}.function.arguments",
                )
    limit = wire.options.num_predict if wire.options else None
    return Parsed(
        body=body,
        wire=wire,
        model=wire.model,
        stream=wire.stream is not False,
        include_usage=True,
        max_output_tokens=limit if limit is not None and limit > 0 else None,
        target=target,
    )


def repeat_request(parsed: Parsed, profile: ModelProfile) -> Encoded:
    """The client's own bytes with the upstream's name for the model."""
    if not profile.model or profile.model == parsed.model:
        return Encoded(body=parsed.body)
    fields = read_client(parsed.body, _raw_fields)
    fields["model"] = msgspec.Raw(msgspec.json.encode(profile.model))
    return Encoded(body=msgspec.json.encode(fields))


def decode_request(parsed: Parsed) -> Request:
    """The canonical form. Raises InvalidRequest for what ``parse_request`` does not look at (unknown
    fields that are no valid JSON values)."""
    wire = cast(ChatRequest, parsed.wire)
    raw = read_client(parsed.body, _object)
    extra = leftovers(raw, ChatRequest.__struct_fields__)
    if options := _other_options(raw.get("options") or {}, wire.options):
        extra["options"] = options
    if isinstance(wire.think, str):
        extra["think"] = wire.think  # the exact name: which ones there are is up to the model
    output = _output(wire.format)
    if output is None and wire.format:
        extra["format"] = wire.format
    return Request(
        model=wire.model,
        messages=list(_messages(wire.messages, raw["messages"])),
        tools=[
            _tool(tool, value)
            for tool, value in zip(wire.tools or [], raw.get("tools") or [], strict=True)
        ],
        settings=_settings(wire),
        output=output,
        reasoning=_reasoning(wire.think),
        stream=parsed.stream,
        stream_options=StreamOptions(include_usage=True, framing="ndjson"),
        extensions=as_extensions(extra),
    )


def _other_options(options: dict[str, Any], typed: Options | None) -> dict[str, Any]:
    extra = {k: v for k, v in leftovers(options, SETTINGS_BY_OPTION).items() if v is not None}
    if typed is not None and typed.num_predict is not None and typed.num_predict <= 0:
        extra["num_predict"] = typed.num_predict  # -1 no limit, -2 fill the context
    return extra


def _settings(wire: ChatRequest) -> Settings:
    settings = Settings(logprobs=wire.logprobs, top_logprobs=wire.top_logprobs)
    if wire.options is None:
        return settings
    for option, field in SETTINGS_BY_OPTION.items():
        setattr(settings, field, getattr(wire.options, option))
    if isinstance(wire.options.stop, str):
        settings.stop = [wire.options.stop]
    if settings.max_output_tokens is not None and settings.max_output_tokens <= 0:
        settings.max_output_tokens = None
    return settings


def _output(format: str | dict[str, Any] | None) -> OutputFormat | None:
    if format == "json":
        return OutputFormat(kind="json_object")
    if isinstance(format, dict):
        return OutputFormat(kind="json_schema", schema=format)
    return None


def _reasoning(think: bool | str | None) -> ReasoningConfig | None:
    if think is None:
        return None
    if think is False:
        return ReasoningConfig(mode="off", visible=False)
    return ReasoningConfig(mode="on", effort=None if think is True else think, visible=True)


def _tool(tool: Tool, raw: dict[str, Any]) -> CanonicalTool:
    function = tool.function
    if tool.type != "function" or function is None:
        return CanonicalTool(name=tool.type, kind="hosted", protocol=PROTOCOL_ID, config=raw)
    extra = leftovers(raw, ("type", "function"))
    if inner := leftovers(raw["function"], ("name", "description", "parameters")):
        extra["function"] = inner
    return CanonicalTool(
        name=function.name,
        description=function.description,
        parameters=function.parameters,
        extensions=as_extensions(extra),
    )


class _Calls:
    """The calls that still wait for their results, so that results without an id find theirs."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._waiting: list[str] = []

    def called(self, id: str, name: str) -> None:
        self._names[id] = name
        self._waiting.append(id)

    def answered(self, id: str | None, name: str | None, fallback: str) -> tuple[str, str | None]:
        """(id, name) of the call that a result belongs to: the one it names, else the oldest open
        one of that tool, else the oldest open one if the result names no tool."""
        if not id:
            candidates = (c for c in self._waiting if not name or self._names[c] == name)
            id = next(candidates, fallback)
        if id in self._waiting:
            self._waiting.remove(id)
        return id, name or self._names.get(id)


def _messages(wire: list[ChatMessage], raw: list[dict[str, Any]]) -> Iterator[Message]:
    calls = _Calls()
    for index, (message, value) in enumerate(zip(wire, raw, strict=True)):
        role = message.role.lower()
        role = _SYNONYMS.get(role, role)
        if role == "tool":
            extra = leftovers(value, _RESULT_FIELDS)
            parts: list[Part] = [_result(message, index, calls)]
        else:
            extra = leftovers(value, _TURN_FIELDS)
            parts = list(_turn(message, value, index, calls))
        if role not in _ROLES:
            extra["role"] = message.role
            role = "user"
        yield Message(role=cast(Role, role), parts=parts, extensions=as_extensions(extra))


def _result(message: ChatMessage, index: int, calls: _Calls) -> ToolResult:
    id, name = calls.answered(message.tool_call_id, message.tool_name, f"call_{index}_result")
    content = [Text(text=message.content)] if message.content else []
    return ToolResult(call_id=id, name=name, content=[*content, *_images(message)])


def _turn(message: ChatMessage, raw: dict[str, Any], index: int, calls: _Calls) -> Iterator[Part]:
    if message.thinking:
        yield Reasoning(text=message.thinking)
    if message.content:
        yield Text(text=message.content)
    yield from _images(message)
    for number, (call, value) in enumerate(
        zip(message.tool_calls or [], raw.get("tool_calls") or [], strict=True)
    ):
        id = call.id or f"call_{index}_{number}"
        calls.called(id, call.function.name)
        extra = leftovers(value, ("id", "type", "function"))
        if inner := leftovers(value["function"], ("name", "arguments", "index")):
            extra["function"] = inner
        yield ToolCall(
            id=id,
            name=call.function.name,
            arguments=arguments_text(call.function.arguments),
            extensions=as_extensions(extra),
        )


def _images(message: ChatMessage) -> Iterator[Media]:
    for data in message.images or ():
        yield Media(kind="image", media_type=image_type(data), data=data)
