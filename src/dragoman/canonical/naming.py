"""The other names that a provider's models go by: prefixes, endings that change how a model is asked,
and names that are out of use. All of it is compared without regard to case."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

import msgspec


class Naming(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What may stand around a provider's model names.

    ``prefixes`` may stand before a name, with or without a space between, and say no more than that
    this way to the provider is wanted. ``endings`` may follow it; the provider's opener knows what
    each does. They are shown in the list of models for those that fit their globs, of which one with
    ``!`` first leaves models out again. ``not_prefixes`` and ``not_endings`` ask for another way to
    the provider, and so does a name that a glob of ``not_models`` fits. ``renamed`` maps names out of
    use to what took their place. ``protocols`` maps endings (the empty one: none) to the protocol that
    a model is asked in, whatever the client speaks.
    """

    prefixes: tuple[str, ...] = ()
    not_prefixes: tuple[str, ...] = ()
    endings: Mapping[str, tuple[str, ...]] = {}
    not_endings: tuple[str, ...] = ()
    not_models: tuple[str, ...] = ()
    renamed: Mapping[str, str] = {}
    protocols: Mapping[str, str] = {}

    def split(self, model: str) -> tuple[str, str]:
        """(the name without prefix and ending, the ending as it is written here)."""
        name = _without_prefix(model, self.prefixes)
        folded = name.casefold()
        for ending in _longest_first(tuple(self.endings)):
            if folded.endswith(ending) and len(folded) > len(ending):
                return name[: -len(ending)], ending
        return name, ""

    def upstream(self, model: str) -> str:
        """The present name without its prefix, the ending still there."""
        name, ending = self.split(model)
        return self._present(name) + ending

    def asks_for_another(self, model: str) -> bool:
        """Whether ``model`` asks for another way to the provider."""
        folded = model.casefold()
        if folded.startswith(_folded(self.not_prefixes)) or folded.endswith(self.not_endings):
            return True
        return bool(self.not_models) and fits(self._present(self.split(model)[0]), self.not_models)

    def protocol(self, model: str) -> str:
        """The protocol that ``model`` is asked in; empty if the naming does not say."""
        if not self.protocols:
            return ""
        return self.protocols.get(self.split(model)[1], self.protocols.get("", ""))

    def listed(self, models: Iterable[str]) -> tuple[str, ...]:
        """Those of ``models`` that are to be had this way, with the endings that are shown for them."""
        return tuple(self._listed(models))

    def _present(self, name: str) -> str:
        return self.renamed.get(name.casefold(), name)

    def _listed(self, models: Iterable[str]) -> Iterator[str]:
        for model in models:
            if self.asks_for_another(model):
                continue
            yield model
            for ending, globs in self.endings.items():
                if fits(model, globs) and not self.asks_for_another(model + ending):
                    yield model + ending


def fits(model: str, globs: Iterable[str]) -> bool:
    """Whether one of ``globs`` fits ``model`` and none of those with ``!`` first does."""
    folded = model.casefold()
    found = False
    for glob in globs:
        if glob.startswith("!"):
            if fnmatchcase(folded, glob[1:]):
                return False
        elif fnmatchcase(folded, glob):
            found = True
    return found


def _without_prefix(model: str, prefixes: tuple[str, ...]) -> str:
    folded = model.casefold()
    for prefix in _folded(prefixes):
        if folded.startswith(prefix):
            return model[len(prefix) :].lstrip()
    return model


@functools.cache
def _folded(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word.casefold() for word in words)


@functools.cache
def _longest_first(endings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(endings, key=len, reverse=True))
