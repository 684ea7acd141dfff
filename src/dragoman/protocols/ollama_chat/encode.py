"""The canonical request as an ``/api/chat`` body for an upstream.

Quirk: ``think_levels``, the names that the model takes for ``think`` (gpt-oss: low, medium, high).
Without it only the switch is sent, because Ollama refuses a level that the model does not have
("think value "medium" is not supported for this model").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import own_extensions
from dragoman.canonical.request import OutputFormat, ReasoningConfig, Request, Settings, Tool
from dragoman.protocols.base import Encoded, ModelProfile
from dragoman.protocols.ollama_chat.messages import encode_messages
from dragoman.protocols.ollama_chat.types import PROTOCOL_ID, SETTINGS_BY_OPTION

_ADDED_LATER = ("logprobs", "top_logprobs")  # settings that stand beside the options, not in them
_EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
# Up to how many thinking tokens an effort is worth; Google's table for its OpenAI-compatible API.
_BUDGETS = ((1_024, "low"), (8_192, "medium"))
_FREE_TEXT_INPUT = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}


def encode_request(request: Request, profile: ModelProfile) -> Encoded:
    """The body for the upstream, and a note on everything it cannot say."""
    notes = Notes()
    own = dict(own_extensions(request.extensions, PROTOCOL_ID))
    notes.foreign("", request.extensions, PROTOCOL_ID)
    if request.cache is not None:
        notes.dropped("cache", "prompt caching is automatic")
    if "output" in profile.drops:
        own.pop("format", None)
    body: dict[str, Any] = {
        "model": profile.model or request.model,
        "messages": encode_messages(request.messages, notes),
    }
    if tools := _tools(request, profile, notes):
        body["tools"] = tools
    if (format := _format(request.output, profile, notes)) is not None:
        body["format"] = format
    options = _options(request.settings, profile, notes) | own.pop("options", {})
    if options:
        body["options"] = options
    think = own.pop("think", None)
    if think is None or "reasoning" in profile.drops:
        think = _think(request.reasoning, profile, notes)
    if think is not None:
        body["think"] = think
    body["stream"] = request.stream
    for name in _ADDED_LATER:
        if (value := getattr(request.settings, name)) is not None and name not in profile.drops:
            body[name] = value
    for name, value in own.items():
        body.setdefault(name, value)
    return Encoded(body=msgspec.json.encode(body), notes=notes.items)


def _options(settings: Settings, profile: ModelProfile, notes: Notes) -> dict[str, Any]:
    options: dict[str, Any] = {}
    sendable = {field: option for option, field in SETTINGS_BY_OPTION.items()}
    for field in Settings.__struct_fields__:
        value = getattr(settings, field)
        if value is None:
            continue
        path = f"settings.{field}"
        if field in profile.drops:
            notes.dropped(path, "this provider refuses it")
        elif field in sendable:
            options[sendable[field]] = value
        elif field == "n" and value == 1:
            notes.renamed(path, "there is always one answer")
        elif field not in _ADDED_LATER:
            notes.dropped(path, "Ollama has no such setting")
    limit = options.get("num_predict")
    ceiling = profile.max_output_tokens
    if limit is not None and ceiling is not None and limit > ceiling:
        options["num_predict"] = ceiling
        notes.clamped("settings.max_output_tokens", f"the model's ceiling is {ceiling}")
    return options


def _format(output: OutputFormat | None, profile: ModelProfile, notes: Notes) -> Any:
    if output is None:
        return None
    if "output" in profile.drops:
        notes.dropped("output", "this provider refuses it")
        return None
    if output.kind == "text":
        notes.renamed("output", "text is the default")
        return None
    if output.description is not None:
        notes.dropped("output.description")
    if output.name is not None or output.strict is not None:
        notes.renamed("output", "the schema alone, always enforced")
    if output.kind == "json_schema" and output.schema is not None:
        return output.schema
    if output.kind == "json_schema":
        notes.emulated("output", "no schema given: any JSON object")
    return "json"


def _think(
    config: ReasoningConfig | None, profile: ModelProfile, notes: Notes
) -> bool | str | None:
    if config is None:
        return None
    if "reasoning" in profile.drops:
        notes.dropped("reasoning", "this provider refuses it")
        return None
    if config.summary is not None:
        notes.dropped("reasoning.summary", "the thinking itself is sent")
    think = _switch(config, profile.quirks.get("think_levels") or (), notes)
    if config.visible is not None and (think is None or config.visible is not bool(think)):
        detail = "thinking is sent whenever there is any"
        (notes.emulated if config.visible else notes.dropped)("reasoning.visible", detail)
    return think


def _switch(config: ReasoningConfig, levels: Iterable[str], notes: Notes) -> bool | str | None:
    effort, budget, levels = config.effort, config.budget_tokens, tuple(levels)
    if config.mode == "off" or effort == "none":
        if effort is not None:
            notes.renamed("reasoning.effort", "thinking is off")
        if budget is not None:
            notes.dropped("reasoning.budget_tokens", "thinking is off")
        return False
    if budget is not None:
        notes.emulated("reasoning.budget_tokens", "there are levels only, or none")
        effort = effort or next((e for limit, e in _BUDGETS if budget <= limit), "high")
    if config.mode == "adaptive":
        notes.emulated("reasoning.mode", "the model's own default")
        if not levels:
            # Claude Code asks every model to think adaptively, and Ollama answers 400 ("does not
            # support thinking") for a model that cannot, so only explicit wishes are passed on.
            if config.effort is not None:
                notes.dropped("reasoning.effort", "the model has no levels")
            return None
    if effort is None:
        return True if config.mode == "on" else None
    if not levels:
        if config.effort is not None:
            notes.emulated("reasoning.effort", "thinking is only switched on")
        return True
    if effort in levels or effort not in _EFFORTS:
        return effort
    nearest = _nearest(effort, levels)
    if config.effort is not None:
        notes.clamped("reasoning.effort", f"the nearest level is {nearest}")
    return nearest


def _nearest(effort: str, levels: tuple[str, ...]) -> str:
    """The highest of ``levels`` up to ``effort``, else the lowest there is."""
    known = sorted((e for e in levels if e in _EFFORTS), key=_EFFORTS.index)
    below = [e for e in known if _EFFORTS.index(e) <= _EFFORTS.index(effort)]
    return (below[-1:] or known[:1] or [levels[0]])[0]


def _tools(request: Request, profile: ModelProfile, notes: Notes) -> list[dict[str, Any]]:
    if request.parallel_tool_calls is True:
        notes.renamed("parallel_tool_calls", "models may always call several tools")
    elif request.parallel_tool_calls is False:
        notes.dropped("parallel_tool_calls", "models may always call several tools")
    offered = _offered(request, profile, notes)
    tools = (
        _tool(tool, f"tools.{i}", notes) for i, tool in enumerate(request.tools) if i in offered
    )
    return [tool for tool in tools if tool is not None]


def _offered(request: Request, profile: ModelProfile, notes: Notes) -> Iterable[int]:
    """Which tools are sent. There is no ``tool_choice``, so a narrower offer has to do."""
    choice = request.tool_choice
    everything = range(len(request.tools))
    if choice is None:
        return everything
    if "tool_choice" in profile.drops:
        notes.dropped("tool_choice", "this provider refuses it")
        return everything
    if choice.mode == "none":
        notes.emulated("tool_choice", "no tool is offered")
        _left_out(request.tools, everything, notes)
        return ()
    named = [i for i, tool in enumerate(request.tools) if tool.name in choice.names]
    if choice.mode == "required" or (choice.mode == "tool" and not named):
        notes.dropped("tool_choice", "a call cannot be demanded")
    elif choice.mode == "tool":
        notes.emulated("tool_choice", "only this tool is offered")
    elif choice.mode == "auto":
        notes.renamed("tool_choice", "auto is the only behaviour")
    if not named:
        return everything
    _left_out(request.tools, [i for i in everything if i not in named], notes)
    return named


def _left_out(tools: list[Tool], indices: Iterable[int], notes: Notes) -> None:
    for index in indices:
        notes.emulated(f"tools.{index}", f"{tools[index].name} is not offered in this turn")


def _tool(tool: Tool, path: str, notes: Notes) -> dict[str, Any] | None:
    notes.foreign(path, tool.extensions, PROTOCOL_ID)
    if tool.cache is not None:
        notes.dropped(f"{path}.cache", "prompt caching is automatic")
    if tool.kind == "hosted":
        if tool.protocol == PROTOCOL_ID and isinstance(tool.config, dict):
            return tool.config
        notes.dropped(path, f"only {tool.protocol} can run {tool.name}")
        return None
    if tool.strict is not None:
        (notes.dropped if tool.strict else notes.renamed)(
            f"{path}.strict", "calls are not enforced"
        )
    own = dict(own_extensions(tool.extensions, PROTOCOL_ID))
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.kind == "custom":
        notes.emulated(path, "a function with one text argument")
        function["parameters"] = _FREE_TEXT_INPUT
    elif tool.parameters is not None:
        function["parameters"] = tool.parameters
    inner = own.pop("function", {})
    return {**own, "type": "function", "function": {**inner, **function}}
