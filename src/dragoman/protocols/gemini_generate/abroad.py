"""Gemini's answers on their way to clients of other protocols.

Gemini may sign plain text, too, and asks for that signature back; nowhere else has text a place for
one. So it follows the text as a piece of redacted reasoning, which those clients return.
Source: https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from dragoman.canonical.events import Event, PartDelta, PartEnd, PartStart
from dragoman.canonical.parts import Extensions, Reasoning, Text, own_extensions
from dragoman.canonical.signature import Origin, Signature
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID

_APART = 1_000_000
"""Added to a text's index to number its signature's part: no answer has that many parts."""


class Abroad:
    """Adds, after each signed text, the part that carries its signature."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._choices: dict[int, int] = {}
        self._signatures: dict[int, str] = {}

    def __call__(self, event: Event) -> list[Event]:
        """The event, and what is to follow it."""
        match event:
            case PartStart(part=Text()):
                self._choices[event.index] = event.choice
                self._look(event.index, event.part.extensions)
            case PartDelta() if event.extensions and event.index in self._choices:
                self._look(event.index, event.extensions)
            case PartEnd():
                choice = self._choices.pop(event.index, 0)
                if (value := self._signatures.pop(event.index, None)) is not None:
                    return [event, *self._carrier(event.index + _APART, choice, value)]
            case _:
                pass
        return [event]

    def _look(self, index: int, extensions: Extensions | None) -> None:
        value = own_extensions(extensions, PROTOCOL_ID).get("thoughtSignature")
        if isinstance(value, str):
            self._signatures[index] = value

    def _carrier(self, index: int, choice: int, value: str) -> list[Event]:
        part = Reasoning(signature=Signature(value, self._origin), redacted=True)
        return [PartStart(index, part, choice), PartEnd(index)]
