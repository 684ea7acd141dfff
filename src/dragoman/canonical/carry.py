"""Carrying a tool call's signature through a protocol whose calls have no place for one.

Gemini signs function calls and refuses a later turn without that signature. A client of another
protocol gets it as a piece of redacted reasoning right before the call, which every such protocol
makes its clients return, and gives it back the same way.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from dragoman.canonical.parts import Part, Reasoning, ToolCall


def signature_apart(part: Part) -> list[Part]:
    """A signed call as redacted reasoning and the bare call; any other part as it is."""
    if not isinstance(part, ToolCall) or part.signature is None:
        return [part]
    return [
        Reasoning(signature=part.signature, redacted=True),
        msgspec.structs.replace(part, signature=None),
    ]


def signs_a_call(part: Part, protocol: str) -> bool:
    """Whether ``part`` is what ``signature_apart`` put before a call for a client of ``protocol``:
    redacted reasoning that is not that protocol's own."""
    return (
        isinstance(part, Reasoning)
        and part.redacted
        and part.signature is not None
        and part.signature.origin.protocol != protocol
    )


def signatures_rejoined(parts: Iterable[Part], protocol: str) -> list[Part]:
    """Undo ``signature_apart`` for a whole message."""
    joined: list[Part] = []
    for part in parts:
        if isinstance(part, ToolCall) and joined and signs_a_call(joined[-1], protocol):
            carrier = joined.pop()
            assert isinstance(carrier, Reasoning)
            part = msgspec.structs.replace(part, signature=carrier.signature)  # noqa: PLW2901
        joined.append(part)
    return joined
