"""Tools and the choice among them, both ways.

Namespaces (``{"type": "namespace", "name", "tools"}``) group functions under a common name; other
protocols have none, so their tools are told apart by a joined name, and calls find their namespace
again through the request's tools. Source: ``openai.types.responses.tool_param``,
``namespace_tool_param``, ``tool_choice_allowed_param``; OpenAI's guide on function calling (functions
are strict by default here, and are not in the other APIs).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import Json
from dragoman.canonical.request import Tool, ToolChoice
from dragoman.protocols.openai_responses import marks, types
from dragoman.protocols.openai_responses.content import note_cache

MAX_NAME = 64
_KINDS: dict[str, type[msgspec.Struct]] = {
    "function": types.FunctionTool,
    "custom": types.CustomTool,
    "namespace": types.NamespaceTool,
}
_ODD = re.compile(r"[^a-zA-Z0-9_-]")


def joined_name(namespace: str | None, name: str) -> str:
    """The name of a namespaced tool among all tools: at most 64 characters of ``[a-zA-Z0-9_-]``,
    as the strictest vendors want it."""
    # A deferred top-level function comes back with its own name as its namespace.
    if not namespace or namespace == name:
        return name
    glue = "" if namespace.endswith("__") else "__"
    joined = _ODD.sub("_", f"{namespace}{glue}{name}")
    if len(joined) > MAX_NAME:
        digest = hashlib.blake2s(joined.encode(), digest_size=4).hexdigest()
        joined = f"{joined[: MAX_NAME - 9]}_{digest}"
    return joined


def decode_tools(raws: Iterable[types.Object], path: str, **shared: Json) -> list[Tool]:
    """Read a list of tools; ``shared`` are marks that all of them get. Raises InvalidRequest."""
    tools: list[Tool] = []
    for index, raw in enumerate(raws):
        where = f"{path}.{index}"
        if raw.get("type") == "namespace":
            tools += _decode_namespace(raw, where, shared)
        else:
            tools.append(_decode_tool(raw, where, dict(shared)))
    return tools


def check_tools(raws: Iterable[types.Object], path: str) -> None:
    """Judge a list of tools without building anything. Raises InvalidRequest."""
    for index, raw in enumerate(raws):
        where = f"{path}.{index}"
        kind = raw.get("type")
        if not kind or not isinstance(kind, str):
            raise InvalidRequest("A tool names its type.", param=f"{where}.type")
        struct = _KINDS.get(kind)
        if struct is not None:
            marks.convert(raw, struct, where)
        if kind == "namespace":
            check_tools(raw["tools"], f"{where}.tools")


def _decode_tool(raw: types.Object, path: str, found: dict[str, Json]) -> Tool:
    match raw.get("type"):
        case "function":
            function = marks.convert(raw, types.FunctionTool, path)
            return Tool(
                name=function.name,
                description=function.description,
                parameters=function.parameters,
                strict=function.strict,
                extensions=marks.extensions(marks.leftovers(raw, types.FunctionTool) | found),
            )
        case "custom":
            custom = marks.convert(raw, types.CustomTool, path)
            return Tool(
                name=custom.name,
                kind="custom",
                description=custom.description,
                format=custom.format,
                extensions=marks.extensions(marks.leftovers(raw, types.CustomTool) | found),
            )
        case str(kind) if kind:
            name = raw.get("name")
            return Tool(
                name=name if isinstance(name, str) else kind,
                kind="hosted",
                protocol=marks.ID,
                config=raw,
                extensions=marks.extensions(found),
            )
        case _:
            raise InvalidRequest("A tool names its type.", param=f"{path}.type")


def _decode_namespace(raw: types.Object, path: str, shared: dict[str, Json]) -> list[Tool]:
    namespace = marks.convert(raw, types.NamespaceTool, path)
    if not namespace.tools:
        return [
            Tool(
                name=namespace.name,
                kind="hosted",
                protocol=marks.ID,
                config=raw,
                extensions=marks.extensions(dict(shared)),
            )
        ]
    tools: list[Tool] = []
    for index, nested in enumerate(namespace.tools):
        found: dict[str, Json] = dict(shared)
        if not tools:
            found[marks.GROUP_START] = True
            if group := marks.leftovers(raw, types.NamespaceTool):
                found[marks.GROUP] = group
        tool = _decode_tool(nested, f"{path}.tools.{index}", found)
        tool.extensions = marks.extensions(
            marks.own(tool.extensions) | {marks.NAMESPACE: [namespace.name, tool.name]}
        )
        tool.name = joined_name(namespace.name, tool.name)
        tools.append(tool)
    return tools


class ToolEncoder:
    """Writes tools. ``native``: they were decoded from this protocol, so nothing is filled in."""

    def __init__(self, notes: Notes, *, native: bool) -> None:
        self._notes = notes
        self._native = native

    def encode(self, tools: Iterable[tuple[int, Tool]]) -> list[dict[str, Any]]:
        """``tools`` with their place in the request; namespaced neighbours share one group again."""
        found: list[dict[str, Any]] = []
        group: str | None = None
        for index, tool in tools:
            encoded = self._encode(tool, f"tools.{index}")
            if encoded is None:
                continue
            mine = marks.own(tool.extensions)
            namespace = mine.get(marks.NAMESPACE)
            if namespace is None:
                group = None
                found.append(encoded)
                continue
            if namespace[0] != group or marks.GROUP_START in mine:
                group = namespace[0]
                head = {"type": "namespace", "name": group, **mine.get(marks.GROUP, {})}
                found.append({**head, "tools": []})
            found[-1]["tools"].append(encoded)
        return found

    def _encode(self, tool: Tool, path: str) -> dict[str, Any] | None:
        self._notes.foreign(path, tool.extensions, marks.ID)
        if tool.cache is not None:
            note_cache(self._notes, path)
        if tool.kind == "hosted":
            if tool.protocol == marks.ID:
                return dict(tool.config)
            self._notes.dropped(path, f"only {tool.protocol} can run it")
            return None
        name = marks.own(tool.extensions).get(marks.NAMESPACE, ("", tool.name))[1]
        encoded: dict[str, Any] = {"type": tool.kind, "name": name}
        if tool.description is not None:
            encoded["description"] = tool.description
        if tool.kind == "custom":
            if tool.format is not None:
                encoded["format"] = tool.format
        else:
            self._function(tool, encoded)
        return encoded | marks.fields(tool.extensions)

    def _function(self, tool: Tool, encoded: dict[str, Any]) -> None:
        parameters, strict = tool.parameters, tool.strict
        if not self._native:
            # Unsaid, the API would take strict for true and refuse most schemas written elsewhere.
            strict = strict or False
            if parameters is None:
                parameters = {"type": "object", "properties": {}}
        if parameters is not None:
            encoded["parameters"] = parameters
        if strict is not None:
            encoded["strict"] = strict


class CallName(msgspec.Struct, frozen=True):
    """What a tool is called on this wire."""

    name: str
    namespace: str | None = None
    custom: bool = False


def call_names(tools: Iterable[Tool]) -> dict[str, CallName]:
    """Canonical name → name on this wire."""
    names: dict[str, CallName] = {}
    for tool in tools:
        namespace, name = marks.own(tool.extensions).get(marks.NAMESPACE, (None, tool.name))
        names.setdefault(tool.name, CallName(name, namespace, tool.kind == "custom"))
    return names


def decode_choice(value: str | types.Object, tools: list[Tool]) -> ToolChoice | None:
    """Read ``tool_choice``; None if the canonical form cannot hold it."""
    match value:
        case "auto" | "none" | "required":
            return ToolChoice(mode=value)
        case {"type": "function" | "custom", "name": str(name), **rest} if not rest:
            return ToolChoice(mode="tool", names=[_resolve(name, tools)])
        case {"type": "allowed_tools", "mode": "auto" | "required" as mode, "tools": list(allowed)}:
            names = [_allowed_name(entry) for entry in allowed]
            if names and len(value) == 3 and None not in names:
                resolved = [_resolve(name, tools) for name in names if name is not None]
                return ToolChoice(mode=mode, names=resolved)
    return None


def _allowed_name(entry: Any) -> str | None:
    match entry:
        case {"type": "function" | "custom", "name": str(name), **rest} if not rest:
            return name
    return None


def _resolve(name: str, tools: list[Tool]) -> str:
    """The canonical name of the tool that the wire calls ``name``; namespaces are not named here."""
    if any(tool.name == name for tool in tools):
        return name
    for tool in tools:
        namespace = marks.own(tool.extensions).get(marks.NAMESPACE)
        if namespace is not None and namespace[1] == name:
            return tool.name
    return name


def encode_choice(choice: ToolChoice, names: dict[str, CallName]) -> str | dict[str, Any]:
    """Write ``tool_choice``."""
    wire = [names.get(name, CallName(name)) for name in choice.names]
    entries = [{"type": "custom" if n.custom else "function", "name": n.name} for n in wire]
    if choice.mode == "tool":
        return entries[0] if entries else "required"
    if entries and choice.mode != "none":
        return {"type": "allowed_tools", "mode": choice.mode, "tools": entries}
    return choice.mode
