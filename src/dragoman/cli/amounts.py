"""Limits, budgets, metadata and money, as words on the command line and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=NUMBER",
        help="requests_per_minute, _hour or _day, tokens_per_minute, _hour or _day, or "
        "concurrent_requests; =none for no limit. May be repeated.",
    ),
]
Budgets = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="PERIOD=USD",
        help="At most so many US dollars per day, week or month, or in total; =none for no budget. May "
        "be repeated.",
    ),
]
Metadata = Annotated[
    list[str] | None,
    typer.Option(
        "--meta", metavar="NAME=TEXT", help="Your own remark; =none removes it. May be repeated."
    ),
]
_NONE = "none"


def given(
    present: Mapping[str, Any],
    *,
    limit: Sequence[str] | None = None,
    budget: Sequence[str] | None = None,
    meta: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The fields that these options change of a key or user that is shown as ``present``; what they do
    not name stays. Raises BadParameter."""
    changes: dict[str, Any] = {}
    for field, option, pairs, convert in (
        ("limits", "--limit", limit, _number),
        ("budget", "--budget", budget, _dollars),
        ("metadata", "--meta", meta, str),
    ):
        if pairs:
            changes[field] = _merged(present.get(field, {}), option, pairs, convert)
    return changes


def amount(text: str) -> str:
    """``$12.50`` or ``12.50`` as the administration takes it."""
    return text.strip().removeprefix("$")


def in_words(document: Mapping[str, Any]) -> str:
    """An object on one line; ``-`` for an empty one."""
    return ", ".join(f"{name}={value}" for name, value in document.items()) or "-"


def money_in_words(document: Mapping[str, str]) -> str:
    """An object of amounts in US dollars on one line."""
    return in_words({name: dollars_of(usd) for name, usd in document.items()})


def dollars_of(usd: str) -> str:
    """US dollars as a document has them, for people."""
    from dragoman.governance.money import nano_of  # noqa: PLC0415

    return dollars(nano_of(usd))


def dollars(nano: int) -> str:
    """Nano-USD for people."""
    from dragoman.governance.money import dollars as shown  # noqa: PLC0415 - not for --help

    return shown(nano)


def _merged(
    present: Mapping[str, Any],
    option: str,
    pairs: Sequence[str],
    convert: Callable[[str], Any],
) -> dict[str, Any]:
    merged = dict(present)
    for pair in pairs:
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not equals or not name or not text:
            raise typer.BadParameter("write it as NAME=VALUE", param_hint=option)
        if text.lower() == _NONE:
            merged.pop(name, None)
        else:
            merged[name] = convert(text)
    return merged


def _number(text: str) -> Any:
    from dragoman.config.words import number  # noqa: PLC0415

    return number(text)


def _dollars(text: str) -> str:
    return amount(text)
