"""``generationConfig`` ⇄ settings, structured output and reasoning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import Json
from dragoman.canonical.request import OutputFormat, ReasoningConfig, Request, Settings
from dragoman.protocols.base import ModelProfile
from dragoman.protocols.gemini_generate import types
from dragoman.protocols.gemini_generate.openapi import from_openapi
from dragoman.protocols.gemini_generate.reading import rest
from dragoman.protocols.gemini_generate.schema import to_openapi

ORIGINAL_SCHEMA = "_responseSchema"
"""Bookkeeping on the request: the client wrote its output schema in OpenAPI."""

_JSON = "application/json"
_WIRE_NAMES = {
    "max_output_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
    "modalities": "responseModalities",
}
_ELSEWHERE = ("service_tier",)  # beside generationConfig, not in it
_MAX_STOP_SEQUENCES = 5
_MAX_TEMPERATURE = 2.0
_MAX_SEED = 2**31 - 1
_READ = frozenset(
    (
        *("max_output_tokens", "temperature", "top_p", "top_k", "stop_sequences", "seed"),
        *("candidate_count", "presence_penalty", "frequency_penalty", "response_logprobs"),
        *("logprobs", "response_modalities", "thinking_config"),
    )
)
_READ_OUTPUT = frozenset(("response_mime_type", "response_schema", "response_json_schema"))

LEVELS = ("minimal", "low", "medium", "high", "xhigh")
# Flash-Lite takes no less than 512, and only the 2.5 Pro model more than 24576.
_BUDGETS = {
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
    "max": 32768,
}


def read_settings(config: types.GenerationConfig) -> Settings:
    """The sampling fields."""
    modalities = config.response_modalities
    return Settings(
        max_output_tokens=config.max_output_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=None if config.top_k is None else int(config.top_k),
        stop=config.stop_sequences,
        n=config.candidate_count,
        seed=config.seed,
        presence_penalty=config.presence_penalty,
        frequency_penalty=config.frequency_penalty,
        logprobs=config.response_logprobs,
        top_logprobs=config.logprobs,
        modalities=None if modalities is None else [name.lower() for name in modalities],
    )


def read_output(config: types.GenerationConfig) -> OutputFormat | None:
    """Structured output; None for formats that only this protocol has (``text/x.enum``)."""
    match config.response_mime_type:
        case None | "application/json":
            schema = config.response_json_schema
            if schema is None and config.response_schema is not None:
                schema = from_openapi(config.response_schema)
            if schema is not None:
                return OutputFormat(kind="json_schema", schema=schema)
            return None if config.response_mime_type is None else OutputFormat(kind="json_object")
        case "text/plain" if config.response_schema is None and config.response_json_schema is None:
            return OutputFormat(kind="text")
        case _:
            return None


def read_reasoning(config: types.ThinkingConfig | None) -> ReasoningConfig | None:
    """``thinkingConfig``; thoughts are hidden unless asked for."""
    if config is None:
        return None
    level = (config.thinking_level or "").lower()
    effort = level if level in LEVELS else None
    budget = config.thinking_budget
    if effort is None and budget is None and config.include_thoughts is None:
        return None
    reasoning = ReasoningConfig(effort=effort, visible=bool(config.include_thoughts))
    if budget is not None:
        reasoning.mode = "off" if budget == 0 else "on" if budget > 0 else "adaptive"
        reasoning.budget_tokens = budget if budget > 0 else None
    return reasoning


def rest_of_config(config: types.GenerationConfig) -> dict[str, Json]:
    """What none of the readers above carries."""
    used = _READ if read_output(config) is None else _READ | _READ_OUTPUT
    left = rest(config, used)
    thinking = config.thinking_config
    if thinking is not None:
        known = {"include_thoughts", "thinking_budget"}
        if (thinking.thinking_level or "").lower() in LEVELS:
            known.add("thinking_level")
        if unknown := rest(thinking, frozenset(known)):
            left["thinkingConfig"] = unknown
    return left


def write_config(
    request: Request, profile: ModelProfile, notes: Notes, own: dict[str, Json]
) -> dict[str, Any]:
    """The whole ``generationConfig``; ``own`` are the request's fields of this protocol."""
    config = _write_settings(request.settings, profile, notes)
    if request.output is not None:
        if "output" in profile.drops:
            notes.dropped("output", "refused by this provider")
        else:
            config.update(_write_output(request.output, profile, notes, own.get(ORIGINAL_SCHEMA)))
    if request.reasoning is not None:
        if "reasoning" in profile.drops:
            notes.dropped("reasoning", "refused by this provider")
        elif thinking := _write_reasoning(request.reasoning, profile, notes):
            config["thinkingConfig"] = thinking
    for name, value in own.get("generationConfig", {}).items():
        both = name in config and isinstance(value, dict)
        config[name] = {**config[name], **value} if both else value
    return config


def _write_settings(settings: Settings, profile: ModelProfile, notes: Notes) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if value is None or name in _ELSEWHERE:
            continue
        wire = _WIRE_NAMES.get(name)
        if name in profile.drops:
            notes.dropped(f"settings.{name}", "refused by this provider")
        elif wire is None:
            notes.dropped(f"settings.{name}", "Gemini has no such setting")
        else:
            config[wire] = _within(name, value, profile, notes)
    return config


def _within(name: str, value: Any, profile: ModelProfile, notes: Notes) -> Any:
    """``value`` in Gemini's form, moved into the range that it takes."""
    ceiling = profile.max_output_tokens
    moved = value
    if name == "max_output_tokens" and ceiling is not None:
        moved = min(value, ceiling)
    elif name == "temperature":
        moved = min(max(value, 0.0), _MAX_TEMPERATURE)
    elif name == "stop":
        moved = value[:_MAX_STOP_SEQUENCES]
    elif name == "seed" and abs(value) > _MAX_SEED:
        moved = value & _MAX_SEED
    elif name == "modalities":
        return [modality.upper() for modality in value]
    if moved != value:
        notes.clamped(f"settings.{name}", f"{len(moved)} of them" if name == "stop" else str(moved))
        return moved
    return value


def _write_output(
    output: OutputFormat, profile: ModelProfile, notes: Notes, original: Json
) -> dict[str, Any]:
    if output.kind == "text":
        return {"responseMimeType": "text/plain"}
    config: dict[str, Any] = {"responseMimeType": _JSON}
    schema = output.schema if output.kind == "json_schema" else None
    if original is not None:
        config["responseSchema"] = original
    elif schema is not None:
        schema = _with_names(output, schema, notes)
        if profile.quirks.get("json_schema", True):
            config["responseJsonSchema"] = schema
        else:
            config["responseSchema"], losses = to_openapi(schema)
            if losses:
                notes.clamped("output.schema", f"without {', '.join(losses)}")
    if output.strict is not None:
        notes.renamed("output.strict", "a schema always binds here")
    return config


def _with_names(output: OutputFormat, schema: dict[str, Json], notes: Notes) -> dict[str, Json]:
    """Gemini's schema has no name beside it: its title and description say the same."""
    for field, keyword, value in (
        ("name", "title", output.name),
        ("description", "description", output.description),
    ):
        if value is None:
            continue
        if keyword in schema:
            notes.dropped(f"output.{field}", f"the schema has its own {keyword}")
        else:
            notes.renamed(f"output.{field}", f"the schema's {keyword}")
            notes.renamed(f"output.schema.{keyword}", f"the output's {field}")
            schema = {keyword: value, **schema}
    return schema


def _write_reasoning(
    reasoning: ReasoningConfig, profile: ModelProfile, notes: Notes
) -> dict[str, Any]:
    """Gemini takes a level or a budget, never both."""
    levels = _levels(profile)
    if reasoning.mode == "off" or reasoning.effort == "none":
        config = _off(reasoning, levels, profile, notes)
    elif reasoning.budget_tokens is not None:
        config = {"thinkingBudget": _budget(reasoning.budget_tokens, profile, notes)}
        if reasoning.effort is not None:
            notes.dropped("reasoning.effort", "a budget was given, and Gemini takes one of the two")
        if reasoning.mode == "adaptive":
            notes.dropped("reasoning.mode", "a budget was given")
    elif reasoning.effort is not None:
        config = _effort(reasoning.effort, levels, profile, notes)
        if reasoning.mode is not None:
            notes.renamed("reasoning.mode", "the effort says it")
    elif reasoning.mode is not None and not levels:
        config = {"thinkingBudget": -1}
        if reasoning.mode == "on":
            notes.renamed("reasoning.mode", "as much as the model finds fit")
    else:
        config = {}
        if reasoning.mode is not None:
            notes.renamed("reasoning.mode", "this model always thinks")
    _visibility(reasoning, config, notes, thinks=config.get("thinkingBudget") != 0)
    return config


def _off(
    reasoning: ReasoningConfig, levels: Sequence[str], profile: ModelProfile, notes: Notes
) -> dict[str, Any]:
    if reasoning.budget_tokens is not None:
        notes.dropped("reasoning.budget_tokens", "thinking is off")
    if reasoning.effort is not None:
        notes.renamed("reasoning.effort", "thinking is off")
    if not levels:
        return {"thinkingBudget": _budget(0, profile, notes)}
    notes.clamped("reasoning.mode", f"this model cannot stop thinking: {levels[0]}")
    return {"thinkingLevel": levels[0].upper()}


def _visibility(
    reasoning: ReasoningConfig, config: dict[str, Any], notes: Notes, *, thinks: bool
) -> None:
    if reasoning.summary is not None:
        notes.renamed("reasoning.summary", "thoughts come summarised, in one style")
    visible = reasoning.visible
    if visible and not thinks:
        # "Unable to submit request because thinking is disabled and include_thoughts is true."
        notes.clamped("reasoning.visible", "there are no thoughts to show")
    elif visible is not None:
        config["includeThoughts"] = visible
    elif thinks:
        config["includeThoughts"] = True


def _effort(
    effort: str, levels: Sequence[str], profile: ModelProfile, notes: Notes
) -> dict[str, Any]:
    if not levels:
        budget = _BUDGETS.get(effort)
        if budget is None:
            notes.dropped("reasoning.effort", f"unknown effort {effort!r}")
            return {}
        notes.renamed("reasoning.effort", f"a budget of {budget} tokens")
        return {"thinkingBudget": _budget(budget, profile, notes)}
    if effort in levels:
        return {"thinkingLevel": effort.upper()}
    wanted = LEVELS.index(effort) if effort in LEVELS else len(LEVELS)
    nearest = next((level for level in levels if LEVELS.index(level) > wanted), levels[-1])
    notes.clamped("reasoning.effort", nearest)
    return {"thinkingLevel": nearest.upper()}


def _budget(tokens: int, profile: ModelProfile, notes: Notes) -> int:
    span = profile.quirks.get("thinking_budget_range")
    if not span or tokens < 0:
        return tokens
    within = min(max(tokens, int(span[0])), int(span[1]))
    if within != tokens:
        notes.clamped("reasoning.budget_tokens", str(within))
    return within


def _levels(profile: ModelProfile) -> tuple[str, ...]:
    """The levels a model takes, lowest first; empty for one that takes budgets."""
    quirk = profile.quirks.get("thinking_level", False)
    if quirk is True:
        return LEVELS[:4]
    return tuple(level for level in LEVELS if quirk and level in quirk)
