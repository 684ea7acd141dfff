"""The catalogue of providers: the rows of ``catalog.toml``, an operator's own, and what installed
packages add.

A package adds providers through an entry point of the group ``dragoman.providers`` that names a
``Provider`` or a list of them.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec

from dragoman.providers.provider import Provider

GROUP = "dragoman.providers"
_ROWS = Path(__file__).with_name("catalog.toml")
_ID = re.compile(r"[a-z0-9][a-z0-9-]*")
_URL = re.compile(r"https?://[^\s/]|demo:")


class CatalogError(ValueError):
    """A row of the catalogue cannot be used; the message names file, row and field."""


class UnknownProvider(LookupError):
    """No provider of that id or name; the message names the nearest."""


def load_catalog(extra: Path | None = None) -> dict[str, Provider]:
    """All providers by id, in the order of the rows. Rows of the TOML file ``extra`` come last; under
    a known id they change only the fields that they name. Raises CatalogError."""
    rows = _read(_ROWS)
    providers = {id: _provider(id, row, _ROWS.name) for id, row in rows.items()}
    for provider in _installed():
        if provider.id in providers:
            raise CatalogError(f"A package offers the provider {provider.id!r}, which exists.")
        providers[provider.id] = provider
    if extra is not None:
        for id, row in _read(extra).items():
            known = msgspec.to_builtins(providers[id]) if id in providers else {}
            providers[id] = _provider(id, {**known, **row}, str(extra))
    return providers


def find(catalog: Mapping[str, Provider], name: str) -> Provider | None:
    """The provider of that id or alias, without regard to case."""
    wanted = name.strip().casefold()
    if wanted in catalog:
        return catalog[wanted]
    return next((row for row in catalog.values() if wanted in row.aliases), None)


def require(catalog: Mapping[str, Provider], name: str) -> Provider:
    """As ``find``; raises UnknownProvider, which names the nearest ids."""
    if (provider := find(catalog, name)) is not None:
        return provider
    names = [*catalog, *(alias for row in catalog.values() for alias in row.aliases)]
    near = difflib.get_close_matches(name.strip().casefold(), names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(catalog)}."
    raise UnknownProvider(f"There is no provider {name!r}; {hint}")


def _read(path: Path) -> dict[str, Any]:
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path} is not valid TOML: {error}.") from error
    for id, row in rows.items():
        if not isinstance(row, dict):
            raise CatalogError(f"{path}: {id!r} is no table; a provider is written [{id}].")
    return rows


def _provider(id: str, row: Mapping[str, Any], source: str) -> Provider:
    if not _ID.fullmatch(id):
        raise CatalogError(
            f"{source}: the id {id!r} must be lower-case letters, digits and hyphens."
        )
    if "key_naming" in row and isinstance(row.get("naming"), dict):
        row = {**row, "key_naming": {**row["naming"], **row["key_naming"]}}
    try:
        provider = msgspec.convert({**row, "id": id}, Provider)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        field = f", field {path.rstrip('`')!r}" if path else ""
        raise CatalogError(f"{source}: provider {id!r}{field}: {what}.") from None
    for protocol, url in provider.protocols.items():
        if url and not _URL.match(url):
            raise CatalogError(
                f"{source}: provider {id!r}, field 'protocols.{protocol}': {url!r} is no URL."
            )
    return provider


def _installed() -> Iterator[Provider]:
    for entry in entry_points(group=GROUP):
        try:
            offered = entry.load()
        except (
            Exception
        ) as error:  # a stranger's package: whatever its import does, say whose it was
            raise CatalogError(f"The provider {entry.value} does not load: {error}") from error
        for provider in offered if isinstance(offered, list | tuple) else [offered]:
            if not isinstance(provider, Provider):
                raise CatalogError(f"{entry.value} offers {provider!r}, which is no Provider.")
            yield provider
