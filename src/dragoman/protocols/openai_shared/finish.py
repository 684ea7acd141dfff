"""``finish_reason``, both ways."""

from __future__ import annotations

from dragoman.canonical.response import Finish, FinishReason

_REASON_OF_WORD = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "tool_call": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.REFUSAL,
    "pause": FinishReason.PAUSE,
    "pause_turn": FinishReason.PAUSE,
    "error": FinishReason.ERROR,
    "abort": FinishReason.ERROR,
    "network_error": FinishReason.ERROR,
    "insufficient_system_resource": FinishReason.ERROR,
}
"""OpenAI's words, and those of Together, Mistral, GLM, DeepSeek, vLLM, SGLang and OpenRouter."""

_WORD_OF_REASON = {
    FinishReason.STOP: "stop",
    FinishReason.STOP_SEQUENCE: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "content_filter",
    FinishReason.PAUSE: "stop",
    FinishReason.ERROR: "error",
}

_STANDARD = frozenset({"stop", "length", "tool_calls", "function_call", "content_filter"})
_STOPPED = (FinishReason.STOP, FinishReason.STOP_SEQUENCE)
_FINER = frozenset({FinishReason.STOP_SEQUENCE, FinishReason.REFUSAL, FinishReason.PAUSE})
"""Reasons OpenAI has no word for; they survive in ``native_finish_reason`` (OpenRouter's field)."""


def decode_finish(
    word: str, *, native: str | None = None, stop: object = None, tool_calls: bool = False
) -> Finish:
    """Read how a choice ended.

    ``native`` is OpenRouter's ``native_finish_reason``, ``stop`` vLLM's ``stop_reason`` (the matched
    string, or a token's number, which says nothing), ``tool_calls`` whether the choice holds any: a
    model that calls tools and says "stop" has stopped to have them run.
    """
    reason = _REASON_OF_WORD.get(word.lower(), FinishReason.STOP)
    said = _REASON_OF_WORD.get((native or "").lower())
    if said in _FINER:
        reason = said
    sequence = None
    if tool_calls and reason in _STOPPED:
        reason = FinishReason.TOOL_CALLS
    elif isinstance(stop, str) and reason in _STOPPED:
        reason, sequence = FinishReason.STOP_SEQUENCE, stop
    raw = native if native and native != word else None if word in _STANDARD else word
    return Finish(reason=reason, stop_sequence=sequence, raw=None if raw == reason.value else raw)


def finish_word(finish: Finish | None, tool_calls: bool) -> str:
    """OpenAI's word for ``finish``. There always is one: opencode asks again without end when it is
    null (430 requests in 45 seconds, measured November 2026)."""
    if finish is None:
        return "tool_calls" if tool_calls else "stop"
    return _WORD_OF_REASON[finish.reason]


def native_reason(finish: Finish | None) -> str | None:
    """What ``native_finish_reason`` should say, None if ``finish_reason`` says it all."""
    if finish is None:
        return None
    return finish.raw or (finish.reason.value if finish.reason in _FINER else None)
