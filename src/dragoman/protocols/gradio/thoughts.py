"""Reasoning that an app writes into its text: a ``<details>`` block, or ``<think>`` tags.

Everything here is a function of the whole text so far, made so that a text that only grows gives
segments that only grow: half a tag is held back until it is a whole one, or none.
"""

from __future__ import annotations

import re

_DETAILS = re.compile(r"<details\b[^<>]*>", re.IGNORECASE)
_SUMMARY = re.compile(r"\s*<summary\b[^<>]*>(.*?)</summary>", re.IGNORECASE | re.DOTALL)
_EDGE = re.compile(r"<(/?)details\b[^<>]*>", re.IGNORECASE)
_THINK = re.compile(r"\s*<(think|thinking|thought)>", re.IGNORECASE)
_OF_THOUGHT = re.compile(r"think|thought|reason|analysis|思考|推理", re.IGNORECASE)
_CURSOR = "▌▍▎▏▐█▉▊▋"  # apps draw one where the text goes on
_MAX_TAG = 200
_WITH_ATTRIBUTES = ("<details", "</details")
_TAGS = (
    *_WITH_ATTRIBUTES,
    *(f"<{slash}{name}>" for slash in ("", "/") for name in ("think", "thinking", "thought")),
)

Piece = tuple[bool, str]
"""(whether it is a thought, its text)"""


def split_thoughts(text: str, *, final: bool) -> list[Piece]:
    """``text`` in pieces, in order. Only a first block counts, and only one that opens the answer or
    says of itself that it holds thoughts: later ones are the answer's own. What stands before it is
    text."""
    if final:
        return _split(text, final=True)
    pieces = _split(text.rstrip(_CURSOR), final=False)
    match pieces:
        case [(False, text)] if not text.strip():
            return []  # blanks may yet turn out to stand before a block
        case _:
            return pieces


def _split(text: str, *, final: bool) -> list[Piece]:
    if "<" not in text:
        return [(False, text)]
    if (tag := _THINK.match(text)) is not None:
        return _tagged(text[tag.end() :], f"</{tag[1]}>", final)
    block = _DETAILS.search(text)
    if block is None:
        return [(False, text if final else _without_half_a_tag(text))]
    return _in_block(text, text[: block.start()], text[block.end() :], final)


def _tagged(text: str, closing: str, final: bool) -> list[Piece]:
    at = text.lower().find(closing.lower())
    if at < 0:
        return [(True, _open_thought(text, final))]
    return _closed(text[:at], text[at + len(closing) :], final)


def _in_block(whole: str, before: str, rest: str, final: bool) -> list[Piece]:
    summary = _SUMMARY.match(rest)
    if summary is None and not final and _may_become_summary(rest):
        return [(False, before)] if before.strip() else []
    title = "" if summary is None else summary[1]
    if before.strip() and not _OF_THOUGHT.search(title):
        return [(False, whole if final else _without_half_a_tag(whole))]
    first: list[Piece] = [(False, before)] if before.strip() else []
    body = rest if summary is None else rest[summary.end() :]
    depth = 1
    for edge in _EDGE.finditer(body):
        depth += -1 if edge[1] else 1
        if depth == 0:
            return [*first, *_closed(body[: edge.start()], body[edge.end() :], final)]
    return [*first, (True, _open_thought(body, final))]


def _closed(thought: str, after: str, final: bool) -> list[Piece]:
    pieces: list[Piece] = [(True, thought.strip())]
    after = after.lstrip() if final else _without_half_a_tag(after.lstrip())
    return [*pieces, (False, after)] if after else pieces


def _open_thought(text: str, final: bool) -> str:
    return text.strip() if final else _without_half_a_tag(text).strip()


def _without_half_a_tag(text: str) -> str:
    """Cut a ``<…`` at the end that may yet become a tag of ours."""
    at = text.rfind("<")
    if at < 0 or ">" in text[at:] or len(text) - at > _MAX_TAG:
        return text
    tail = text[at:].lower()
    half = any(tag.startswith(tail) for tag in _TAGS) or tail.startswith(_WITH_ATTRIBUTES)
    return text[:at] if half else text


def _may_become_summary(rest: str) -> bool:
    start = rest.lstrip().lower()[:8]
    return "<summary".startswith(start)
