"""``stop_reason``, both ways.

Source: ``anthropic.types.stop_reason``, ``beta_stop_reason`` and ``refusal_stop_details``.
"""

from __future__ import annotations

from dragoman.canonical.parts import Json, own_extensions
from dragoman.canonical.response import Finish, FinishReason
from dragoman.protocols.anthropic_messages.blocks import own
from dragoman.protocols.anthropic_messages.types import PROTOCOL_ID

_REASON_OF_WORD = {
    "end_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "tool_use": FinishReason.TOOL_CALLS,
    "pause_turn": FinishReason.PAUSE,
    "refusal": FinishReason.REFUSAL,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "compaction": FinishReason.PAUSE,
}
_WORD_OF_REASON = {
    FinishReason.STOP: "end_turn",
    FinishReason.STOP_SEQUENCE: "stop_sequence",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.REFUSAL: "refusal",
    FinishReason.PAUSE: "pause_turn",
    FinishReason.ERROR: "end_turn",
}

STOP_REASON = "stop_reason"
"""The extension that keeps a word this codec does not know."""


def decode_finish(
    word: str | None, stop_sequence: str | None, *, called: bool, extras: dict[str, Json]
) -> Finish:
    """How an answer ended; ``called``: it asks for tools, whatever the word says.

    A missing word is an end like any other; an unknown one too, but it is kept.
    """
    word = word or "end_turn"
    reason = _REASON_OF_WORD.get(word)
    if reason is None:
        extras = {**extras, STOP_REASON: word}
        reason = FinishReason.STOP
    if reason is FinishReason.STOP and called:
        reason = FinishReason.TOOL_CALLS
    raw = None if _WORD_OF_REASON[reason] == word or word == "end_turn" else word
    return Finish(reason=reason, stop_sequence=stop_sequence, raw=raw, extensions=own(extras))


def encode_finish(finish: Finish | None, *, called: bool, refused: bool) -> tuple[str, str | None]:
    """(``stop_reason``, ``stop_sequence``); never empty, because clients wait for a reason."""
    if finish is None:
        return ("tool_use" if called else "refusal" if refused else "end_turn"), None
    kept = own_extensions(finish.extensions, PROTOCOL_ID).get(STOP_REASON)
    if isinstance(kept, str):
        return kept, finish.stop_sequence
    if finish.raw in _REASON_OF_WORD and _REASON_OF_WORD[finish.raw] is finish.reason:
        return finish.raw, finish.stop_sequence
    word = _WORD_OF_REASON[finish.reason]
    if word == "end_turn" and called:
        word = "tool_use"
    elif word == "end_turn" and refused:
        word = "refusal"
    return word, finish.stop_sequence
