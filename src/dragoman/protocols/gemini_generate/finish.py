"""Finish reasons, both ways. Source: ``FinishReason`` in google-genai's types."""

from __future__ import annotations

from dragoman.canonical.response import Finish, FinishReason

_FROM_WIRE = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "LANGUAGE": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
    "IMAGE_SAFETY": FinishReason.CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "IMAGE_RECITATION": FinishReason.CONTENT_FILTER,
    "MODEL_ARMOR": FinishReason.CONTENT_FILTER,
    "ESCALATION": FinishReason.CONTENT_FILTER,
    "PUP_LIMITED_DISABLED": FinishReason.CONTENT_FILTER,
    "CONTINUATION": FinishReason.PAUSE,
    "OTHER": FinishReason.ERROR,
    "IMAGE_OTHER": FinishReason.ERROR,
    "NO_IMAGE": FinishReason.ERROR,
    "MALFORMED_FUNCTION_CALL": FinishReason.ERROR,
    "UNEXPECTED_TOOL_CALL": FinishReason.ERROR,
    "TOO_MANY_TOOL_CALLS": FinishReason.ERROR,
    "MISSING_THOUGHT_SIGNATURE": FinishReason.ERROR,
    "MALFORMED_RESPONSE": FinishReason.ERROR,
}
_TO_WIRE = {
    FinishReason.STOP: "STOP",
    FinishReason.STOP_SEQUENCE: "STOP",
    FinishReason.TOOL_CALLS: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.CONTENT_FILTER: "SAFETY",
    FinishReason.REFUSAL: "SAFETY",
    # CONTINUATION would make Google's SDK ask again with a token that nobody has.
    FinishReason.PAUSE: "OTHER",
    FinishReason.ERROR: "OTHER",
}
# These two say no more than their canonical words do.
_PLAIN = ("STOP", "MAX_TOKENS")
UNSPECIFIED = "FINISH_REASON_UNSPECIFIED"
"""Protobuf's default, which some servers write where others leave the field out."""


def read_finish(word: str | None, *, has_calls: bool) -> Finish:
    """The wire's word → why it ended. A word that is not known is no natural end: ``STOP`` alone is."""
    reason = FinishReason.STOP if word is None else _FROM_WIRE.get(word, FinishReason.ERROR)
    if reason is FinishReason.STOP and has_calls:
        reason = FinishReason.TOOL_CALLS
    return Finish(reason=reason, raw=None if word in _PLAIN else word)


def write_finish(finish: Finish) -> str:
    """Why it ended → the wire's word; Google's own where it was one (they alone are in capitals)."""
    raw = finish.raw
    return raw if raw and raw.isupper() else _TO_WIRE[finish.reason]
