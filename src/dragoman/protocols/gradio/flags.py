"""The two-digit ``flags`` of older configurations, held against what the app really takes.

First digit, how the conversation goes in; second digit, which settings do. Everything is passed by
the arguments' names::

    0  message (text), system_message          0  none
    1  input_data (text), system_prompt        1  max_new_tokens, temperature, top_p, top_k,
    2  message (text and files), system_prompt    repetition_penalty
    3  message (text and files), system joined 2  max_new_tokens only
    4  message (text), system joined
    5  prompt (text), policy

An app's arguments change without notice, and then a call by the old flags does nonsense or fails in a
way that says nothing. So wrong flags are an error that tells which are right.
"""

from __future__ import annotations

from dragoman.canonical.errors import UpstreamMisconfigured
from dragoman.protocols.gradio.roles import is_text
from dragoman.protocols.gradio.site import Door

# Digit → (the user's words, the system's or "", whether the first is an object with files).
_FIRST: dict[str, tuple[str, str, bool]] = {
    "0": ("message", "system_message", False),
    "1": ("input_data", "system_prompt", False),
    "2": ("message", "system_prompt", True),
    "5": ("prompt", "policy", False),
    "3": ("message", "", True),
    "4": ("message", "", False),
}
_SECOND: dict[str, dict[str, str]] = {
    "1": {
        "max_output_tokens": "max_new_tokens",
        "temperature": "temperature",
        "top_p": "top_p",
        "top_k": "top_k",
        "repetition_penalty": "repetition_penalty",
    },
    "2": {"max_output_tokens": "max_new_tokens"},
    "0": {},
}


def are_flags(text: str) -> bool:
    """Whether ``text`` is two digits that mean something."""
    return len(text) == 2 and text[0] in _FIRST and text[1] in _SECOND


def roles_by_flags(door: Door, flags: str) -> dict[str, int]:
    """The roles that ``flags`` give the endpoint's arguments. Raises UpstreamMisconfigured."""
    if fit(door, flags):
        return _roles(door, flags)
    right = right_flags(door)
    if right:
        mend = f"the right ones are {right!r}, or none at all: without, the app itself is asked."
    else:
        mend = "no others do, either: leave them out, then the app itself is asked."
    taken = ", ".join(slot.shown for slot in door.slots if not slot.hidden)
    raise UpstreamMisconfigured(
        f"The flags {flags!r} do not fit the Gradio app: {mend} Its endpoint {door.name[:60]} takes "
        f"{taken[:300] or 'nothing'}.",
        code="wrong_flags",
    )


def fit(door: Door, flags: str) -> bool:
    """Whether every argument that ``flags`` speak of is there, and of the right kind."""
    if not are_flags(flags):
        return False
    message, system, multimodal = _FIRST[flags[0]]
    slots = {slot.key: slot for slot in door.slots if not slot.hidden}
    if message not in slots or (system and system not in slots):
        return False
    kind_fits = slots[message].multimodal if multimodal else is_text(slots[message])
    return kind_fits and all(name in slots for name in _SECOND[flags[1]].values())


def right_flags(door: Door) -> str:
    """The flags that say most about the endpoint; empty if none fit."""
    for first in _FIRST:
        for second in _SECOND:
            if fit(door, first + second):
                return first + second
    return ""


def _roles(door: Door, flags: str) -> dict[str, int]:
    message, system, _ = _FIRST[flags[0]]
    wanted = {"message": message, **_SECOND[flags[1]]}
    if system:
        wanted["system"] = system
    index = {slot.key: at for at, slot in enumerate(door.slots) if not slot.hidden}
    return {role: index[key] for role, key in wanted.items()}
