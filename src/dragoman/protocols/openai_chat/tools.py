"""Tools, the choice among them, and their calls, both ways."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Extensions, ToolCall, own_extensions
from dragoman.canonical.request import Request, Tool, ToolChoice
from dragoman.protocols.openai_chat.context import Context, merge_missing
from dragoman.protocols.openai_chat.parts import Sign, Wire, leftovers, need, take_cache
from dragoman.protocols.openai_chat.types import PROTOCOL_ID
from dragoman.protocols.openai_shared.custom_tools import function_parameters, wrap_input

_MODES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
"""``any`` is Mistral's word."""


def decode_tool(wire: Wire, path: str) -> Tool:
    """Read one of ``tools``; a type that is neither function nor custom is the provider's own."""
    kind = wire.get("type") or "function"
    if kind not in ("function", "custom"):
        return Tool(name=_hosted_name(wire, kind), kind="hosted", protocol=PROTOCOL_ID, config=wire)
    wire.pop("type", None)
    cache = take_cache(wire)
    inner = need(wire, kind, path)
    tool = (decode_function if kind == "function" else _decode_custom)(inner)
    tool.cache = cache
    if inner:
        wire[kind] = inner
    tool.extensions = leftovers(wire)
    return tool


def _hosted_name(wire: Wire, kind: str) -> str:
    """Moonshot's built-in tools share one type and differ by name (``$web_search``)."""
    function = wire.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else str(kind)


def decode_function(wire: Wire) -> Tool:
    """Take a function's definition out of ``wire`` (also one of the old ``functions``)."""
    return Tool(
        name=wire.pop("name"),
        description=wire.pop("description", None),
        parameters=wire.pop("parameters", None),
        strict=wire.pop("strict", None),
    )


def _decode_custom(wire: Wire) -> Tool:
    """Chat nests a grammar where Responses, and the canonical form, have it flat."""
    format = wire.pop("format", None)
    if isinstance(format, dict) and isinstance(format.get("grammar"), dict):
        format = {**{k: v for k, v in format.items() if k != "grammar"}, **format["grammar"]}
    return Tool(
        name=wire.pop("name"),
        kind="custom",
        description=wire.pop("description", None),
        format=format,
    )


def decode_choice(wire: Wire | str) -> ToolChoice | None:
    """Read ``tool_choice``; None if it is of no known form."""
    if isinstance(wire, str):
        mode = _MODES.get(wire)
        return ToolChoice(mode=mode) if mode else None  # type: ignore[arg-type]
    kind = wire.get("type", "function")
    if kind == "allowed_tools" and wire.get("allowed_tools"):
        allowed = wire["allowed_tools"]
        mode = _MODES.get(allowed.get("mode", "auto"), "auto")
        names = [_named(tool) for tool in allowed["tools"]]
        return ToolChoice(mode=mode, names=[n for n in names if n])  # type: ignore[arg-type]
    name = _named(wire)
    return ToolChoice(mode="tool", names=[name]) if name else None


def _named(wire: Wire) -> str | None:
    """The tool that ``{type, function | custom: {name}}`` names; a hosted one is its type."""
    kind = wire.get("type", "function")
    inner = wire.get(kind)
    name = inner.get("name") if isinstance(inner, dict) else None
    if isinstance(name, str):
        return name
    return kind if kind not in ("function", "custom", "allowed_tools") else None


def encode_tools(request: Request, body: Wire, context: Context) -> None:
    """Write ``tools``, ``tool_choice`` and ``parallel_tool_calls``."""
    choice, parallel = request.tool_choice, request.parallel_tool_calls
    if choice is not None and "tool_choice" in context.drops:
        if choice.mode == "none" and request.tools:
            context.notes.emulated("tool_choice", "no tools are sent, as none may be called")
            return
        if choice.mode == "auto" and not choice.names:
            choice = None  # what it means without a word
    tools = _within_choice(request, context)
    wire = [_encode_tool(tool, f"tools.{i}", context) for i, tool in tools]
    known = [tool for tool in wire if tool is not None]
    if known:
        body["tools"] = known
    # Both are refused upstream when there are no tools.
    for path, value in (("tool_choice", choice), ("parallel_tool_calls", parallel)):
        if value is not None and (path in context.drops or not known):
            context.notes.dropped(
                path, "refused by this provider" if known else "there are no tools"
            )
    if not known:
        return
    if choice is not None and "tool_choice" not in context.drops:
        _encode_choice(choice, request, body, context)
    if parallel is not None and "parallel_tool_calls" not in context.drops:
        body["parallel_tool_calls"] = parallel


def _within_choice(request: Request, context: Context) -> list[tuple[int, Tool]]:
    """The tools to send: all, or only the allowed ones where ``allowed_tools`` is not known."""
    numbered = list(enumerate(request.tools))
    choice = request.tool_choice
    if choice is None or choice.mode == "tool" or not choice.names or context.quirks.allowed_tools:
        return numbered
    for i, tool in numbered:
        if tool.name not in choice.names:
            context.notes.emulated(f"tools.{i}", "left out, as it is not among the allowed tools")
    return [(i, tool) for i, tool in numbered if tool.name in choice.names]


def _encode_tool(tool: Tool, path: str, context: Context) -> Wire | None:
    if tool.kind == "hosted":
        if tool.protocol == PROTOCOL_ID and isinstance(tool.config, dict):
            return tool.config
        context.notes.dropped(path, f"only {tool.protocol} runs this tool")
        return None
    custom = tool.kind == "custom" and context.quirks.custom_tools
    inner: Wire = {"name": tool.name}
    if tool.description is not None:
        inner["description"] = tool.description
    if custom:
        if tool.format is not None:
            inner["format"] = _nested_format(tool.format)
    elif tool.kind == "custom":
        inner["parameters"] = function_parameters(tool)
        context.notes.emulated(path, "a function with one text field")
    elif tool.parameters is not None:
        inner["parameters"] = tool.parameters
    if tool.strict is not None:
        if "strict" in context.drops:
            context.notes.dropped(f"{path}.strict", "this provider refuses it")
        else:
            inner["strict"] = tool.strict
    kind = "custom" if custom else "function"
    wire: Wire = {"type": kind, kind: inner}
    context.cache(wire, tool.cache, path)
    context.extend(wire, _fitting(tool.extensions, kind, path, context), path)
    return wire


def _fitting(
    extensions: Extensions | None, kind: str, path: str, context: Context
) -> Extensions | None:
    """Extensions without those inside ``custom`` where a function stands for a custom tool."""
    own = own_extensions(extensions, PROTOCOL_ID)
    if extensions is None or kind == "custom" or "custom" not in own:
        return extensions
    context.notes.dropped(f"{path}.custom", "a function stands for the custom tool")
    rest = {field: value for field, value in own.items() if field != "custom"}
    return {**extensions, PROTOCOL_ID: rest}


def _nested_format(format: Any) -> Any:
    if not isinstance(format, dict) or format.get("type") != "grammar" or "grammar" in format:
        return format
    return {"type": "grammar", "grammar": {k: v for k, v in format.items() if k != "type"}}


def _encode_choice(choice: ToolChoice, request: Request, body: Wire, context: Context) -> None:
    if choice.mode == "tool":
        by_name = {tool.name: tool for tool in request.tools}
        name = choice.names[0] if choice.names else ""
        reference = _reference(name, by_name.get(name), context)
        if reference is None:
            context.notes.dropped("tool_choice", "the tool is not one the upstream has")
        else:
            body["tool_choice"] = reference
    elif choice.names and context.quirks.allowed_tools:
        by_name = {tool.name: tool for tool in request.tools}
        references = [_reference(name, by_name.get(name), context) for name in choice.names]
        allowed = {"mode": choice.mode, "tools": [r for r in references if r is not None]}
        body["tool_choice"] = {"type": "allowed_tools", "allowed_tools": allowed}
    else:
        body["tool_choice"] = choice.mode
        if choice.names:
            context.notes.emulated("tool_choice", "only the allowed tools are sent")


def _reference(name: str, tool: Tool | None, context: Context) -> Wire | None:
    if tool is not None and tool.kind == "hosted":
        return {"type": name} if tool.protocol == PROTOCOL_ID else None
    custom = tool is not None and tool.kind == "custom" and context.quirks.custom_tools
    kind = "custom" if custom else "function"
    return {"type": kind, kind: {"name": name}}


def made_up_id(response_id: str, created: int | None, choice: int) -> str:
    """How the ids of calls begin that a server sent without one: the same in a stream as in a whole
    answer, and another in every answer."""
    answer = f"{response_id}/{created}/{choice}"
    return f"call_{zlib.crc32(answer.encode()):08x}"


def decode_call(wire: Wire, path: str, call_id: str, sign: Sign) -> ToolCall:
    """Read one of ``tool_calls``; ``call_id`` stands in for an id that is missing.

    Google's compatible endpoint keeps a thought's signature in ``extra_content``
    (ai.google.dev/gemini-api/docs/thought-signatures).
    """
    custom = wire.get("custom")
    inner = custom if isinstance(custom, dict) else wire.get("function")
    if not isinstance(inner, dict):
        raise InvalidRequest(f"Missing '{path}.function'.", param=f"{path}.function")
    call = ToolCall(
        id=wire.pop("id", None) or call_id,
        name=inner.pop("name", None) or "",
        arguments=arguments_text(inner.pop("input" if inner is custom else "arguments", None)),
        custom=inner is custom,
        cache=take_cache(wire),
    )
    signature = take_thought_signature(wire)
    if signature is not None:
        call.signature = sign(signature)
    for field in ("type", "index"):
        wire.pop(field, None)
    for field in ("function", "custom"):
        if not wire.get(field):
            wire.pop(field, None)
    call.extensions = leftovers(wire)
    return call


def arguments_text(arguments: Any) -> str:
    """Arguments as JSON text; some servers send the object itself."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()


def take_thought_signature(wire: Wire) -> str | None:
    """Take ``extra_content.google.thought_signature`` out of a tool call."""
    extra = wire.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    if not isinstance(extra, dict) or not isinstance(google, dict):
        return None
    signature = google.pop("thought_signature", None)
    if not google:
        del extra["google"]
    if not extra:
        del wire["extra_content"]
    return signature if isinstance(signature, str) and signature else None


def thought_signature(signature: str) -> Wire:
    """The ``extra_content`` that holds a signature."""
    return {"google": {"thought_signature": signature}}


def call_wire(call: ToolCall, signature: str | None) -> Wire:
    """One of ``tool_calls``, with this protocol's own extensions."""
    kind, text = ("custom", "input") if call.custom else ("function", "arguments")
    wire: Wire = {"id": call.id, "type": kind, kind: {"name": call.name, text: call.arguments}}
    if signature is not None:
        wire["extra_content"] = thought_signature(signature)
    merge_missing(wire, own_extensions(call.extensions, PROTOCOL_ID))
    return wire


def encode_call(call: ToolCall, path: str, context: Context) -> Wire:
    """A tool call of an earlier answer, for the upstream."""
    sent = call
    if call.custom and not context.quirks.custom_tools:
        context.notes.emulated(path, "a function call with one text field")
        sent = msgspec.structs.replace(
            call,
            custom=False,
            arguments=wrap_input(call.arguments),
            extensions=_fitting(call.extensions, "function", path, context),
        )
    elif not call.arguments and not call.custom:
        # Servers that parse the arguments of earlier calls fail on an empty text.
        sent = msgspec.structs.replace(call, arguments="{}")
    wire = call_wire(sent, context.signature(call.signature, path))
    wire["id"] = context.call_id(call.id)
    context.cache(wire, call.cache, path)
    context.notes.foreign(path, call.extensions, PROTOCOL_ID)
    return wire
