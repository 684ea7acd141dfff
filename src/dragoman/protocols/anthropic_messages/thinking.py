"""How much the model thinks: ``thinking`` and ``output_config.effort``, both ways.

Source: ``anthropic.types.thinking_config_param``, ``output_config_param``, and
platform.claude.com/docs/en/build-with-claude/extended-thinking: a budget is at least 1,024 tokens and
less than ``max_tokens``. Newer models only know adaptive thinking with an effort, older ones only
budgets; the quirk ``reasoning_style`` says which a model is.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import Json
from dragoman.canonical.request import ReasoningConfig
from dragoman.protocols.anthropic_messages.types import leftovers
from dragoman.protocols.base import ModelProfile

MIN_BUDGET = 1024
BUDGET_OF_EFFORT = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 32768,
}
"""Tokens to think with for each effort, where the model wants a number."""
_DEFAULT_EFFORT = {"adaptive": "high", "on": "medium"}
"""What adaptive thinking does when no effort is named (Anthropic's default is high), and what plain
"on" is taken to mean."""

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_ORDER = ("minimal", *_EFFORTS)

_MODE_OF_TYPE: dict[str, Any] = {"enabled": "on", "disabled": "off", "adaptive": "adaptive"}
_DISPLAYED = {"omitted": False, "summarized": True}
_THINKING = frozenset({"type", "budget_tokens"})


class Thinking(msgspec.Struct):
    """What a request says about thinking. ``config`` is ``thinking``, ``effort`` goes into
    ``output_config``."""

    max_tokens: int
    config: dict[str, Any] | None = None
    effort: str | None = None

    @property
    def on(self) -> bool:
        """Whether the model may think, which limits sampling and the choice of tools."""
        return self.config is not None and self.config.get("type") != "disabled"


def decode_thinking(
    thinking: dict[str, Any] | None, effort: str | None
) -> tuple[ReasoningConfig | None, dict[str, Json]]:
    """``thinking`` and ``output_config.effort`` → (canonical, what is left over of ``thinking``)."""
    if thinking is None:
        return (None if effort is None else ReasoningConfig(effort=effort)), {}
    mode = _MODE_OF_TYPE.get(thinking["type"])
    if mode is None:
        return (None if effort is None else ReasoningConfig(effort=effort)), thinking
    rest = leftovers(thinking, _THINKING)
    display = rest.get("display")
    visible = None if display is None else _DISPLAYED.get(display, True)
    if display in _DISPLAYED:
        del rest["display"]
    config = ReasoningConfig(
        mode=mode, effort=effort, budget_tokens=thinking.get("budget_tokens"), visible=visible
    )
    return config, rest


def encode_thinking(
    reasoning: ReasoningConfig | None,
    profile: ModelProfile,
    *,
    asked_tokens: int | None,
    max_tokens: int,
    mid_loop: bool,
    notes: Notes,
) -> Thinking:
    """Plan the thinking of one request.

    ``asked_tokens`` is the client's own limit, ``max_tokens`` the one to be sent. ``mid_loop``: the
    last assistant turn called tools without a thinking block, as clients of other protocols must
    send it; the API refuses budgeted thinking then.
    """
    plan = Thinking(max_tokens)
    if reasoning is None:
        return plan
    if "reasoning" in profile.drops:
        notes.dropped("reasoning", "the provider refuses it")
        return plan
    adaptive = profile.quirks.get("reasoning_style") == "effort"
    if reasoning.mode == "off" or (reasoning.mode is None and reasoning.effort == "none"):
        _plan_off(plan, reasoning, profile, adaptive, notes)
    elif reasoning.mode is None and reasoning.effort is None and not reasoning.visible:
        notes.renamed("reasoning", "nothing is thought unless asked for")
        return plan
    elif adaptive:
        _plan_adaptive(plan, reasoning, profile, notes)
    elif mid_loop:
        notes.clamped("reasoning", "the running tool calls were made without thinking")
        return plan
    else:
        _plan_budget(plan, reasoning, profile, asked_tokens, notes)
    _display(plan, reasoning, profile, notes)
    return plan


def _plan_off(
    plan: Thinking, reasoning: ReasoningConfig, profile: ModelProfile, adaptive: bool, notes: Notes
) -> None:
    plan.config = {"type": "disabled"}
    effort = reasoning.effort
    if reasoning.budget_tokens is not None:
        notes.clamped("reasoning.budget_tokens", "thinking is off")
    if effort is None:
        return
    if effort == "none":
        notes.renamed("reasoning.effort", "thinking is disabled")
    elif adaptive:
        # Effort also rules how much is written, thinking or not.
        plan.effort = _effort(effort, profile, notes)
    else:
        notes.clamped("reasoning.effort", "thinking is off")


def _plan_adaptive(
    plan: Thinking, reasoning: ReasoningConfig, profile: ModelProfile, notes: Notes
) -> None:
    plan.config = {"type": "adaptive"}
    effort = reasoning.effort
    if reasoning.mode == "on":
        notes.emulated("reasoning.mode", "thinking is adaptive")
    if reasoning.budget_tokens is not None:
        notes.emulated("reasoning.budget_tokens", "thinking goes by effort, not by budget")
        effort = effort or _effort_of_budget(reasoning.budget_tokens)
    if effort == "none":
        notes.clamped("reasoning.effort", "thinking is on")
    elif effort is not None:
        plan.effort = _effort(effort, profile, notes)


def _plan_budget(
    plan: Thinking,
    reasoning: ReasoningConfig,
    profile: ModelProfile,
    asked_tokens: int | None,
    notes: Notes,
) -> None:
    wanted = reasoning.budget_tokens
    if reasoning.effort is not None:
        notes.emulated("reasoning.effort", "as a budget of tokens")
    if reasoning.mode == "adaptive":
        notes.emulated("reasoning.mode", "as a budget of tokens")
    if wanted is None:
        effort = reasoning.effort or _DEFAULT_EFFORT.get(reasoning.mode or "on", "medium")
        wanted = BUDGET_OF_EFFORT.get(effort, BUDGET_OF_EFFORT["medium"])
        if asked_tokens is not None:
            # A budget of our own choosing leaves half of the client's limit to the answer.
            wanted = min(wanted, asked_tokens // 2)
    budget = max(MIN_BUDGET, wanted)
    ceiling = profile.max_output_tokens
    if budget >= plan.max_tokens:
        plan.max_tokens += budget
        if ceiling is not None and plan.max_tokens > ceiling:
            plan.max_tokens = ceiling
        if budget >= plan.max_tokens:
            budget = max(MIN_BUDGET, plan.max_tokens // 2)
        if asked_tokens is not None and plan.max_tokens != asked_tokens:
            notes.clamped("settings.max_output_tokens", "raised to leave room for thinking")
    if reasoning.budget_tokens is not None and budget != reasoning.budget_tokens:
        notes.clamped("reasoning.budget_tokens", f"sent as {budget}")
    plan.config = {"type": "enabled", "budget_tokens": budget}


def _display(
    plan: Thinking, reasoning: ReasoningConfig, profile: ModelProfile, notes: Notes
) -> None:
    if reasoning.summary is not None:
        notes.clamped("reasoning.summary", "there is one style of summary")
    if reasoning.visible is None:
        return
    if plan.on and plan.config is not None and profile.quirks.get("thinking_display", True):
        plan.config["display"] = "summarized" if reasoning.visible else "omitted"
    else:
        notes.kept("reasoning.visible", "shown or not as the model does it")


def _effort(effort: str, profile: ModelProfile, notes: Notes) -> str:
    """The effort nearest to ``effort`` that the model knows; a word nobody knows is passed on."""
    accepted = tuple(profile.quirks.get("efforts") or _EFFORTS)
    if effort in accepted or effort not in _ORDER:
        return effort
    rank = _ORDER.index(effort)
    nearest = min(
        (word for word in accepted if word in _ORDER),
        key=lambda word: abs(_ORDER.index(word) - rank),
        default="high",
    )
    notes.clamped("reasoning.effort", f"sent as {nearest}")
    return nearest


def _effort_of_budget(budget: int) -> str:
    return next((word for word in _EFFORTS if budget <= BUDGET_OF_EFFORT[word]), "max")
