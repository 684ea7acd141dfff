"""Tools and the choice among them, both ways.

Source: ``anthropic.types.tool_param``, ``tool_union_param`` and ``tool_choice_param``. A tool with a
versioned ``type`` (``web_search_20260318``, ``bash_20250124``, ``mcp_toolset`` …) is hosted: its
meaning lies with the vendor, and no other protocol can offer it.
"""

from __future__ import annotations

from typing import Any

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import Json, own_extensions
from dragoman.canonical.request import Request, Tool, ToolChoice
from dragoman.protocols.anthropic_messages.blocks import JSON, decode_cache, own
from dragoman.protocols.anthropic_messages.names import MAX_TOOL_NAME, Renamer
from dragoman.protocols.anthropic_messages.parts import CUSTOM_INPUT, PartEncoder, cache_control
from dragoman.protocols.anthropic_messages.schema import closed_schema, object_schema
from dragoman.protocols.anthropic_messages.types import PROTOCOL_ID, ToolIn, field_names, leftovers
from dragoman.protocols.base import ModelProfile

_TOOL = field_names(ToolIn)
_CHOICE = frozenset({"type", "name", "disable_parallel_tool_use"})
_CHOICE_NONE = frozenset({"type"})

_MODE_OF_TYPE: dict[str, Any] = {"auto": "auto", "any": "required", "none": "none", "tool": "tool"}
_TYPE_OF_MODE = {mode: word for word, mode in _MODE_OF_TYPE.items()}


def decode_tool(tool: dict[str, Any], path: str) -> Tool:
    """One entry of ``tools``; raises InvalidRequest for a function without a name."""
    kind = tool.get("type")
    cache = decode_cache(tool.get("cache_control"))
    if kind not in (None, "custom"):
        config = {field: value for field, value in tool.items() if field != "cache_control"}
        return Tool(
            name=tool.get("name") or kind,
            kind="hosted",
            protocol=PROTOCOL_ID,
            config=config,
            cache=cache,
        )
    if not tool.get("name"):
        raise InvalidRequest("A tool needs a name.", param=f"{path}.name")
    return Tool(
        name=tool["name"],
        description=tool.get("description"),
        parameters=tool.get("input_schema"),
        strict=tool.get("strict"),
        cache=cache,
        extensions=own(leftovers(tool, _TOOL)),
    )


def decode_tool_choice(
    choice: dict[str, Any] | None,
) -> tuple[ToolChoice | None, bool | None, dict[str, Json]]:
    """``tool_choice`` → (choice, parallel_tool_calls, what is left over)."""
    if choice is None:
        return None, None, {}
    mode = _MODE_OF_TYPE.get(choice["type"])
    if mode is None:
        return None, None, choice
    if mode == "none":
        return ToolChoice(mode=mode), None, leftovers(choice, _CHOICE_NONE)
    single = choice.get("disable_parallel_tool_use")
    names = [choice["name"]] if mode == "tool" and choice.get("name") else []
    return (
        ToolChoice(mode=mode, names=names),
        None if single is None else not single,
        leftovers(choice, _CHOICE),
    )


def tool_names(request: Request) -> Renamer:
    """The renamer of one request's tool names, which keeps legal names as they are."""
    return Renamer((tool.name for tool in request.tools), limit=MAX_TOOL_NAME)


def encode_tools(
    request: Request, profile: ModelProfile, encoder: PartEncoder, notes: Notes
) -> list[dict[str, Any]]:
    """``tools``, without those that another protocol hosts or the choice excludes."""
    choice = request.tool_choice
    allowed = None
    if choice is not None and choice.mode != "tool" and choice.names:
        allowed = frozenset(choice.names)
    tools: list[dict[str, Any]] = []
    for index, tool in enumerate(request.tools):
        path = f"tools.{index}"
        notes.foreign(path, tool.extensions, PROTOCOL_ID)
        if allowed is not None and tool.name not in allowed:
            notes.emulated(path, "left out, as the choice of tools excludes it")
            continue
        block = _encode_tool(tool, path, profile, encoder, notes)
        if block is None:
            continue
        if tool.cache is not None:
            block["cache_control"] = cache_control(tool.cache)
        block.update(own_extensions(tool.extensions, PROTOCOL_ID))
        tools.append(block)
    return tools


def _encode_tool(
    tool: Tool, path: str, profile: ModelProfile, encoder: PartEncoder, notes: Notes
) -> dict[str, Any] | None:
    if tool.kind == "hosted":
        if tool.protocol == PROTOCOL_ID and isinstance(tool.config, dict):
            return dict(tool.config)
        notes.dropped(path, f"hosted by {tool.protocol}")
        return None
    block: dict[str, Any] = {"name": encoder.tool_name(tool.name, path)}
    if tool.description is not None:
        block["description"] = tool.description
    if tool.kind == "custom":
        notes.emulated(path, "a function of one text")
        block["input_schema"] = _custom_schema(tool)
        return block
    schema, loosened = object_schema(tool.parameters)
    if loosened:
        notes.emulated(f"{path}.parameters", "alternatives are not accepted at the top")
    if tool.strict is not None:
        if profile.quirks.get("strict_tools", True):
            block["strict"] = tool.strict
        elif tool.strict:
            notes.dropped(f"{path}.strict", "the model does not check arguments")
        else:
            notes.renamed(f"{path}.strict", "arguments are never checked")
    if block.get("strict"):
        closed, lost = closed_schema(schema)
        if lost:
            notes.clamped(f"{path}.parameters", f"only advice now: {', '.join(lost)}")
        elif closed != schema:
            notes.renamed(f"{path}.parameters", "in the words the grammar knows")
        schema = closed
    block["input_schema"] = schema
    return block


def _custom_schema(tool: Tool) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string"}
    if isinstance(tool.format, dict) and tool.format.get("type") != "text":
        text["description"] = f"Must follow this format: {JSON.encode(tool.format).decode()}"
    return {
        "type": "object",
        "properties": {CUSTOM_INPUT: text},
        "required": [CUSTOM_INPUT],
        "additionalProperties": False,
    }


def encode_tool_choice(
    request: Request,
    profile: ModelProfile,
    *,
    has_tools: bool,
    thinking: bool,
    encoder: PartEncoder,
    notes: Notes,
) -> dict[str, Any] | None:
    """``tool_choice``, or None. With ``thinking`` on a call cannot be demanded."""
    choice, parallel = request.tool_choice, request.parallel_tool_calls
    if choice is not None and "tool_choice" in profile.drops:
        notes.dropped("tool_choice", "the provider refuses it")
        choice = None
    if parallel is not None and "parallel_tool_calls" in profile.drops:
        notes.dropped("parallel_tool_calls", "the provider refuses it")
        parallel = None
    if not has_tools:
        if choice is not None and choice.mode != "none":
            notes.clamped("tool_choice", "there are no tools to choose from")
        elif choice is not None:
            notes.renamed("tool_choice", "there are no tools to choose from")
        if parallel is not None:
            notes.renamed("parallel_tool_calls", "there are no tools to call")
        return None
    wire = {} if choice is None else _mode(choice, thinking, encoder, notes)
    if parallel is not None:
        if wire.get("type") == "none":
            notes.renamed("parallel_tool_calls", "no tool is called")
        else:
            wire = {"type": "auto", **wire, "disable_parallel_tool_use": not parallel}
    return wire or None


def _mode(choice: ToolChoice, thinking: bool, encoder: PartEncoder, notes: Notes) -> dict[str, Any]:
    if choice.mode != "tool" and choice.names:
        notes.emulated("tool_choice.names", "only these tools are sent")
    if thinking and choice.mode in ("required", "tool"):
        notes.emulated("tool_choice", "a call cannot be demanded while thinking")
        return {"type": "auto"}
    if choice.mode == "tool" and choice.names:
        return {"type": "tool", "name": encoder.tool_name(choice.names[0], "tool_choice")}
    return {"type": _TYPE_OF_MODE[choice.mode] if choice.mode != "tool" else "any"}
