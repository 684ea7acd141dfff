"""Earlier turns, as the app takes them: a history of its own kind, or a transcript in words."""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.canonical.parts import Json
from dragoman.protocols.gradio.roles import is_text
from dragoman.protocols.gradio.site import Slot
from dragoman.protocols.gradio.types import Turn

_SPEAKERS = {"user": "User", "assistant": "Assistant"}


def transcript(turns: Sequence[Turn]) -> str:
    """One turn as it is, several as lines ``User: …`` and ``Assistant: …``."""
    if len(turns) == 1:
        return turns[0].text
    return "".join(f"{_SPEAKERS[turn.role]}: {turn.text}\n" for turn in turns)


def as_history(turns: Sequence[Turn], slot: Slot, system: str = "") -> Json:
    """The turns as messages, as pairs or, for an argument that is text, as a transcript. ``system``
    goes first, where a history can hold it."""
    if is_text(slot):
        lines = [f"System: {system}\n"] if system else []
        return "".join([*lines, *(f"{_SPEAKERS[turn.role]}: {turn.text}\n" for turn in turns)])
    if slot.component == "chatbot" and slot.messages == "pairs":
        return _pairs(turns, system)
    said = [(turn.role, turn.text) for turn in turns]
    messages = [("system", system), *said] if system else said
    return [{"role": role, "content": _content(text, slot)} for role, text in messages]


def _content(text: str, slot: Slot) -> Json:
    return [{"type": "text", "text": text}] if slot.messages == "parts" else text


def _pairs(turns: Sequence[Turn], system: str) -> list[Json]:
    pairs: list[list[str | None]] = []
    for turn in turns:
        if turn.role == "user":
            pairs.append([turn.text, None])
        elif pairs and pairs[-1][1] is None:
            pairs[-1][1] = turn.text
        else:
            pairs.append([None, turn.text])
    if system and pairs:
        pairs[0][0] = f"{system}\n{pairs[0][0] or ''}"
    return pairs
