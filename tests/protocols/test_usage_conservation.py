"""Every token that an upstream bills is in exactly one bucket, whatever figures it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.signature import Origin
from dragoman.canonical.usage import MOST_TOKENS, Usage
from dragoman.protocols.registry import protocol

JsonObject = dict[str, Any]

numbers = st.integers(0, 100_000) | st.integers(-(10**25), 10**25)
hostile = st.none() | st.text(max_size=5) | st.lists(st.integers(), max_size=2) | st.booleans()
figures = st.one_of(numbers, numbers, numbers, st.none(), st.floats(-1e300, 1e300))
anything = figures | hostile


def document(
    *names: str, figure: st.SearchStrategy[Any] = figures
) -> st.SearchStrategy[JsonObject]:
    """An object with any of ``names``, all figures."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, figure))


def openai_usages(figure: st.SearchStrategy[Any], read: str, written: str) -> Any:
    details = document("cached_tokens", "audio_tokens", "image_tokens", figure=figure)
    prompt = st.builds(
        lambda a, b: {**a, **b},
        details,
        document("cache_write_tokens", "cache_creation_input_tokens", figure=figure),
    )
    completion = document("reasoning_tokens", "audio_tokens", "image_tokens", figure=figure)
    return st.builds(
        lambda totals, prompt, completion: {
            **totals,
            f"{read}_details": prompt,
            f"{written}_details": completion,
        },
        document(read, written, "total_tokens", figure=figure),
        st.none() | prompt,
        st.none() | completion,
    )


def anthropic_usages(figure: st.SearchStrategy[Any]) -> Any:
    return st.builds(
        lambda counts, creation, details: {
            **counts,
            "cache_creation": creation,
            "output_tokens_details": details,
        },
        document(
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            figure=figure,
        ),
        st.none()
        | document("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", figure=figure),
        st.none() | document("thinking_tokens", figure=figure),
    )


def gemini_usages(figure: st.SearchStrategy[Any]) -> Any:
    modalities = st.sampled_from(["TEXT", "AUDIO", "IMAGE", "VIDEO"])
    details = st.lists(
        st.fixed_dictionaries({"modality": modalities, "tokenCount": figure}), max_size=3
    )
    return st.builds(
        lambda counts, prompt, cached, written: {
            **counts,
            "promptTokensDetails": prompt,
            "cacheTokensDetails": cached,
            "candidatesTokensDetails": written,
        },
        document(
            "promptTokenCount",
            "candidatesTokenCount",
            "thoughtsTokenCount",
            "cachedContentTokenCount",
            "toolUsePromptTokenCount",
            "totalTokenCount",
            figure=figure,
        ),
        details,
        details,
        details,
    )


def chat(usage: JsonObject) -> JsonObject:
    message = {"role": "assistant", "content": "Hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "a", "object": "chat.completion", "choices": [choice], "usage": usage}


def completion(usage: JsonObject) -> JsonObject:
    choice = {"index": 0, "text": "Hi", "finish_reason": "stop"}
    return {"id": "a", "object": "text_completion", "choices": [choice], "usage": usage}


def response(usage: JsonObject) -> JsonObject:
    text = {"type": "output_text", "text": "Hi", "annotations": []}
    item = {"type": "message", "id": "i", "role": "assistant", "content": [text]}
    return {
        "id": "a",
        "object": "response",
        "status": "completed",
        "output": [item],
        "usage": usage,
    }


def message(usage: JsonObject) -> JsonObject:
    return {
        "id": "a",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "usage": usage,
    }


def candidates(usage: JsonObject) -> JsonObject:
    content = {"role": "model", "parts": [{"text": "Hi"}]}
    return {
        "candidates": [{"content": content, "finishReason": "STOP"}],
        "usageMetadata": usage,
    }


def ollama(usage: JsonObject) -> JsonObject:
    return {"model": "m", "message": {"role": "assistant", "content": "Hi"}, "done": True, **usage}


PROTOCOLS: dict[str, tuple[Callable[[JsonObject], JsonObject], Callable[[Any], Any]]] = {
    "openai_chat": (chat, lambda f: openai_usages(f, "prompt_tokens", "completion_tokens")),
    "openai_completions": (
        completion,
        lambda f: openai_usages(f, "prompt_tokens", "completion_tokens"),
    ),
    "openai_responses": (response, lambda f: openai_usages(f, "input_tokens", "output_tokens")),
    "anthropic_messages": (message, anthropic_usages),
    "gemini_generate": (candidates, gemini_usages),
    "ollama_chat": (ollama, lambda f: document("prompt_eval_count", "eval_count", figure=f)),
}
every_protocol = pytest.mark.parametrize("name", PROTOCOLS)


def whole(count: object) -> int:
    """A figure as it may be billed."""
    return min(max(0, int(count)), MOST_TOKENS) if isinstance(count, int | float) else 0


def totals(name: str, usage: JsonObject) -> tuple[int, int] | None:
    """(read, written) by the upstream's own totals."""
    if name == "gemini_generate":
        return None  # its totals overlap in ways of their own; see the codec's tests
    if name == "ollama_chat":
        return whole(usage.get("prompt_eval_count")), whole(usage.get("eval_count"))
    if name == "anthropic_messages":
        creation = usage["cache_creation"] or {}
        written = usage.get("cache_creation_input_tokens")
        cached = sum(map(whole, creation.values())) if written is None else whole(written)
        read = whole(usage.get("input_tokens")) + whole(usage.get("cache_read_input_tokens"))
        return read + min(cached, MOST_TOKENS), whole(usage.get("output_tokens"))
    names = ("input", "output") if name == "openai_responses" else ("prompt", "completion")
    read, written = (whole(usage.get(f"{one}_tokens")) for one in names)
    return read, max(written, min(whole(usage.get("total_tokens")) - read, MOST_TOKENS))


def decoded(name: str, wire: JsonObject) -> Usage | None:
    make, _ = PROTOCOLS[name]
    body = json.dumps(make(wire)).encode()
    origin = Origin(name, "custom", "m")
    codec = protocol(name)
    read = codec.decode_response(body, origin).usage
    if codec.glance_response is not None:
        assert codec.glance_response(body, origin).usage == read
    return read


def assert_disjoint(usage: Usage) -> None:
    buckets = [getattr(usage, name) for name in usage.__struct_fields__ if name != "estimated"]
    assert all(type(count) is int and 0 <= count <= MOST_TOKENS for count in buckets)


@every_protocol
@given(data=st.data())
def test_buckets_sum_to_what_the_upstream_bills(name: str, data: st.DataObject) -> None:
    wire = data.draw(PROTOCOLS[name][1](figures))
    try:
        usage = decoded(name, wire)
    except UpstreamBroken:
        # Fractions where only whole numbers are read.
        assert name in ("gemini_generate", "ollama_chat")
        return
    if usage is None:
        return
    assert_disjoint(usage)
    wanted = totals(name, wire)
    if wanted is not None:
        assert (usage.total_input, usage.total_output) == wanted


@every_protocol
@given(data=st.data())
def test_figures_that_are_none_do_not_pass_for_tokens(name: str, data: st.DataObject) -> None:
    """Words, lists and truth values: refused, or not counted."""
    wire = data.draw(PROTOCOLS[name][1](anything))
    try:
        usage = decoded(name, wire)
    except UpstreamBroken:
        return
    if usage is not None:
        assert_disjoint(usage)


@given(
    prompt=st.integers(0, 10_000),
    fed=st.integers(0, 1_000),
    written=st.integers(0, 10_000),
    thoughts=st.integers(0, 10_000),
    cached=st.integers(0, 20_000),
)
def test_geminis_total_is_the_sum_of_the_buckets(
    prompt: int, fed: int, written: int, thoughts: int, cached: int
) -> None:
    wire = {
        "promptTokenCount": prompt,
        "toolUsePromptTokenCount": fed,
        "candidatesTokenCount": written,
        "thoughtsTokenCount": thoughts,
        "cachedContentTokenCount": cached,
        "totalTokenCount": prompt + fed + written + thoughts,
    }
    usage = decoded("gemini_generate", wire)
    assert usage is not None
    assert usage.total == wire["totalTokenCount"]
    assert usage.cache_read == min(cached, prompt + fed)
