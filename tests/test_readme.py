"""The README says the same in English and in Chinese."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENGLISH, CHINESE = "README.md", "README.zh-CN.md"
SWITCH = {
    ENGLISH: f"English · [简体中文]({CHINESE})",
    CHINESE: f"[English]({ENGLISH}) · 简体中文",
}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(?:^|[ \t]+)#.*$", re.MULTILINE)
_HEADING = re.compile(r"^(#+) ", re.MULTILINE)
_TABLE_ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)|\b(?:href|src)=\"([^\"]+)\"")

pytestmark = pytest.mark.row("S0-53")


def read(name: str) -> str:
    """The text of a file in the root folder."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str) -> list[tuple[str, str]]:
    """Language and code of each block, without the comments."""
    return [(language, _COMMENT.sub("", code)) for language, code in _BLOCK.findall(read(name))]


def prose(name: str) -> str:
    """The text without its code blocks."""
    return _BLOCK.sub("", read(name))


def headings(name: str) -> list[int]:
    """The level of each heading, in order."""
    return [len(marks) for marks in _HEADING.findall(prose(name))]


def table_rows(name: str) -> list[tuple[int, list[str]]]:
    """The bars of each table row, and the code in it in any order."""
    rows = _TABLE_ROW.findall(prose(name))
    return [(_CODE.sub("", row).count("|"), sorted(_CODE.findall(row))) for row in rows]


def links(name: str) -> list[str]:
    """The target of each link, in order."""
    return [markdown or html for markdown, html in _LINK.findall(prose(name))]


def test_the_code_is_the_same() -> None:
    """Only the comments in a block are translated."""
    assert blocks(ENGLISH)
    assert blocks(CHINESE) == blocks(ENGLISH)


def test_headings_and_tables_are_the_same() -> None:
    """Each heading and each table row has its counterpart, with the same commands."""
    assert headings(ENGLISH)
    assert headings(CHINESE) == headings(ENGLISH)
    assert table_rows(ENGLISH)
    assert table_rows(CHINESE) == table_rows(ENGLISH)


def test_links_lead_to_the_same_places() -> None:
    """Apart from the one to the other language; their order is the sentence's."""
    english, chinese = links(ENGLISH), links(CHINESE)
    english.remove(CHINESE)
    chinese.remove(ENGLISH)
    assert english
    assert sorted(chinese) == sorted(english)


@pytest.mark.parametrize("name", [ENGLISH, CHINESE])
def test_the_other_language_is_one_step_away(name: str) -> None:
    """The line under the title leads there."""
    title, gap, switch, *_ = read(name).splitlines()
    assert (title, gap, switch) == ("# Dragoman", "", SWITCH[name])


@pytest.mark.parametrize("name", [ENGLISH, CHINESE])
def test_relative_links_lead_somewhere(name: str) -> None:
    """Each file or folder that is linked to is there."""
    targets = [link.partition("#")[0] for link in links(name)]
    relative = [target for target in targets if target and not re.match(r"\w+:", target)]
    assert relative
    assert [target for target in relative if not (ROOT / target).exists()] == []
