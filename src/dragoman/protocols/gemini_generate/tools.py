"""Tools and the choice among them, both ways."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Literal

from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import Json, own_extensions, set_extension
from dragoman.canonical.request import Request, Tool, ToolChoice
from dragoman.protocols.base import ModelProfile
from dragoman.protocols.gemini_generate import types
from dragoman.protocols.gemini_generate.openapi import from_openapi
from dragoman.protocols.gemini_generate.parts import CUSTOM_INPUT, own_fields
from dragoman.protocols.gemini_generate.reading import rest
from dragoman.protocols.gemini_generate.schema import to_openapi
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID, several

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_.:-]")
_ORIGINAL = "_parameters"  # bookkeeping: the client wrote OpenAPI; parameters is its translation
_MODES: dict[str, Literal["auto", "required", "none"]] = {
    "AUTO": "auto",
    "ANY": "required",
    "NONE": "none",
    "VALIDATED": "auto",
}


def safe_name(name: str) -> str:
    """``name`` if Gemini takes it, else the nearest that it does; always the same for the same name."""
    if _NAME.fullmatch(name):
        return name
    clean = _NOT_IN_NAMES.sub("_", name)
    if not clean[:1].isalpha():
        clean = f"_{clean}"
    digest = hashlib.blake2s(name.encode(), digest_size=4).hexdigest()
    return f"{clean[:119]}_{digest}"


def read_tools(tools: list[types.Tool] | types.Tool | None) -> list[Tool]:
    """The wire's tools, one canonical tool per declaration or hosted tool."""
    found: list[Tool] = []
    for tool in several(tools):
        found += [_read_declaration(one) for one in several(tool.function_declarations)]
        for name, config in rest(tool, frozenset(("function_declarations",))).items():
            found.append(
                Tool(name=name, kind="hosted", protocol=PROTOCOL_ID, config={name: config})
            )
    return found


def _read_declaration(declaration: types.FunctionDeclaration) -> Tool:
    used = frozenset(("name", "description", "parameters", "parameters_json_schema"))
    left = rest(declaration, used)
    extensions = {PROTOCOL_ID: left} if left else None
    parameters = declaration.parameters_json_schema
    if parameters is None and declaration.parameters is not None:
        parameters = from_openapi(declaration.parameters)
        extensions = set_extension(extensions, PROTOCOL_ID, _ORIGINAL, declaration.parameters)
    return Tool(
        name=declaration.name,
        description=declaration.description,
        parameters=parameters,
        extensions=extensions,
    )


def write_tools(request: Request, profile: ModelProfile, notes: Notes) -> list[dict[str, Json]]:
    """The wire's tools: neighbouring functions share one object, as Vertex AI demands."""
    tools: list[dict[str, Json]] = []
    declarations: list[dict[str, Json]] = []
    declared: set[str] = set()
    for index, tool in enumerate(request.tools):
        path = f"tools.{index}"
        notes.foreign(path, tool.extensions, PROTOCOL_ID)
        if tool.cache is not None:
            notes.dropped(f"{path}.cache", "Gemini caches by itself")
        if tool.kind == "hosted":
            if tool.protocol == PROTOCOL_ID and isinstance(tool.config, dict):
                tools.append(tool.config)
                declarations = []
            else:
                notes.dropped(path, f"hosted by {tool.protocol or 'another provider'}")
            continue
        if safe_name(tool.name) in declared:
            notes.dropped(path, "a second tool of that name is refused")
            continue
        declared.add(safe_name(tool.name))
        if not declarations:
            tools.append({"functionDeclarations": declarations})
        declarations.append(_write_function(tool, path, profile, notes))
    return tools


def _write_function(tool: Tool, path: str, profile: ModelProfile, notes: Notes) -> dict[str, Json]:
    name = safe_name(tool.name)
    if name != tool.name:
        notes.clamped(f"{path}.name", f"sent as {name}")
    declaration: dict[str, Json] = {"name": name}
    if tool.description is not None:
        declaration["description"] = tool.description
    own = own_extensions(tool.extensions, PROTOCOL_ID)
    parameters = tool.parameters
    if tool.kind == "custom":
        parameters = _custom_parameters(tool)
        notes.emulated(path, f"a function of one string, {CUSTOM_INPUT!r}")
    if _ORIGINAL in own:
        declaration["parameters"] = own[_ORIGINAL]
    elif parameters is not None:
        _write_parameters(declaration, parameters, path, profile, notes)
    if tool.strict:
        notes.dropped(f"{path}.strict", "Gemini does not bind calls to their schema")
    elif tool.strict is False:
        notes.renamed(f"{path}.strict", "as always here")
    declaration.update(own_fields(tool.extensions))
    return declaration


def _write_parameters(
    declaration: dict[str, Json],
    parameters: dict[str, Json],
    path: str,
    profile: ModelProfile,
    notes: Notes,
) -> None:
    if profile.quirks.get("json_schema", True):
        declaration["parametersJsonSchema"] = parameters
        return
    compiled, losses = to_openapi(parameters)
    if losses:
        notes.clamped(f"{path}.parameters", f"without {', '.join(losses)}")
    if compiled.get("type") == "OBJECT" and "properties" not in compiled:
        # An object without properties is refused; a function without parameters is not.
        notes.renamed(f"{path}.parameters", "none")
        return
    declaration["parameters"] = compiled


def _custom_parameters(tool: Tool) -> dict[str, Json]:
    text: dict[str, Json] = {"type": "string"}
    grammar = tool.format if isinstance(tool.format, dict) else {}
    if isinstance(grammar.get("definition"), str):
        syntax = grammar.get("syntax", "the given")
        text["description"] = f"Must follow this {syntax} grammar:\n{grammar['definition']}"
    return {"type": "object", "properties": {CUSTOM_INPUT: text}, "required": [CUSTOM_INPUT]}


def read_choice(config: types.FunctionCallingConfig) -> ToolChoice | None:
    """``functionCallingConfig`` → the choice; an unknown mode is left to ``rest_of_choice``."""
    mode = _MODES.get((config.mode or "").upper())
    names = config.allowed_function_names or []
    if mode is None:
        return None
    if mode == "required" and len(names) == 1:
        return ToolChoice(mode="tool", names=names)
    return ToolChoice(mode=mode, names=names)


def rest_of_choice(config: types.FunctionCallingConfig) -> dict[str, Json]:
    """What ``read_choice`` does not carry, the mode itself included where it would come back as
    another."""
    choice = read_choice(config)
    used = {"allowed_function_names", "mode"}
    if choice is None:
        used.clear()
    elif config.mode != _mode(choice):
        used.discard("mode")
    return rest(config, frozenset(used))


def write_choice(choice: ToolChoice) -> dict[str, Any]:
    """The choice → ``functionCallingConfig``."""
    config: dict[str, Any] = {"mode": _mode(choice)}
    if choice.names:
        config["allowedFunctionNames"] = [safe_name(name) for name in choice.names]
    return config


def _mode(choice: ToolChoice) -> str:
    match choice.mode:
        case "none":
            return "NONE"
        case "auto":
            # Names may be given in the modes ANY and VALIDATED only; the latter leaves the choice
            # between a call and text.
            return "VALIDATED" if choice.names else "AUTO"
        case _:
            return "ANY"
