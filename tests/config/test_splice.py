"""Changing one place of a JSON text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.config import splice

FILE = """{
    "settings": {"port": 3000,   "host": "::1"},
    "channels": [
        {
            "name": "a\\u00e9",
            "timeout": 60.0,  "models": ["x",
                 "y"]
        }, {"name": "b"}
    ]
}
"""


def test_what_is_not_touched_stays_as_it_was_written() -> None:
    changed = splice.put(FILE, ("channels", 0, "timeout"), 5)
    assert changed == FILE.replace("60.0", "5")
    changed = splice.put(FILE, ("settings", "port"), 1)
    assert changed == FILE.replace("3000", "1")
    changed = splice.put(FILE, ("channels", 0, "models"), ["z", "é"])
    assert changed == FILE.replace('["x",\n                 "y"]', '["z", "é"]')


def test_members_and_items_are_added_in_the_manner_of_their_neighbours() -> None:
    assert splice.put(FILE, ("settings", "enable_cors"), False) == FILE.replace(
        '"host": "::1"', '"host": "::1",   "enable_cors": false'
    )
    assert splice.append(FILE, ("channels",), {"name": "c", "tags": ["t"]}) == FILE.replace(
        '{"name": "b"}', '{"name": "b"}, {"name": "c", "tags": ["t"]}'
    )
    assert splice.put(FILE, ("tokens",), [{"id": 1}]) == FILE.replace(
        "    ]\n}",
        '    ],\n    "tokens": [\n        {\n            "id": 1\n        }\n    ]\n}',
    )


def test_members_and_items_are_taken_out_with_their_comma() -> None:
    assert splice.remove(FILE, ("settings", "port")) == FILE.replace('"port": 3000,   ', "")
    assert splice.remove(FILE, ("settings", "host")) == FILE.replace(',   "host": "::1"', "")
    one = splice.remove(FILE, ("channels", 1))
    assert one == FILE.replace(', {"name": "b"}', "")
    assert '"channels": []' in splice.remove(one, ("channels", 0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", '{"settings": {"port": 1}}'),
        (" {}\n", ' {"settings": {"port": 1}}\n'),
        ('{"a":1}', '{"a":1, "settings": {"port": 1}}'),
        ("{\n}\n", '{\n  "settings": {\n    "port": 1\n  }\n}\n'),
        ('{\r\n\t"a": 1\r\n}', '{\r\n\t"a": 1,\r\n\t"settings": {\r\n\t\t"port": 1\r\n\t}\r\n}'),
        ('{\n  "settings": {}\n}', '{\n  "settings": {\n    "port": 1\n  }\n}'),
    ],
)
def test_missing_sections_are_made(text: str, expected: str) -> None:
    assert splice.put(text, ("settings", "port"), 1) == expected


@pytest.mark.parametrize("path", [("x",), ("channels", 2), ("settings", "port", "x"), ("x", "y")])
def test_what_is_not_there_cannot_be_taken_out(path: splice.Path) -> None:
    with pytest.raises(LookupError):
        splice.remove(FILE, path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=3), values, max_size=3)
indents = st.sampled_from([None, 1, 2, 4, "\t"])


@given(st.dictionaries(st.sampled_from("abc"), objects), indents, st.booleans(), st.data())
def test_the_new_text_means_what_was_asked_for(
    document: dict[str, Any], indent: Any, windows: bool, data: st.DataObject
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=data.draw(st.booleans()))
    if windows:
        text = text.replace("\n", "\r\n")
    value = data.draw(values)
    section, name = data.draw(st.sampled_from("abcd")), data.draw(st.text(max_size=3))
    changed = splice.put(text, (section, name), value)
    expected = {**document, section: {**document.get(section, {}), name: value}}
    assert json.loads(changed) == expected
    assert json.loads(splice.remove(changed, (section, name))) == {
        **document,
        section: {n: v for n, v in document.get(section, {}).items() if n != name},
    }


@given(st.lists(values, max_size=4), indents, values)
def test_a_list_grows_at_its_end(items: list[Any], indent: Any, value: Any) -> None:
    text = json.dumps({"list": items}, indent=indent)
    assert json.loads(splice.append(text, ("list",), value)) == {"list": [*items, value]}
