"""Where in a text something stands: every span that leaves here indexes its text.

Offsets count characters (Unicode code points), as Python's do: ``text[start:end]`` is the span.
"""

from __future__ import annotations

import re


def locate(text: str, words: str, start: int = 0) -> tuple[int, int] | None:
    """The first place of ``words`` at or after ``start``; then one with other letter case or white
    space; None if it stands nowhere. A place is (start, end)."""
    words = words.strip()
    if not words:
        return None
    found = text.find(words, start)
    if found >= 0:
        return found, found + len(words)
    pattern = r"\s+".join(re.escape(word) for word in words.split())
    match = re.compile(pattern, re.IGNORECASE).search(text, start)
    return match.span() if match is not None else None


def is_whole_word(text: str, start: int, end: int) -> bool:
    """Whether the span does not begin or end within a word."""
    before = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
    after = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return not before and not after


def locate_word(text: str, words: str, start: int = 0) -> tuple[int, int] | None:
    """As ``locate``, but a place that cuts no word in two is better than an earlier one that does."""
    first = found = locate(text, words, start)
    while found is not None and not is_whole_word(text, *found):
        found = locate(text, words, found[0] + 1)
    return found or first
