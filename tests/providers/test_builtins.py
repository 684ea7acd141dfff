"""The five built-in platforms (GLM, Kimi, DeepSeek, Qwen, MiniMax): what they are sent for a request of
each protocol, and what each client gets of their answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.canonical.collect import collect
from dragoman.canonical.notes import Action
from dragoman.canonical.signature import Origin
from dragoman.engine.filters import filter_for, filtered
from dragoman.protocols.base import Encoded, ModelProfile, Target, all_events
from dragoman.protocols.registry import protocol
from dragoman.protocols.think_tags import QUIRK as THINK_TAG
from dragoman.providers.catalog import load_catalog, require
from dragoman.providers.profiles import profile_for

ROWS = load_catalog()
CHAT = protocol("openai_chat")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look", "arguments": '{"city":"Rome"}'},
}

OPENAI = {
    "model": "public",
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Weather in Rome?"},
        {
            "role": "assistant",
            "content": "Let me look.",
            "reasoning_content": "I need a tool.",
            "tool_calls": [CALL],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny."},
    ],
    "tools": [
        {"type": "function", "function": {"name": "look", "parameters": SCHEMA, "strict": True}}
    ],
    "tool_choice": "required",
    "max_completion_tokens": 500,
    "temperature": 1.5,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.25,
    "reasoning_effort": "medium",
}
ANTHROPIC = {
    "model": "public",
    "max_tokens": 4000,
    "system": "Be brief.",
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "messages": [
        {"role": "user", "content": "Weather in Rome?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I need a tool.", "signature": "foreign"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "call_1", "name": "look", "input": {"city": "Rome"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "Sunny."}],
        },
    ],
    "tools": [{"name": "look", "input_schema": SCHEMA}],
    "tool_choice": {"type": "any"},
}
GEMINI = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "Weather in Rome?"}]},
        {
            "role": "model",
            "parts": [
                {"text": "I need a tool.", "thought": True},
                {"text": "Let me look."},
                {"functionCall": {"id": "call_1", "name": "look", "args": {"city": "Rome"}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "call_1",
                        "name": "look",
                        "response": {"output": "Sunny."},
                    }
                }
            ],
        },
    ],
    "tools": [{"functionDeclarations": [{"name": "look", "parametersJsonSchema": SCHEMA}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    "generationConfig": {
        "maxOutputTokens": 500,
        "temperature": 1.5,
        "frequencyPenalty": 0.5,
        "presencePenalty": 0.25,
        "thinkingConfig": {"thinkingBudget": 0},
    },
}
REQUESTS: dict[str, Any] = {
    "openai_chat": OPENAI,
    "anthropic_messages": ANTHROPIC,
    "gemini_generate": GEMINI,
}


def profile(name: str, model: str) -> ModelProfile:
    return profile_for(require(ROWS, name), protocol="openai_chat", model=model)


def send(client: str, body: dict[str, Any], facts: ModelProfile) -> Encoded:
    """What goes upstream, as the pipeline decides it."""
    ours = protocol(client)
    target = Target(model="public") if client == "gemini_generate" else Target()
    parsed = ours.parse_request(json.dumps(body).encode(), target)
    if ours is CHAT and not facts.quirks.get(THINK_TAG):
        return CHAT.repeat_request(parsed, facts)
    return CHAT.encode_request(ours.decode_request(parsed), facts)


SAMPLING = {"temperature": 1.5, "presence_penalty": 0.25, "frequency_penalty": 0.5}
REQUIRED = {"tool_choice": "required"}
THINKS = {"thinking": {"type": "enabled"}}
NOT = {"thinking": {"type": "disabled"}}
KIMI = {"settings.temperature", "settings.presence_penalty", "settings.frequency_penalty"}
PENALTIES = {"settings.presence_penalty", "settings.frequency_penalty"}

# (built-in, model) → the limit's field, then what each client's request comes to, beside the limit,
# the messages and the tools; then what is told as dropped of the OpenAI client's.
TABLE: dict[
    tuple[str, str], tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], set[str]]
] = {
    ("glm", "glm-5.3"): (
        "max_tokens",
        {"temperature": 1.5, "reasoning_effort": "high"},
        {"reasoning_effort": "high"},
        {"temperature": 1.5, "reasoning_effort": "low"},
        {*PENALTIES, "tools.0.strict", "tool_choice"},
    ),
    ("glm", "glm-4.7"): (
        "max_tokens",
        {"temperature": 1.5, **THINKS},
        THINKS,
        {"temperature": 1.5, **NOT},
        {*PENALTIES, "tools.0.strict", "tool_choice"},
    ),
    ("kimi", "kimi-k3"): (
        "max_completion_tokens",
        {**REQUIRED, "reasoning_effort": "high"},
        {**REQUIRED, "reasoning_effort": "high"},
        {**REQUIRED, "reasoning_effort": "low"},
        {*KIMI, "tools.0.strict"},
    ),
    ("kimi", "kimi-k2.6"): (
        "max_completion_tokens",
        THINKS,
        THINKS,
        NOT,
        {*KIMI, "tools.0.strict", "tool_choice"},
    ),
    ("kimi", "kimi-k2.7-code"): (
        "max_completion_tokens",
        {},
        {},
        {},
        {*KIMI, "tools.0.strict", "tool_choice", "reasoning"},
    ),
    ("deepseek", "deepseek-v4-pro"): (
        "max_tokens",
        {**SAMPLING, **REQUIRED, **THINKS, "reasoning_effort": "high"},
        {**REQUIRED, **THINKS, "reasoning_effort": "high"},
        {**SAMPLING, **REQUIRED, **NOT},
        set(),
    ),
    ("qwen", "qwen3-max"): (
        "max_tokens",
        {**SAMPLING, **REQUIRED, "enable_thinking": True, "thinking_budget": 8192},
        {**REQUIRED, "enable_thinking": True, "thinking_budget": 2000},
        {**SAMPLING, **REQUIRED, "enable_thinking": False},
        set(),
    ),
    ("minimax", "MiniMax-M3"): (
        "max_completion_tokens",
        {"temperature": 1.0, "thinking": {"type": "adaptive"}},
        {"thinking": {"type": "adaptive"}},
        {"temperature": 1.0, **NOT},
        {*PENALTIES, "tools.0.strict", "tool_choice"},
    ),
    ("minimax", "MiniMax-M2.7"): (
        "max_completion_tokens",
        {"temperature": 1.0},
        {},
        {"temperature": 1.0},
        {*PENALTIES, "tools.0.strict", "tool_choice", "reasoning"},
    ),
}
_OF = {"glm": "S2-26", "kimi": "S2-27", "deepseek": "S2-28", "qwen": "S2-29", "minimax": "S2-30"}
CASES = [
    pytest.param(*key, area, marks=pytest.mark.row(_OF[key[0]]), id=f"{key[1]}{area}")
    for key in TABLE
    for area in (("",) if key[0] == "deepseek" else ("", "-cn"))
]


@pytest.mark.parametrize(("name", "model", "area"), CASES)
def test_each_clients_request_becomes_the_platforms_own(name: str, model: str, area: str) -> None:
    limit, *rests, dropped = TABLE[name, model]
    facts = profile(f"builtin:{name}{area}", model)
    in_text = name == "minimax"
    earlier: dict[str, Any] = {"role": "assistant", "tool_calls": [CALL]}
    if in_text:
        earlier["content"] = "<think>\nI need a tool.\n</think>\n\nLet me look."
    else:
        earlier |= {"reasoning_content": "I need a tool.", "content": "Let me look."}
    for (client, body), rest in zip(REQUESTS.items(), rests, strict=True):
        encoded = send(client, body, facts)
        look: dict[str, Any] = {"name": "look", "parameters": SCHEMA}
        if client == "openai_chat" and "tools.0.strict" not in dropped:
            look["strict"] = True
        assert json.loads(encoded.body) == {
            "model": model,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Weather in Rome?"},
                earlier,
                {"role": "tool", "tool_call_id": "call_1", "content": "Sunny."},
            ],
            "tools": [{"type": "function", "function": look}],
            limit: 4000 if client == "anthropic_messages" else 500,
            **rest,
        }
        told = {note.path for note in encoded.notes if note.action is Action.DROPPED}
        if client == "openai_chat":
            assert told == dropped


@pytest.mark.row("S2-27", "S2-28")
@pytest.mark.parametrize("name", ["builtin:deepseek", "builtin:kimi"])
def test_reasoning_that_a_client_has_not_kept_is_not_missed(name: str) -> None:
    """Ordinary OpenAI clients send no reasoning back, and the platform answers that with a 400."""
    body = json.loads(json.dumps(OPENAI))
    del body["messages"][2]["reasoning_content"]
    encoded = send("openai_chat", body, profile(name, "deepseek-v4-pro"))
    assert json.loads(encoded.body)["messages"][2] == {
        "role": "assistant",
        "reasoning_content": "",
        "content": "Let me look.",
        "tool_calls": [CALL],
    }
    assert ("messages.2", Action.EMULATED) in {(note.path, note.action) for note in encoded.notes}


def test_efforts_that_the_platform_names_otherwise() -> None:
    facts = profile("builtin:deepseek", "deepseek-v4-pro")
    for asked, sent in {"minimal": "low", "medium": "high", "xhigh": "xhigh", "max": "max"}.items():
        encoded = send("openai_chat", {**OPENAI, "reasoning_effort": asked}, facts)
        assert json.loads(encoded.body)["reasoning_effort"] == sent
    encoded = send("openai_chat", {**OPENAI, "reasoning_effort": "none"}, facts)
    assert json.loads(encoded.body)["thinking"] == {"type": "disabled"}


def test_what_a_client_says_in_the_platforms_own_words_stays() -> None:
    own = {"thinking": {"type": "enabled", "clear_thinking": False}, "tool_stream": True}
    encoded = send("openai_chat", {**OPENAI, **own}, profile("builtin:glm", "glm-4.7"))
    sent = json.loads(encoded.body)
    assert {name: sent[name] for name in own} == own


def test_a_thought_without_text_goes_back_to_minimax_by_itself() -> None:
    body = json.loads(json.dumps(OPENAI))
    body["messages"][2]["content"] = None
    encoded = send("openai_chat", body, profile("builtin:minimax", "MiniMax-M3"))
    earlier = json.loads(encoded.body)["messages"][2]
    assert earlier["content"] == "<think>\nI need a tool.\n</think>\n\n"


# -- Answers ----------------------------------------------------------------------------------------

THOUGHT, SAID = "The sun is out.", "It is sunny."
USAGE = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}


def own_form(name: str) -> dict[str, Any]:
    if name == "minimax":
        return {"content": f"<think>\n{THOUGHT}\n</think>\n\n{SAID}"}
    return {"reasoning_content": THOUGHT, "content": SAID}


def whole(name: str) -> bytes:
    message = {"role": "assistant", **own_form(name)}
    document = {
        "id": "up-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    }
    if name == "minimax":
        document["base_resp"] = {"status_code": 0, "status_msg": ""}
    return json.dumps(document).encode()


def streamed(name: str) -> list[bytes]:
    """Pieces of three letters, so that every tag is cut."""
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    for field, text in own_form(name).items():
        deltas += [{field: text[at : at + 3]} for at in range(0, len(text), 3)]
    frame = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks: list[dict[str, Any]] = [
        {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    chunks.append({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({**frame, "choices": [], "usage": USAGE})
    lines = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    return [*lines, b"data: [DONE]\n\n"]


def seen_by(client: str, body: bytes) -> tuple[str, str]:
    """(reasoning, text) of a whole answer in the client's protocol."""
    document = json.loads(body)
    if client == "openai_chat":
        message = document["choices"][0]["message"]
        return message["reasoning_content"], message["content"]
    if client == "anthropic_messages":
        blocks = {block["type"]: block for block in document["content"]}
        return blocks["thinking"]["thinking"], blocks["text"]["text"]
    thoughts = ["", ""]
    for part in document["candidates"][0]["content"]["parts"]:
        thoughts[0 if part.get("thought") else 1] += part["text"]
    return thoughts[0], thoughts[1]


@pytest.mark.parametrize("client", list(REQUESTS))
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.row(row)) for name, row in _OF.items()]
)
def test_each_client_gets_the_reasoning_apart_from_the_text(name: str, client: str) -> None:
    facts = profile(f"builtin:{name}", "m")
    ours = protocol(client)
    target = Target(model="public") if client == "gemini_generate" else Target()
    parsed = ours.parse_request(json.dumps(REQUESTS[client]).encode(), target)
    request = ours.decode_request(parsed)
    origin = Origin("openai_chat", facts.provider, "m")
    answer_filter = filter_for(CHAT, origin, ours, facts.quirks.get(THINK_TAG))
    response = filtered(CHAT.decode_response(whole(name), origin), answer_filter)
    assert seen_by(client, ours.encode_response(response, request)) == (THOUGHT, SAID)

    event_filter = filter_for(CHAT, origin, ours, facts.quirks.get(THINK_TAG))
    events = [
        more
        for event in all_events(CHAT.stream_decoder(origin), streamed(name))
        for more in (event_filter(event) if event_filter else [event])
    ]
    encoder = ours.stream_encoder(request)
    wire = b"".join([encoder.feed(event) for event in events]) + encoder.finish()
    assert b"think>" not in wire
    assert seen_by(client, ours.encode_response(collect(events), request)) == (THOUGHT, SAID)
