"""A question becomes a call: the list of arguments that an endpoint takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dragoman.canonical.errors import UpstreamMisconfigured
from dragoman.canonical.notes import Note, Notes
from dragoman.canonical.parts import Json
from dragoman.protocols.gradio.flags import fit, roles_by_flags
from dragoman.protocols.gradio.history import as_history, transcript
from dragoman.protocols.gradio.roles import roles_of
from dragoman.protocols.gradio.site import Door, Slot
from dragoman.protocols.gradio.types import File, Question

DEFAULT_SYSTEM = "You are a helpful assistant."
"""For a required argument that nobody has said anything for."""

_EMPTY: dict[str, Json] = {"checkbox": False, "checkboxgroup": [], "chatbot": []}
_FILE_ROLES = ("image", "audio", "video", "document")
_EFFORTS = {"minimal": "low", "xhigh": "high", "max": "high"}


class Hole(msgspec.Struct, frozen=True):
    """Where an uploaded file goes; ``index`` counts ``Arrangement.files``."""

    index: int


class Arrangement(msgspec.Struct, kw_only=True):
    """A call before its files are uploaded."""

    values: list[Any]
    files: list[File] = []
    notes: list[Note] = []

    def data(self, uploaded: Sequence[Json]) -> list[Json]:
        """The arguments, with the servers' descriptions of the files in their places."""
        return [_filled(value, uploaded) for value in self.values]


def arrange(question: Question, door: Door, *, flags: str = "", strict: bool = True) -> Arrangement:
    """The arguments for ``door``. ``flags`` are obeyed if they fit; if not, they raise
    UpstreamMisconfigured or, unless ``strict``, are forgotten."""
    if flags and (strict or fit(door, flags)):
        # What the conversation's past goes into is nothing that flags speak of.
        history = roles_of(door).get("history")
        roles = roles_by_flags(door, flags)
        if history is not None and history not in roles.values():
            roles["history"] = history
    else:
        flags, roles = "", roles_of(door)
    return _Arranger(question, door, roles, flags).arrange()


class _Arranger:
    def __init__(
        self, question: Question, door: Door, roles: Mapping[str, int], flags: str
    ) -> None:
        self._question = question
        self._door = door
        self._roles = roles
        self._flags = flags
        self._values: list[Any] = [None if one.hidden else _default(one) for one in door.slots]
        self._files: list[File] = []
        self._notes = Notes()

    def arrange(self) -> Arrangement:
        system = self._effort(self._question.system)
        self._settings()
        self._thinking()
        prefix = self._system(system)
        self._conversation(prefix)
        self._required()
        return Arrangement(values=self._values, files=self._files, notes=self._notes.items)

    def _slot(self, role: str) -> Slot | None:
        index = self._roles.get(role)
        return None if index is None else self._door.slots[index]

    def _put(self, role: str, value: Any) -> None:
        self._values[self._roles[role]] = value

    def _effort(self, system: str) -> str:
        """The system text; with a sentence on the effort, which models such as gpt-oss read, unless
        the app has an argument for it."""
        effort = self._question.effort
        if effort is None:
            return system
        word = _EFFORTS.get(effort, effort)
        slot = self._slot("effort")
        if slot is not None:
            choice = next((c for c in _choices(slot) if str(c).casefold() == word), None)
            if choice is not None:
                self._put("effort", choice)
                return system
        if effort == "none":
            self._notes.dropped("reasoning.effort", "the app has no switch for it")
            return system
        self._notes.emulated("reasoning.effort", "a sentence in the system text")
        if not system and (default := self._own_system_text()):
            system = default
        if system and not system.endswith((".", "!", "?")):
            system += "."
        return f"{system} Reasoning: {word}".lstrip()

    def _own_system_text(self) -> str:
        slot = self._slot("system")
        return slot.default if slot is not None and isinstance(slot.default, str) else ""

    def _thinking(self) -> None:
        if (wanted := self._question.thinking) is None:
            return
        if "thinking" in self._roles:
            self._put("thinking", wanted)
        else:
            self._notes.dropped("reasoning.mode", "the app has no switch for it")

    def _settings(self) -> None:
        for name, value in self._question.settings.items():
            path = _path(name)
            slot = self._slot(name)
            if slot is None:
                why = "the flags leave it out" if self._flags else "the app takes no such argument"
                self._notes.dropped(path, why)
                continue
            taken = _clamped(value, slot)
            if taken != value:
                self._notes.clamped(path, f"{value:g} became {taken:g}, as the app's range has it")
            self._put(name, taken)

    def _system(self, system: str) -> str:
        """Put the system text into its argument, if there is one; else what is to stand before the
        user's."""
        slot = self._slot("system")
        if slot is None:
            if system:
                self._notes.emulated("messages", "the system text stands before the user's")
            return system
        if system:
            self._put("system", system)
        elif not slot.has_default:
            self._put("system", DEFAULT_SYSTEM if self._flags else "")
        return ""

    def _conversation(self, prefix: str) -> None:
        turns = self._question.turns
        history = self._slot("history")
        message = self._slot("message")
        earlier = turns[:-1] if message is not None else turns
        if history is not None:
            self._put("history", as_history(earlier, history, prefix if message is None else ""))
            text = turns[-1].text if turns else ""
        else:
            text = transcript(turns)
            if len(turns) > 1:
                self._notes.emulated("messages", "the earlier turns are a transcript")
        holes = [hole for turn in turns for file in turn.files if (hole := self._hole(file))]
        if message is None:
            return
        text = f"{prefix}\n{text}" if prefix else text
        self._put("message", {"text": text, "files": holes} if message.multimodal else text)

    def _hole(self, file: File) -> Hole | None:
        """The place of a file in the message; None if it went elsewhere or nowhere."""
        message = self._slot("message")
        if message is not None and message.multimodal:
            self._files.append(file)
            return Hole(len(self._files) - 1)
        role = next((r for r in (file.kind, "document") if r in _FILE_ROLES and r in self._own), "")
        if not role:
            self._notes.dropped(file.where, "the app takes no such file")
            return None
        index = self._own[role]
        if isinstance(self._values[index], Hole):  # the last one counts
            replaced = self._values[index].index
            self._notes.dropped(self._files[replaced].where, "the app takes one file only")
            self._files[replaced] = file
            return None
        self._files.append(file)
        self._values[index] = Hole(len(self._files) - 1)
        return None

    @property
    def _own(self) -> Mapping[str, int]:
        return {} if self._flags else self._roles

    def _required(self) -> None:
        """An argument of a kind that nothing can stand for must not be missing."""
        for index, slot in enumerate(self._door.slots):
            known = slot.hidden or slot.has_default or index in self._roles.values()
            if not known and slot.component in ("dropdown", "radio") and _choices(slot):
                self._values[index] = _choices(slot)[0]
            elif not known and slot.component in ("slider", "number"):
                if (least := _bound(slot, "minimum")) is None:
                    raise UpstreamMisconfigured(
                        f"The Gradio app demands the argument {slot.shown[:60]!r}, of which nothing "
                        "is known.",
                        code="argument_unknown",
                    )
                self._values[index] = least


def _default(slot: Slot) -> Json:
    """What a browser would send for an argument that nobody has touched."""
    if slot.has_default:
        return slot.default
    if slot.multimodal:
        return {"text": "", "files": []}
    return _EMPTY.get(slot.component, "" if slot.component == "textbox" else None)


def _filled(value: Any, uploaded: Sequence[Json]) -> Json:
    match value:
        case Hole(index):
            return uploaded[index]
        case {"text": text, "files": list(files)}:
            return {"text": text, "files": [_filled(file, uploaded) for file in files]}
        case _:
            return value


def _path(setting: str) -> str:
    return setting if setting == "repetition_penalty" else f"settings.{setting}"


def _clamped(value: float, slot: Slot) -> float:
    """Within the slider's range, and whole where only whole numbers are taken."""
    least, most = _bound(slot, "minimum"), _bound(slot, "maximum")
    if most is not None:
        value = min(value, most)
    if least is not None:
        value = max(value, least)
    return round(value) if value == int(value) or _is_whole(slot) else value


def _is_whole(slot: Slot) -> bool:
    step, least = slot.props.get("step"), slot.props.get("minimum")
    by_steps = isinstance(step, int) and step and isinstance(least, int | None)
    return bool(by_steps) or slot.props.get("precision") == 0


def _bound(slot: Slot, name: str) -> float | None:
    value = slot.props.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _choices(slot: Slot) -> list[Json]:
    """The values to choose from; the wire has them as [name, value] pairs."""
    choices = slot.props.get("choices")
    if not isinstance(choices, list):
        return []
    return [one[1] if isinstance(one, list) and len(one) == 2 else one for one in choices]
