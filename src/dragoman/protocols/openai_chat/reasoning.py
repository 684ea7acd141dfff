"""Reasoning: the text of it in messages, and how it is asked for, in every dialect.

In messages: ``reasoning_content`` (DeepSeek, Z.ai, Moonshot, Model Studio, older vLLM), ``reasoning``
(OpenRouter, Groq, newer vLLM) and ``reasoning_details`` (OpenRouter: text with its signature,
summaries, encrypted reasoning). Plain text goes out as ``reasoning_content``, which most clients
read; ``reasoning_details`` is added when there is something that only it can carry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dragoman.canonical.parts import Opaque, Part, Reasoning, own_extensions
from dragoman.canonical.request import ReasoningConfig
from dragoman.protocols.openai_chat.context import Context, merge_missing
from dragoman.protocols.openai_chat.parts import Sign, Wire, leftovers
from dragoman.protocols.openai_chat.types import PROTOCOL_ID

PARAGRAPH = "\n\n"
"""Stands between two reasoning parts where one string has to hold both."""

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = {
    "minimal": 512,
    "low": 1_024,
    "medium": 8_192,
    "high": 24_576,
    "xhigh": 32_768,
    "max": 65_536,
}
"""Thinking tokens an effort is worth; low to high are Google's figures for its compatible endpoint."""

_DETAIL_FIELDS = {
    "reasoning.text": "text",
    "reasoning.summary": "summary",
    "reasoning.encrypted": "data",
}

_MODES = {"enabled": "on", "disabled": "off", "adaptive": "adaptive", "auto": "adaptive"}


def decode_message_reasoning(message: Wire, sign: Sign) -> list[Part]:
    """Take the reasoning out of a message, whichever way it is spelled.

    A server that sends both repeats the text of the details in the string.
    """
    text = message.pop("reasoning_content", None) or None
    text = message.pop("reasoning", None) or text
    parts = [decode_detail(detail, sign) for detail in message.pop("reasoning_details", None) or ()]
    said = [part for part in parts if isinstance(part, Reasoning) and not part.redacted]
    if text and not any(part.text for part in said):
        if said:
            said[0].text = text
        else:
            parts.insert(0, Reasoning(text=text))
    return parts


def decode_detail(detail: Wire, sign: Sign) -> Part:
    """Read one of ``reasoning_details``; a kind nobody knows becomes Opaque."""
    kind = detail.get("type")
    field = _DETAIL_FIELDS.get(kind) if isinstance(kind, str) else None
    if field is None or (field == "data" and not isinstance(detail.get("data"), str)):
        return Opaque(protocol=PROTOCOL_ID, value=detail)
    text, proof = detail.pop(field, None), detail.pop("signature", None)
    if field == "data":
        part = Reasoning(redacted=True, signature=sign(text))
    else:
        part = Reasoning(
            text=text if isinstance(text, str) else "",
            summary=field == "summary",
            signature=sign(proof) if isinstance(proof, str) and proof else None,
        )
    detail.pop("type")
    detail.pop("index", None)
    part.extensions = leftovers(detail)
    return part


def is_detail(part: Part) -> bool:
    """Whether an opaque part is one of ``reasoning_details``."""
    return (
        isinstance(part, Opaque)
        and part.protocol == PROTOCOL_ID
        and isinstance(part.value, dict)
        and str(part.value.get("type", "")).startswith("reasoning.")
    )


def needs_details(parts: list[Reasoning | Opaque]) -> bool:
    """Whether one string cannot hold it all."""
    return len(parts) > 1 or any(carries_proof(part) for part in parts)


def carries_proof(part: Reasoning | Opaque) -> bool:
    """Whether ``part`` is more than text."""
    if isinstance(part, Opaque):
        return True
    return bool(
        part.signature
        or part.redacted
        or part.summary
        or own_extensions(part.extensions, PROTOCOL_ID)
    )


def encode_detail(part: Reasoning | Opaque, index: int, signature: str | None) -> Wire:
    """One of ``reasoning_details``; ``index`` is what lets the SDK's stream helper merge them."""
    if isinstance(part, Opaque):
        return {**part.value, "index": index}
    if part.redacted:
        wire: Wire = {"type": "reasoning.encrypted", "data": signature or ""}
    elif part.summary:
        wire = {"type": "reasoning.summary", "summary": part.text}
    else:
        wire = {"type": "reasoning.text", "text": part.text}
    if signature is not None and not part.redacted:
        wire["signature"] = signature
    wire["index"] = index
    merge_missing(wire, own_extensions(part.extensions, PROTOCOL_ID))
    return wire


def reasoning_text(parts: Iterable[Part]) -> str:
    """The readable text of several reasoning parts."""
    return PARAGRAPH.join(p.text for p in parts if isinstance(p, Reasoning) and p.text)


def encode_history(
    parts: list[tuple[str, Reasoning | Opaque]], message: Wire, context: Context
) -> None:
    """Write the reasoning of an earlier answer, each part with its path, as the provider wants it: into
    a field of its own, or as the beginning of ``content``."""
    style = context.quirks.reasoning_history
    if style == "reasoning_details":
        details = [_history_detail(part, i, path, context) for i, (path, part) in enumerate(parts)]
        message["reasoning_details"] = [detail for detail in details if detail is not None]
        return
    texts: list[str] = []
    for path, part in parts:
        if style == "none" or isinstance(part, Opaque) or part.redacted:
            context.notes.dropped(path, "the upstream takes no such reasoning back")
            continue
        context.notes.foreign(path, part.extensions, PROTOCOL_ID)
        if part.signature is not None:
            context.notes.dropped(f"{path}.signature", "the upstream takes reasoning as text")
        for field in own_extensions(part.extensions, PROTOCOL_ID):
            context.notes.dropped(f"{path}.{field}", "the upstream takes reasoning as text")
        if part.summary or texts:
            context.notes.renamed(path, "reasoning is one text")
        if part.text:
            texts.append(part.text)
    if texts and style == "think":
        message["content"] = f"<think>\n{PARAGRAPH.join(texts)}\n</think>{PARAGRAPH}"
    elif texts:
        message[style] = PARAGRAPH.join(texts)


def _history_detail(
    part: Reasoning | Opaque, index: int, path: str, context: Context
) -> Wire | None:
    if isinstance(part, Opaque):
        return encode_detail(part, index, None)
    signature = context.signature(part.signature, path)
    if part.redacted and signature is None:
        context.notes.dropped(path, "encrypted reasoning of another provider")
        return None
    context.notes.foreign(path, part.extensions, PROTOCOL_ID)
    return encode_detail(part, index, signature)


def decode_config(body: Wire) -> tuple[ReasoningConfig | None, str | None]:
    """Take the request's reasoning fields out of ``body``: (what they say, how they were spelled).

    What has no canonical place (``thinking.clear_thinking``), or contradicts what was read before
    it, stays in ``body``.
    """
    config = ReasoningConfig()
    style = None
    _take(body, "reasoning_effort", config, "effort")
    if isinstance(thinking := body.get("thinking"), dict):
        style = "thinking"
        if thinking.get("type") in _MODES:
            _take(thinking, "type", config, "mode", _MODES.get)
        _take(thinking, "budget_tokens", config, "budget_tokens")
    if body.get("enable_thinking") is not None or body.get("thinking_budget") is not None:
        style = style or "enable_thinking"
        _take(body, "enable_thinking", config, "mode", _switch)
        _take(body, "thinking_budget", config, "budget_tokens")
    if isinstance(reasoning := body.get("reasoning"), dict):
        style = style or "openrouter"
        _take(reasoning, "effort", config, "effort")
        _take(reasoning, "max_tokens", config, "budget_tokens")
        _take(reasoning, "enabled", config, "mode", _switch)
        _take(reasoning, "exclude", config, "visible", lambda exclude: not exclude)
        _take(reasoning, "summary", config, "summary")
    for field in ("thinking", "reasoning"):
        if not body.get(field):
            body.pop(field, None)
    return (None if config == ReasoningConfig() else config), style


def _take(
    source: Wire,
    field: str,
    config: ReasoningConfig,
    attribute: str,
    convert: Callable[[Any], Any] = lambda value: value,
) -> None:
    if (value := source.get(field)) is None:
        source.pop(field, None)
        return
    value = convert(value)
    known = getattr(config, attribute)
    if known is None:
        setattr(config, attribute, value)
    if known is None or known == value:
        del source[field]


def _switch(on: bool) -> str:
    return "on" if on else "off"


def encode_config(config: ReasoningConfig, style: str, context: Context) -> Wire:
    """Ask for reasoning in the provider's way, with a note on whatever changes its form."""
    wire, said = (
        _STYLES[style](config, context) if style in _STYLES else _as_effort(config, context)
    )
    for field in ReasoningConfig.__struct_fields__:
        value = getattr(config, field)
        if value is None or field in said:
            continue
        path = f"reasoning.{field}"
        if field in ("visible", "summary"):
            context.notes.dropped(path, "the upstream decides")
        elif wire:
            context.notes.renamed(path, f"{', '.join(wire)} stands for it")
        else:
            context.notes.emulated(path, "the model's own default")
    return wire


def _as_effort(config: ReasoningConfig, context: Context) -> tuple[Wire, set[str]]:
    effort = config.effort
    if config.mode == "off":
        effort = "none"
    elif effort is None and config.budget_tokens is not None:
        effort = _worth(config.budget_tokens)
    elif effort is None and config.mode == "on":
        effort = "medium"
    if effort is None:
        # Claude Code asks every model to think adaptively, those that cannot think included.
        return {}, set()
    said = {"effort"} if effort == config.effort else set()
    return {"reasoning_effort": _allowed(effort, config, context)}, said


def _worth(budget: int) -> str:
    """The effort that comes nearest to a number of thinking tokens."""
    return next((effort for effort in ("low", "medium") if budget <= _BUDGETS[effort]), "high")


def _as_thinking(config: ReasoningConfig, context: Context) -> tuple[Wire, set[str]]:
    if config.mode == "off" or (config.mode is None and config.effort == "none"):
        return {"thinking": {"type": "disabled"}}, {"mode"}
    on = context.quirks.thinking_on
    thinking: Wire = {"type": on}
    wire: Wire = {"thinking": thinking}
    takes = context.quirks.thinking_takes
    said: set[str] = set()
    if config.mode == _MODES.get(on):
        said.add("mode")
    effort = config.effort
    if "budget" in takes:
        said.add("budget_tokens")
        if config.budget_tokens is not None:
            thinking["budget_tokens"] = config.budget_tokens
    elif effort is None and config.budget_tokens is not None:
        effort = _worth(config.budget_tokens)
    if "effort" in takes:
        said.add("effort")
        if effort is not None:
            wire["reasoning_effort"] = _allowed(effort, config, context)
    return wire, said


def _as_enable_thinking(config: ReasoningConfig, context: Context) -> tuple[Wire, set[str]]:
    if config.mode == "off" or (config.mode is None and config.effort == "none"):
        return {"enable_thinking": False}, {"mode"}
    wire: Wire = {"enable_thinking": True}
    budget = config.budget_tokens
    if budget is None and config.effort is not None:
        budget = _BUDGETS.get(config.effort)
    if budget is not None:
        wire["thinking_budget"] = budget
    return wire, {"budget_tokens"} | ({"mode"} if config.mode == "on" else set())


def _as_openrouter(config: ReasoningConfig, context: Context) -> tuple[Wire, set[str]]:
    reasoning: Wire = {}
    said = {"visible", "summary", "budget_tokens"}
    if config.budget_tokens is not None:
        reasoning["max_tokens"] = config.budget_tokens
    elif config.effort is not None:  # one of the two, never both
        reasoning["effort"] = _allowed(config.effort, config, context)
        said.add("effort")
    if config.mode is not None:
        reasoning["enabled"] = config.mode != "off"
        if config.mode != "adaptive":
            said.add("mode")
    if config.visible is not None:
        reasoning["exclude"] = not config.visible
    if config.summary is not None:
        reasoning["summary"] = config.summary
    return {"reasoning": reasoning}, said


_STYLES: dict[str, Callable[[ReasoningConfig, Context], tuple[Wire, set[str]]]] = {
    "effort": _as_effort,
    "thinking": _as_thinking,
    "enable_thinking": _as_enable_thinking,
    "openrouter": _as_openrouter,
}


def _allowed(effort: str, config: ReasoningConfig, context: Context) -> str:
    """The nearest effort that the model takes, the higher of two equally near."""
    efforts = context.quirks.efforts
    if not efforts or effort in efforts or effort not in _EFFORTS:
        return effort
    rank = _EFFORTS.index
    known = sorted((e for e in efforts if e in _EFFORTS), key=rank, reverse=True)
    nearest = min(known, key=lambda e: abs(rank(e) - rank(effort)), default=effort)
    if config.effort == effort:
        context.notes.clamped("reasoning.effort", f"the nearest effort is {nearest}")
    return nearest
