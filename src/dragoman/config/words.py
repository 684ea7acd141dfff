"""What a person means by the text of a variable or an option."""

from __future__ import annotations

from dragoman.config.problems import Refusal

_WORDS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False}
_WORDS |= {"no": False, "off": False}


def boolean(text: str) -> bool:
    """True and False in any case, and their usual stand-ins. ``bool("False")`` is true, which once
    switched a proxy on for everybody who had written that it should be off. Raises Refusal."""
    if text.lower() not in _WORDS:
        raise Refusal("must be true or false")
    return _WORDS[text.lower()]


def number(text: str) -> int | float | str:
    """The number, or the text as it is if it is none, for the check that follows to refuse."""
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text
