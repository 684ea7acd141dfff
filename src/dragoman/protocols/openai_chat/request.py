"""A client's request: parsed, then made canonical."""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Extensions
from dragoman.canonical.request import (
    OutputFormat,
    Request,
    Settings,
    StreamOptions,
    Tool,
    ToolChoice,
)
from dragoman.protocols.base import Parsed, Target
from dragoman.protocols.openai_chat.messages import MessageReader
from dragoman.protocols.openai_chat.parts import Wire, leftovers, take_cache
from dragoman.protocols.openai_chat.reasoning import decode_config
from dragoman.protocols.openai_chat.tools import decode_choice, decode_function, decode_tool
from dragoman.protocols.openai_chat.types import PROTOCOL_ID, ChatRequest
from dragoman.protocols.wire_json import read_client

_REQUEST = msgspec.json.Decoder(ChatRequest)
_ANY = msgspec.json.Decoder()

SETTINGS = (
    "temperature",
    "top_p",
    "top_k",
    "n",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "modalities",
    "verbosity",
    "service_tier",
    "user",
    "metadata",
    "store",
)
"""Settings that have the same name and form on the wire."""


def parse_request(body: bytes, target: Target) -> Parsed:
    """Validate the body and read what routing needs. Raises InvalidRequest."""
    wire = read_client(body, _REQUEST)
    model = target.model or wire.model
    if not model:
        raise InvalidRequest("You must provide a model.", param="model")
    if not wire.messages:
        raise InvalidRequest("'messages' must not be empty.", param="messages")
    limit = wire.max_completion_tokens
    return Parsed(
        body=body,
        wire=wire,
        model=model,
        stream=bool(wire.stream),
        include_usage=bool(wire.stream_options and wire.stream_options.include_usage),
        max_output_tokens=wire.max_tokens if limit is None else limit,
        answers=wire.n or 1,
        target=target,
        session=wire.prompt_cache_key or "",
    )


def decode_request(parsed: Parsed) -> Request:
    """Make a parsed request canonical. Raises InvalidRequest for what only a closer look shows."""
    body: Wire = read_client(parsed.body, _ANY)
    reader = MessageReader()
    body.pop("model", None)
    body.pop("stream", None)
    messages = [
        reader.read(message, f"messages.{i}") for i, message in enumerate(body.pop("messages"))
    ]
    tools, choice, legacy = _tools(body)
    reasoning, style = decode_config(body)
    request = Request(
        model=parsed.model,
        messages=messages,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=body.pop("parallel_tool_calls", None),
        settings=_settings(body),
        output=_output(body),
        reasoning=reasoning,
        stream=parsed.stream,
        stream_options=_stream_options(body),
        cache=take_cache(body),
    )
    own = (leftovers(body) or {}).get(PROTOCOL_ID, {})
    # Names with an underscore are this codec's memory, which other protocols neither see nor miss.
    if style is not None and reasoning is not None:
        own["_reasoning_style"] = style
    if legacy:
        own["_functions"] = True
    if own:
        request.extensions = {PROTOCOL_ID: own}
    return request


def uses_functions(extensions: Extensions | None) -> bool:
    """Whether the client spoke the old ``functions`` form and expects ``function_call`` back."""
    return bool(extensions and extensions.get(PROTOCOL_ID, {}).get("_functions"))


def _settings(body: Wire) -> Settings:
    older, limit = body.pop("max_tokens", None), body.pop("max_completion_tokens", None)
    stop = body.pop("stop", None)
    values: dict[str, Any] = {name: body.pop(name, None) for name in SETTINGS}
    return Settings(
        max_output_tokens=older if limit is None else limit,
        stop=[stop] if isinstance(stop, str) else stop or None,
        **values,
    )


def _tools(body: Wire) -> tuple[list[Tool], ToolChoice | None, bool]:
    """(tools, choice, whether in the old form). A choice of no known form stays in ``body``."""
    functions = body.pop("functions", None) or []
    tools = [
        decode_tool(tool, f"tools.{i}") for i, tool in enumerate(body.pop("tools", None) or ())
    ]
    for wire in functions:
        tool = decode_function(wire)
        tool.extensions = {PROTOCOL_ID: {"function": wire}} if wire else None
        tools.append(tool)
    called = body.pop("function_call", None)
    wire_choice = body.get("tool_choice")
    choice = decode_choice(wire_choice) if wire_choice is not None else None
    if choice is not None:
        del body["tool_choice"]
    elif isinstance(called, dict):
        choice = ToolChoice(mode="tool", names=[called["name"]])
    elif called is not None:
        choice = decode_choice(called)
    return tools, choice, bool(functions)


def _output(body: Wire) -> OutputFormat | None:
    format = body.get("response_format")
    if format is None or format["type"] not in ("text", "json_object", "json_schema"):
        return None
    schema: Wire = format.get("json_schema") or {}
    output = OutputFormat(
        kind=format.pop("type"),
        name=schema.pop("name", None),
        description=schema.pop("description", None),
        schema=schema.pop("schema", None),
        strict=schema.pop("strict", None),
    )
    if not schema:
        format.pop("json_schema", None)
    if not format:
        del body["response_format"]
    return output


def _stream_options(body: Wire) -> StreamOptions:
    options = body.get("stream_options")
    if options is None:
        return StreamOptions()
    include_usage = bool(options.pop("include_usage", None))
    if not options:
        del body["stream_options"]
    return StreamOptions(include_usage=include_usage)
