"""How reasoning is asked for, in every provider's way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.canonical.notes import Action
from dragoman.canonical.parts import Text
from dragoman.canonical.request import Message, ReasoningConfig, Request
from dragoman.protocols.base import ModelProfile, Target
from dragoman.protocols.openai_chat import PROTOCOL

HI = Message(role="user", parts=[Text(text="hi")])
R, D, C, E = Action.RENAMED, Action.DROPPED, Action.CLAMPED, Action.EMULATED


def encode(config: ReasoningConfig, **quirks: Any) -> tuple[dict[str, Any], dict[str, Action]]:
    request = Request(model="m", messages=[HI], reasoning=config)
    encoded = PROTOCOL.encode_request(request, ModelProfile(quirks=quirks))
    body = json.loads(encoded.body)
    asked = {field: body[field] for field in body if field not in ("model", "messages")}
    return asked, {note.path.removeprefix("reasoning."): note.action for note in encoded.notes}


@pytest.mark.parametrize(
    ("config", "wire", "notes"),
    [
        ({"effort": "high"}, {"reasoning_effort": "high"}, {}),
        ({"mode": "off"}, {"reasoning_effort": "none"}, {"mode": R}),
        ({"mode": "on"}, {"reasoning_effort": "medium"}, {"mode": R}),
        ({"mode": "on", "effort": "low"}, {"reasoning_effort": "low"}, {"mode": R}),
        ({"budget_tokens": 1024}, {"reasoning_effort": "low"}, {"budget_tokens": R}),
        ({"budget_tokens": 5000}, {"reasoning_effort": "medium"}, {"budget_tokens": R}),
        ({"budget_tokens": 30000}, {"reasoning_effort": "high"}, {"budget_tokens": R}),
        # Claude Code asks this of every model, those that cannot think included.
        ({"mode": "adaptive"}, {}, {"mode": E}),
        ({"visible": True, "summary": "auto"}, {}, {"visible": D, "summary": D}),
    ],
)
def test_as_effort(config: dict[str, Any], wire: dict[str, Any], notes: dict[str, Action]) -> None:
    assert encode(ReasoningConfig(**config)) == (wire, notes)


@pytest.mark.parametrize(
    ("config", "wire", "notes"),
    [
        ({"mode": "off"}, {"thinking": {"type": "disabled"}}, {}),
        ({"effort": "none"}, {"thinking": {"type": "disabled"}}, {"effort": R}),
        (
            {"mode": "on", "budget_tokens": 9},
            {"thinking": {"type": "enabled", "budget_tokens": 9}},
            {},
        ),
        ({"mode": "adaptive"}, {"thinking": {"type": "enabled"}}, {"mode": R}),
        ({"effort": "max"}, {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}, {}),
    ],
)
def test_as_thinking(
    config: dict[str, Any], wire: dict[str, Any], notes: dict[str, Action]
) -> None:
    assert encode(ReasoningConfig(**config), reasoning_style="thinking") == (wire, notes)


def test_the_word_that_turns_thinking_on() -> None:
    config = ReasoningConfig(mode="adaptive")
    wire, notes = encode(config, reasoning_style="thinking", thinking_on="adaptive")
    assert wire == {"thinking": {"type": "adaptive"}}
    assert notes == {}


@pytest.mark.parametrize(
    ("config", "wire", "notes"),
    [
        ({"mode": "off"}, {"enable_thinking": False}, {}),
        (
            {"mode": "on", "budget_tokens": 9},
            {"enable_thinking": True, "thinking_budget": 9},
            {},
        ),
        (
            {"effort": "medium"},
            {"enable_thinking": True, "thinking_budget": 8192},
            {"effort": R},
        ),
    ],
)
def test_as_enable_thinking(
    config: dict[str, Any], wire: dict[str, Any], notes: dict[str, Action]
) -> None:
    assert encode(ReasoningConfig(**config), reasoning_style="enable_thinking") == (wire, notes)


@pytest.mark.parametrize(
    ("config", "wire", "notes"),
    [
        ({"effort": "low", "visible": False}, {"effort": "low", "exclude": True}, {}),
        ({"budget_tokens": 9, "effort": "low"}, {"max_tokens": 9}, {"effort": R}),
        ({"mode": "on", "summary": "auto"}, {"enabled": True, "summary": "auto"}, {}),
        ({"mode": "adaptive"}, {"enabled": True}, {"mode": R}),
    ],
)
def test_as_openrouter(
    config: dict[str, Any], wire: dict[str, Any], notes: dict[str, Action]
) -> None:
    asked = encode(ReasoningConfig(**config), reasoning_style="openrouter")
    assert asked == ({"reasoning": wire}, notes)


@pytest.mark.parametrize(
    ("effort", "sent"),
    [
        ("minimal", "low"),
        ("medium", "high"),
        ("xhigh", "max"),
        ("high", "high"),
        ("ultra", "ultra"),
    ],
)
def test_the_nearest_effort(effort: str, sent: str) -> None:
    wire, notes = encode(ReasoningConfig(effort=effort), efforts=["low", "high", "max"])
    assert wire == {"reasoning_effort": sent}
    assert notes == ({} if sent == effort else {"effort": C})


def test_the_clients_own_spelling_is_the_default() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "enable_thinking": True}
    parsed = PROTOCOL.parse_request(json.dumps(body).encode(), Target())
    request = PROTOCOL.decode_request(parsed)
    assert json.loads(PROTOCOL.encode_request(request, ModelProfile()).body)["enable_thinking"]
    other = ModelProfile(quirks={"reasoning_style": "thinking"})
    sent = json.loads(PROTOCOL.encode_request(request, other).body)
    assert sent["thinking"] == {"type": "enabled"}
    assert "enable_thinking" not in sent
