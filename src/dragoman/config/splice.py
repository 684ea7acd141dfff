"""Changing one place of a JSON text and leaving the rest as its author wrote it.

Every function takes the whole text, which must be valid JSON, and gives a new one. A path is a tuple
of member names and list positions. What is added takes on the indentation and the line ends it finds.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODE = json.JSONDecoder().raw_decode
_INDENT = re.compile(r"\n([ \t]+)\S")
_USUAL_INDENT = "  "


class _Item(NamedTuple):
    """A member of an object (from ``begin``, its name) or an item of a list (from ``start``)."""

    name: str | None
    begin: int
    start: int
    end: int


class _Container(NamedTuple):
    """An object or a list, from its opening bracket to its closing one."""

    opening: int
    closing: int
    items: list[_Item]

    def position(self, step: str | int) -> int:
        """Which of the items ``step`` names. Raises LookupError."""
        if isinstance(step, int):
            return range(len(self.items))[step]
        return {item.name: place for place, item in enumerate(self.items)}[step]


def put(text: str, path: Path, value: Any) -> str:
    """Set the value at ``path``; an object's member that is missing is added at its end, and so are
    missing objects on the way there."""
    container, at = _deepest(text, path)
    missing = path[at:]
    if not missing:
        item = container.items[container.position(path[-1])]
        return text[: item.start] + _written(text, item.start, value) + text[item.end :]
    for step in reversed(missing[1:]):
        value = {step: value}
    return _added(text, container, value, str(missing[0]))


def append(text: str, path: Path, value: Any) -> str:
    """Add ``value`` at the end of the list at ``path``. Raises LookupError if there is none."""
    return _added(text, _container(text, path), value, None)


def remove(text: str, path: Path) -> str:
    """Take out the member or item at ``path``. Raises LookupError if it is not there."""
    container = _container(text, path[:-1])
    at = container.position(path[-1])
    items = container.items
    if len(items) == 1:
        return text[: container.opening + 1] + text[container.closing :]
    if at + 1 < len(items):
        return text[: items[at].begin] + text[items[at + 1].begin :]
    return text[: items[at - 1].end] + text[items[at].end :]


def _deepest(text: str, path: Path) -> tuple[_Container, int]:
    """The innermost container on the way, and how many steps of ``path`` exist."""
    container = _scan(text, _skip(text, 0))
    for at, step in enumerate(path):
        try:
            item = container.items[container.position(step)]
        except LookupError:
            return container, at
        if at + 1 < len(path):
            container = _scan(text, item.start)
    return container, len(path)


def _container(text: str, path: Path) -> _Container:
    container = _scan(text, _skip(text, 0))
    for step in path:
        container = _scan(text, container.items[container.position(step)].start)
    return container


def _scan(text: str, at: int) -> _Container:
    opening = at
    if text[opening] not in "{[":
        raise LookupError("there is no object or list")
    items = []
    at = _skip(text, opening + 1)
    while text[at] not in "}]":
        begin, name = at, None
        if text[opening] == "{":
            name, at = _DECODE(text, at)
            at = _skip(text, _skip(text, at) + 1)  # past the colon
        end = _DECODE(text, at)[1]
        items.append(_Item(name, begin, at, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return _Container(opening, at, items)


def _added(text: str, container: _Container, value: Any, name: str | None) -> str:
    items = container.items
    newline = _newline(text)
    after = items[-1].end if items else container.opening + 1
    if len(items) > 1:
        between = text[items[-2].end : items[-1].begin]
    elif items:
        between = "," + (text[container.opening + 1 : items[0].begin] or " ")
    elif newline:
        between = newline + _line_indent(text, container.opening) + _unit(text)
    else:
        between = ""
    closing = "" if items or not newline else newline + _line_indent(text, container.opening)
    indent = between.rpartition("\n")[2] if "\n" in between else None
    written = _render(value, indent, _unit(text), newline)
    if name is not None:
        written = f"{json.dumps(name, ensure_ascii=False)}: {written}"
    rest = text[after:] if items else text[container.closing :]
    return text[:after] + between + written + closing + rest


def _written(text: str, at: int, value: Any) -> str:
    """``value`` as it stands at ``at``: over several lines only if the text has several."""
    newline = _newline(text)
    return _render(value, _line_indent(text, at) if newline else None, _unit(text), newline)


def _render(value: Any, indent: str | None, unit: str, newline: str) -> str:
    """``value`` as text; ``indent`` is that of its first line, None if all is to be one line. A list
    of plain values stays on one line anyway."""
    inside = [*value.values()] if isinstance(value, dict) else value
    if isinstance(value, dict):
        names = [f"{json.dumps(name, ensure_ascii=False)}: " for name in value]
        has_lines = bool(value)
    elif isinstance(value, list):
        names = [""] * len(value)
        has_lines = any(isinstance(item, dict | list) for item in value)
    else:
        names, has_lines = [], False
    if indent is None or not has_lines:
        return json.dumps(value, ensure_ascii=False)
    inner = indent + unit
    written = [_render(item, inner, unit, newline) for item in inside]
    parts = [name + text for name, text in zip(names, written, strict=True)]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    body = f",{newline}{inner}".join(parts)
    return f"{opening}{newline}{inner}{body}{newline}{indent}{closing}"


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None  # it matches nothing at all, too
    return found.end()


def _newline(text: str) -> str:
    """The line end in use; empty if the text is all one line."""
    if "\n" not in text.strip():
        return ""
    return "\r\n" if "\r\n" in text else "\n"


def _unit(text: str) -> str:
    """One step of indentation."""
    found = _INDENT.search(text)
    return found[1] if found else _USUAL_INDENT


def _line_indent(text: str, at: int) -> str:
    """The indentation of the line that ``at`` is on."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]
