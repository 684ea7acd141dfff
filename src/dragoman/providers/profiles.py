"""What a codec must know of the model it writes for: ``ModelProfile`` out of three sources.

Lowest first: the rows of ``models.toml`` (facts of the model, whoever serves it), the provider's row,
the channel. A later source replaces quirks of the same name; what any of them drops is dropped. The
provider stands above the model because it decides how its API is spoken.

A quirk's name may be qualified by a protocol, ``openai_chat.reasoning_style``: it then counts for that
protocol only, and before the plain name.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from dragoman.protocols.base import ModelProfile
from dragoman.providers.provider import Provider

_ROWS = Path(__file__).with_name("models.toml")
_NO_QUIRKS: Mapping[str, Any] = {}


class ModelRow(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One row of ``models.toml``."""

    match: tuple[str, ...]
    protocols: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    max_output_tokens: int | None = None
    drops: frozenset[str] = frozenset()
    quirks: Mapping[str, Any] = {}

    def fits(self, provider: str, protocol: str, name: str) -> bool:
        """Whether the row speaks of ``name`` (in lower case, without vendor)."""
        return (
            (not self.providers or provider in self.providers)
            and (not self.protocols or protocol in self.protocols)
            and any(fnmatchcase(name, pattern) for pattern in self.match)
        )


@functools.cache
def model_rows() -> tuple[ModelRow, ...]:
    """The rows of ``models.toml`` in order."""
    rows = tomllib.loads(_ROWS.read_text(encoding="utf-8"))["model"]
    return msgspec.convert(rows, tuple[ModelRow, ...])


def profile_for(
    provider: Provider | str,
    *,
    protocol: str,
    model: str,
    drops: Collection[str] = frozenset(),
    quirks: Mapping[str, Any] = _NO_QUIRKS,
) -> ModelProfile:
    """The profile of ``model`` (the provider's own name for it) at ``provider`` over ``protocol``.

    ``drops`` and ``quirks`` are the channel's. A channel carries its provider's already, so the
    provider's id is enough beside them. One look-up costs about two microseconds: the model's part is
    remembered.
    """
    if isinstance(provider, Provider):
        drops = provider.drops.union(drops)
        quirks = {**provider.quirks, **quirks}
        provider = provider.id
    profile = _model_profile(provider, protocol, model)
    if not drops and not quirks:
        return profile
    return msgspec.structs.replace(
        profile,
        drops=profile.drops.union(drops),
        quirks={**profile.quirks, **_of_protocol(quirks, protocol)},
    )


@functools.lru_cache(maxsize=4096)  # clients choose the names
def _model_profile(provider: str, protocol: str, model: str) -> ModelProfile:
    name = model.rpartition("/")[2].lower()
    limit: int | None = None
    drops: frozenset[str] = frozenset()
    quirks: dict[str, Any] = {}
    for row in model_rows():
        if row.fits(provider, protocol, name):
            limit = limit if row.max_output_tokens is None else row.max_output_tokens
            drops |= row.drops
            quirks |= row.quirks
    return ModelProfile(
        provider=provider, model=model, max_output_tokens=limit, drops=drops, quirks=quirks
    )


def _of_protocol(quirks: Mapping[str, Any], protocol: str) -> dict[str, Any]:
    plain = {name: value for name, value in quirks.items() if "." not in name}
    prefix = f"{protocol}."
    for name, value in quirks.items():
        if name.startswith(prefix):
            plain[name.removeprefix(prefix)] = value
    return plain
