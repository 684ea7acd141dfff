"""Where in a text something stands: every span that leaves here indexes its text.

Offsets count characters (Unicode code points), as Python's do: ``text[start:end]`` is the span.
"""

from __future__ import annotations

import re

_LETTER = r"[^\W_]"


def locate(text: str, words: str, start: int = 0) -> tuple[int, int] | None:
    """The first place, (start, end), of ``words`` at or after ``start``; None if they stand nowhere.

    A place that cuts no word in two is better than an earlier one that does, one with the same letters
    and white space better than one where those differ.
    """
    words = words.strip()
    if not words:
        return None
    exact = re.escape(words)
    loose = r"\s+".join(re.escape(word) for word in words.split())
    before = f"(?<!{_LETTER})" if words[0].isalnum() else ""
    after = f"(?!{_LETTER})" if words[-1].isalnum() else ""
    for pattern, flags in (
        (before + exact + after, re.NOFLAG),
        (before + loose + after, re.IGNORECASE),
        (exact, re.NOFLAG),
        (loose, re.IGNORECASE),
    ):
        found = re.compile(pattern, flags).search(text, start)
        if found is not None:
            return found.span()
    return None
