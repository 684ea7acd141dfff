"""The defaults that docs/routing.md states are those of the configuration."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragoman.config.schema import STRATEGIES, ChannelEntry, Settings

TEXT = (Path(__file__).parent.parent / "docs" / "routing.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| ([^|]+) \|", re.MULTILINE)
IN_WORDS = {  # what the document says where JSON would say little
    "none": ((), {}, None),
    "adaptive": (None,),
    "the provider's, else `default_timeout`": (None,),
}


def stated(heading: str) -> dict[str, str]:
    """Name → default, out of the table under ``| heading |``."""
    _, _, table = TEXT.partition(f"| {heading} | default |")
    table = table.partition("\n\n")[0]
    found = {}
    for names, defaults in _ROW.findall(table):
        listed = re.findall(r"`(\w+)`", names)
        values = [one.strip() for one in defaults.split(", ")] if len(listed) > 1 else [defaults]
        if len(values) != len(listed):
            values = [defaults] * len(listed)
        found |= dict(zip(listed, values, strict=True))
    return found


def is_stated(text: str, default: Any) -> bool:
    """Whether ``text`` says ``default``."""
    if text in IN_WORDS:
        return default in IN_WORDS[text]
    value = json.loads(text.strip("`").removesuffix(" s"))
    return bool(value == default and type(value) in (type(default), int))


@pytest.mark.parametrize(
    ("heading", "form"), [("setting", Settings), ("channel field", ChannelEntry)]
)
def test_defaults(heading: str, form: type[msgspec.Struct]) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(form)}
    table = stated(heading)
    assert len(table) >= 10
    for name, text in table.items():
        default = fields[name].default
        if default is msgspec.NODEFAULT:
            default = fields[name].default_factory()  # type: ignore[operator]
        assert is_stated(text, default), (name, text, default)


def test_every_strategy_is_explained() -> None:
    for strategy in STRATEGIES:
        assert re.search(rf"^\| `{strategy}`", TEXT, re.MULTILINE), strategy
