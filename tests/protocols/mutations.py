"""Ways to spoil JSON that was valid."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.protocols.strategies import json_values

# What goes wrong in the field and in attacks: other types, extremes, and text that is none.
ODD_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        2**63,
        10**40,
        1e308,
        -0.0,
        "",
        "\x00",
        "\ud800",
        "x" * 300,
        [],
        [[]],
        [None],
        {},
        {"": {}},
        [{"type": None}],
        {"type": "text"},
    ]
).map(
    lambda value: json.loads(json.dumps(value))
)  # a fresh one, as the next change may be inside it


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside ``value``."""
    found: list[tuple[Any, Any]] = []
    entries: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = list(enumerate(value))
    for key, inner in entries:
        found.append((value, key))
        found += places(inner)
    return found


@st.composite
def spoiled(draw: st.DrawFn, body: bytes) -> bytes:
    """``body`` with one to three values removed, replaced, doubled or nested too deep, or with its
    bytes damaged."""
    value = json.loads(body)
    for _ in range(draw(st.integers(1, 3))):
        spots = places(value)
        if not spots:
            break
        container, key = draw(st.sampled_from(spots))
        match draw(st.sampled_from(["remove", "odd", "any", "double", "deep", "unknown"])):
            case "remove":
                del container[key]
            case "odd":
                container[key] = draw(ODD_VALUES)
            case "any":
                container[key] = draw(json_values)
            case "double" if isinstance(container, list):
                container.append(container[key])
            case "deep":
                container[key] = _nested(draw(st.sampled_from([50, 600, 3000])))
            case _ if isinstance(container, dict):
                container["x_unknown"] = draw(json_values)
    return draw(damaged(_dumps(value)))


def _nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value] if depth % 2 else {"a": value}
    return _Raw(value, depth)


class _Raw:
    """A value too deep for ``json.dumps``; written by hand."""

    def __init__(self, value: Any, depth: int) -> None:
        opening, closing = ("[", "]") if depth % 2 else ('{"a":', "}")
        self.text = opening * depth + '"deep"' + closing * depth


def _dumps(value: Any) -> bytes:
    raws: list[str] = []

    def default(raw: _Raw) -> str:
        raws.append(raw.text)
        return f"\x01raw{len(raws) - 1}\x01"

    text = json.dumps(value, default=default, ensure_ascii=True)
    for index, raw in enumerate(raws):
        text = text.replace(f'"\\u0001raw{index}\\u0001"', raw)
    return text.encode()


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Usually ``data`` itself; now and then with invalid UTF-8, a doubled key, or bytes lost."""
    at = draw(st.integers(0, len(data)))
    match draw(st.integers(0, 7)):
        case 0:
            return data[:at] + b"\xff" + data[at:]
        case 1:
            return data[:at]
        case 2 if data.startswith(b"{") and len(data) > 2:
            return b'{"model":1,"stream":"yes",' + data[1:]
        case 3:
            return data[:at] + draw(st.binary(max_size=8)) + data[at:]
    return data
