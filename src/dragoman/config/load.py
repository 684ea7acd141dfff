"""A configuration file, read strictly: all that is wrong with it is named at once."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dragoman.canonical.secret import Secret
from dragoman.config import checks
from dragoman.config.channels import Catalog, read_channel, resolve
from dragoman.config.prices import refuse_estimate_of_nothing
from dragoman.config.problems import (
    ConfigurationRefused,
    Findings,
    Problem,
    Refusal,
    suggestion,
)
from dragoman.config.schema import (
    SETTINGS,
    TOKEN,
    ChannelEntry,
    Settings,
    Token,
    read_fields,
)
from dragoman.governance.keys import weakness

_MAX_BYTES = 64 * 1024 * 1024

Entry = TypeVar("Entry", ChannelEntry, Token)


class Configuration(msgspec.Struct, kw_only=True, frozen=True):
    """What a file says: settings, channels and tokens, complete and checked."""

    settings: Settings = Settings()
    channels: tuple[ChannelEntry, ...] = ()
    tokens: tuple[Token, ...] = ()


def read_file(path: Path, catalog: Catalog) -> Configuration:
    """The configuration in ``path``. Raises ConfigurationRefused."""
    return read(content_of(path), catalog, source=str(path))


def content_of(path: Path) -> bytes:
    """The file's bytes. Raises ConfigurationRefused."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationRefused(
            str(path), [Problem("", f"it cannot be read: {error.strerror}")]
        ) from None


def read(content: bytes, catalog: Catalog, *, source: str) -> Configuration:
    """The configuration in ``content`` (JSON). Raises ConfigurationRefused with every problem."""
    return check(decode(content, source=source), catalog, source=source)


def decode(content: bytes, *, source: str) -> dict[str, Any]:
    """The JSON object in ``content``, as it is. Raises ConfigurationRefused."""
    findings = Findings()
    raw = _decode(content, findings)
    findings.refuse_source(source)
    if not isinstance(raw, dict):
        raise ConfigurationRefused(source, [Problem("", "it must be a JSON object")])
    return raw


def check(raw: dict[str, Any], catalog: Catalog, *, source: str) -> Configuration:
    """The configuration that a decoded file means. Raises ConfigurationRefused with every problem."""
    findings = Findings()
    sections = ("settings", "channels", "tokens")
    for name in raw:
        if name not in sections:
            findings.add(name, f"is not a known section{suggestion(name, sections)}")

    settings = findings.check("settings", read_settings, raw.get("settings", {})) or Settings()
    findings.check(
        "settings", refuse_estimate_of_nothing, settings.unpriced, settings.unpriced_price
    )
    channels = _read_list(raw.get("channels", []), "channels", read_channel, findings)
    tokens = _read_list(raw.get("tokens", []), "tokens", read_token, findings)
    _refuse_repeats(raw.get("channels"), "channels", findings)
    _refuse_repeats(raw.get("tokens"), "tokens", findings)
    _refuse_same_keys(tokens, findings)
    for index, entry in channels.items():
        findings.check(f"channels.{index}", resolve, entry, catalog)
    numbered = _number(channels.values())
    _refuse_dangling(tokens, raw.get("channels"), numbered, findings)
    findings.refuse_source(source)
    return Configuration(settings=settings, channels=numbered, tokens=_number(tokens.values()))


def read_settings(raw: Any) -> Settings:
    """The settings section. Raises Refusal."""
    return Settings(**read_fields(raw, SETTINGS))


def read_token(raw: Any) -> Token:
    """One token. Raises Refusal."""
    fields = read_fields(raw, TOKEN, required=("name", "key"))
    key: Secret = fields["key"]
    if (reason := weakness(key.reveal())) is not None:
        raise Refusal(Problem("key", f"{reason}; make one with: dragoman keys create NAME"))
    return Token(**{"id": 0, **fields})


def _decode(content: bytes, findings: Findings) -> Any:
    """JSON with repeated names reported and numbers as they are (a too large one is infinite, and
    refused where it stands)."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, count in Counter(name for name, _ in items).items():
            if count > 1:
                findings.add(name, f"stands {count} times in one object")
        return dict(items)

    if len(content) > _MAX_BYTES:
        findings.add("", f"it is larger than {_MAX_BYTES} bytes")
        return None
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=pairs, parse_int=_integer)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        findings.add("", f"it is not valid JSON: {error.msg} at {place}")
    except UnicodeDecodeError:
        findings.add("", "it is not UTF-8 text")
    except RecursionError:
        findings.add("", "it is nested too deeply")
    return None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= 300 else math.inf


def _read_list(
    raw: Any, section: str, read_one: Callable[[Any], Entry], findings: Findings
) -> dict[int, Entry]:
    """The entries that are sound, by their place in the file."""
    if not isinstance(raw, list):
        findings.add(section, f"must be a list, not {checks.kind(raw)}")
        return {}
    entries = {
        index: findings.check(f"{section}.{index}", read_one, item)
        for index, item in enumerate(raw)
    }
    return {index: entry for index, entry in entries.items() if entry is not None}


def _refuse_repeats(raw: Any, section: str, findings: Findings) -> None:
    """Ids and names must be unique; names without regard to case."""
    for field in ("id", "name"):
        seen: dict[Any, int] = {}
        for index, value in _column(raw, field):
            key = value.strip().casefold() if isinstance(value, str) else value
            if key in seen:
                findings.add(
                    f"{section}.{index}.{field}", f"is the same as in {section}.{seen[key]}"
                )
            seen.setdefault(key, index)


def _refuse_same_keys(tokens: Mapping[int, Token], findings: Findings) -> None:
    seen: dict[Secret, int] = {}
    for index, token in tokens.items():
        if token.key in seen:
            findings.add(f"tokens.{index}.key", f"is the same as in tokens.{seen[token.key]}")
        seen.setdefault(token.key, index)


def _refuse_dangling(
    tokens: Mapping[int, Token],
    raw_channels: Any,
    channels: Iterable[ChannelEntry],
    findings: Findings,
) -> None:
    """A token must not name a channel that is not there; it would quietly allow less than meant."""
    names = {value.strip() for _, value in _column(raw_channels, "name") if isinstance(value, str)}
    ids = {str(value) for _, value in _column(raw_channels, "id")}
    ids |= {str(entry.id) for entry in channels}
    for index, token in tokens.items():
        for position, wanted in enumerate(token.allowed_channels):
            if wanted not in names and wanted not in ids:
                findings.add(
                    f"tokens.{index}.allowed_channels.{position}",
                    f"the channel {wanted[:40]!r} is unknown{suggestion(wanted, names)}",
                )


def _column(raw: Any, field: str) -> list[tuple[int, Any]]:
    """The values of one field down a list of raw objects, with their places."""
    if not isinstance(raw, list):
        return []
    return [
        (index, item[field])
        for index, item in enumerate(raw)
        if isinstance(item, dict) and isinstance(item.get(field), str | int)
    ]


def _number(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Give those without an id the next free one."""
    entries = tuple(entries)
    following = max((entry.id for entry in entries), default=0)
    numbered = []
    for entry in entries:
        if entry.id == 0:
            following += 1
            numbered.append(msgspec.structs.replace(entry, id=following))
        else:
            numbered.append(entry)
    return tuple(numbered)
