"""Which protocols there are: the folders beside this file, and what installed packages add.

A package adds a protocol through an entry point of the group ``dragoman.protocols`` that names a
``protocols.base.Protocol``; the entry point's name is the protocol's id.
"""

from __future__ import annotations

import functools
import pkgutil
from importlib import import_module
from importlib.metadata import entry_points

import dragoman.protocols
from dragoman.protocols.base import Protocol

GROUP = "dragoman.protocols"


class UnknownProtocol(LookupError):
    """No protocol of that id is installed."""


class BadProtocol(RuntimeError):
    """An installed package offers something that cannot be used as a protocol."""


@functools.cache
def protocols() -> dict[str, Protocol]:
    """Every protocol by its id. Raises BadProtocol if a package's cannot be used."""
    found = {name: one for name in _folders() if (one := _load(name)) is not None}
    for name, one in _installed().items():
        if name in found:
            raise BadProtocol(f"A package offers the protocol {name!r}, which is built in.")
        found[name] = one
    return found


def protocol(name: str) -> Protocol:
    """The protocol of that id; of the built-in ones only its own folder is imported. Raises
    UnknownProtocol."""
    if name in _folders() and (one := _load(name)) is not None:
        return one
    if (one := _installed().get(name)) is not None:
        return one
    raise UnknownProtocol(f"There is no protocol {name!r}; there are {', '.join(protocols())}.")


@functools.cache
def _folders() -> tuple[str, ...]:
    found = pkgutil.iter_modules(dragoman.protocols.__path__)
    return tuple(sorted(module.name for module in found if module.ispkg))


def _load(folder: str) -> Protocol | None:
    """The folder's protocol; None for code that protocols share."""
    module = import_module(f"dragoman.protocols.{folder}")
    return getattr(module, "PROTOCOL", None)


@functools.cache
def _installed() -> dict[str, Protocol]:
    found: dict[str, Protocol] = {}
    for entry in entry_points(group=GROUP):
        try:
            one = entry.load()
        except (
            Exception
        ) as error:  # a stranger's package: whatever its import does, say whose it was
            raise BadProtocol(f"The protocol {entry.value} does not load: {error}") from error
        if not isinstance(one, Protocol) or one.name != entry.name:
            raise BadProtocol(f"{entry.value} is no protocol named {entry.name!r}.")
        found[entry.name] = one
    return found
