"""Which argument of an endpoint means what: by component, name, label and type.

There is no convention that authors of Gradio apps are held to; these are the names in use. A name that
fits exactly goes before a label that contains one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from dragoman.protocols.gradio.site import Door, Slot, as_key

Roles = Mapping[str, int]
"""Role → index of the slot. Roles: ``message``, ``history``, ``system``, ``effort``, ``thinking``, the
names of ``SETTINGS``, and ``image``, ``audio``, ``video``, ``document`` for files of their own."""

SETTINGS: dict[str, tuple[str, ...]] = {
    "max_output_tokens": (
        "max_new_tokens",
        "max_tokens",
        "max_output_tokens",
        "max_completion_tokens",
        "maximum_new_tokens",
        "max_length",
        "max_gen_len",
        "num_predict",
        "n_predict",
    ),
    "temperature": ("temperature", "temp"),
    "top_p": ("top_p", "nucleus_sampling"),
    "top_k": ("top_k",),
    "repetition_penalty": ("repetition_penalty", "repeat_penalty", "rep_penalty"),
    "presence_penalty": ("presence_penalty",),
    "frequency_penalty": ("frequency_penalty",),
    "seed": ("seed", "random_seed"),
}
"""Canonical setting → the names it has in Gradio apps, commonest first."""

_WORDS: dict[str, tuple[str, ...]] = {
    "history": ("history", "chat_history", "chatbot", "messages", "conversation", "chat_log"),
    "system": (
        "system_message",
        "system_prompt",
        "system",
        "sys_prompt",
        "system_instruction",
        "system_instructions",
        "instructions",
        "policy",
    ),
    "effort": ("reasoning_effort", "reasoning_level", "thinking_effort", "effort"),
    "thinking": (
        "enable_thinking",
        "enable_reasoning",
        "thinking_mode",
        "use_thinking",
        "thinking",
        "think",
    ),
}
_MESSAGE = (
    "message",
    "prompt",
    "input_data",
    "user_message",
    "user_input",
    "user_prompt",
    "question",
    "query",
    "input",
    "inputs",
    "input_text",
    "text",
    "msg",
    "instruction",
)
_FILES = {"image": "image", "audio": "audio", "video": "video", "file": "document"}
_TEXT_RESULTS = frozenset(
    {"textbox", "markdown", "json", "chatbot", "html", "code", "label", "text"}
)
_NUMBERS = frozenset({"slider", "number"})
_CHOSEN_NOT_WRITTEN = frozenset({"dropdown", "radio", "chatbot", "checkbox", *_FILES})
_TEXTS = frozenset({"textbox", "text", "textarea", "code", "markdown"})


def roles_of(door: Door) -> dict[str, int]:
    """What can be told of the endpoint's arguments."""
    slots = {index: slot for index, slot in enumerate(door.slots) if not slot.hidden}
    found: dict[str, int] = {}

    def claim(role: str, words: Iterable[str], fits: Callable[[Slot], bool]) -> None:
        free = {i: slot for i, slot in slots.items() if i not in found.values() and fits(slot)}
        index = _named(free, words)
        if index is not None:
            found[role] = index

    for index, slot in slots.items():
        if slot.component == "chatbot":
            found.setdefault("history", index)
        if slot.multimodal:
            found.setdefault("message", index)
        if slot.component in _FILES:
            found.setdefault(_FILES[slot.component], index)
    for name, words in SETTINGS.items():
        claim(name, words, is_number)
    claim("thinking", _WORDS["thinking"], lambda slot: slot.component == "checkbox")
    claim("effort", _WORDS["effort"], lambda slot: slot.component in ("dropdown", "radio"))
    claim("system", _WORDS["system"], is_text)
    if "history" not in found:
        claim("history", _WORDS["history"], lambda slot: not is_number(slot))
    if "message" not in found:
        claim("message", _MESSAGE, is_text)
    if "message" not in found:
        free = (i for i, slot in slots.items() if i not in found.values() and is_text(slot))
        if (first := next(free, None)) is not None:
            found["message"] = first
    return found


def is_chat(door: Door, roles: Roles) -> bool:
    """Whether the endpoint takes what a user says and answers in text."""
    if not _TEXT_RESULTS.intersection(door.returns):
        return False
    history = roles.get("history")
    return "message" in roles or (
        history is not None and door.slots[history].component == "chatbot"
    )


def is_text(slot: Slot) -> bool:
    """Whether the argument is plain text."""
    if slot.multimodal or slot.component in _CHOSEN_NOT_WRITTEN:
        return False
    return slot.component in _TEXTS or slot.type == "string"


def is_number(slot: Slot) -> bool:
    """Whether the argument is a number."""
    return slot.component in _NUMBERS or slot.type in ("number", "integer")


def _named(slots: Mapping[int, Slot], words: Iterable[str]) -> int | None:
    words = tuple(words)
    for word in words:
        for index, slot in slots.items():
            if slot.key == word:
                return index
    for word in words:
        for index, slot in slots.items():
            if f"_{word}_" in f"_{slot.key}_" or f"_{word}_" in f"_{as_key(slot.label)}_":
                return index
    return None
