"""Judges JSON by the TypedDicts of the official SDKs, as strictly as the vendors' servers do.

``check(value, SomeParams, "body")`` raises ``Mismatch`` for an unknown field, a missing required
one, or a value of the wrong type, naming the path. pydantic is no help here: it validates
``Iterable[...]`` lazily and lets unknown keys pass.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import pydantic
import typing_extensions


class Mismatch(ValueError):
    """``path`` is dotted with list indices in brackets, as OpenAI writes it."""

    def __init__(self, path: str, message: str, *, unknown: bool = False) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message
        self.unknown = unknown


_Fields = tuple[dict[str, Any], frozenset[str]]


@functools.cache
def fields_of(cls: type) -> _Fields:
    """(field → type, names of the required ones) of a TypedDict."""
    hints = typing_extensions.get_type_hints(cls)
    # The SDKs postpone annotations, so __required_keys__ cannot see their Required[...]: look again.
    marked = typing_extensions.get_type_hints(cls, include_extras=True)
    total = _total_names(cls)
    required = {
        name
        for name, hint in marked.items()
        if _is_required(hint) or (name in total and not _is_not_required(hint))
    }
    return hints, frozenset(required)


def _total_names(cls: type) -> set[str]:
    """Fields declared by a class of the inheritance line that says ``total=True``."""
    bases = [base for base in getattr(cls, "__orig_bases__", ()) if hasattr(base, "__total__")]
    inherited = {name for base in bases for name in base.__annotations__}
    own = set(cls.__annotations__) - inherited if getattr(cls, "__total__", True) else set()
    return own.union(*(_total_names(base) for base in bases))


def _is_required(hint: object) -> bool:
    return get_origin(hint) is typing_extensions.Required


def _is_not_required(hint: object) -> bool:
    return get_origin(hint) is typing_extensions.NotRequired


def check(value: object, hint: Any, path: str) -> None:
    """Raise Mismatch unless ``value``, a decoded JSON value, is of type ``hint``."""
    origin = get_origin(hint)
    if hint is Any or hint is object:
        return
    if origin in (Union, types.UnionType):
        _check_union(value, get_args(hint), path)
    elif origin is Literal:
        if value not in get_args(hint):
            raise Mismatch(path, f"{value!r} is not one of {list(get_args(hint))}")
    elif typing_extensions.is_typeddict(hint):
        _check_typed_dict(value, hint, path)
    elif origin in (dict, Mapping) or hint in (dict, Mapping):
        _expect(isinstance(value, dict), path, "an object", value)
        if get_args(hint):
            for key, item in value.items():  # type: ignore[attr-defined]
                check(item, get_args(hint)[1], f"{path}.{key}")
    elif _is_sequence(hint, origin):
        _expect(isinstance(value, list), path, "an array", value)
        item_type = get_args(hint)[0] if get_args(hint) else Any
        for index, item in enumerate(value):  # type: ignore[arg-type]
            check(item, item_type, f"{path}[{index}]")
    elif hint in (None, type(None)):
        _expect(value is None, path, "null", value)
    elif hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        _expect(number, path, "a number", value)
    elif hint is int:
        _expect(isinstance(value, int) and not isinstance(value, bool), path, "an integer", value)
    elif hint in (str, bool):
        _expect(type(value) is hint, path, f"a {hint.__name__}", value)
    else:
        # Python-only conveniences of an SDK (files, paths, response models): no JSON is one.
        raise Mismatch(path, f"a JSON value cannot be a {hint}")


def _expect(holds: bool, path: str, wanted: str, value: object) -> None:
    if not holds:
        raise Mismatch(path, f"expected {wanted}, got {type(value).__name__}")


def _is_sequence(hint: Any, origin: Any) -> bool:
    if hint in (list, Sequence, Iterable) or origin in (list, Sequence, Iterable):
        return True
    # The SDKs' SequenceNotStr is a protocol class of their own.
    return getattr(origin, "__name__", "") == "SequenceNotStr"


def _check_typed_dict(value: object, cls: type, path: str) -> None:
    _expect(isinstance(value, dict), path, "an object", value)
    assert isinstance(value, dict)
    hints, required = fields_of(cls)
    for key, item in value.items():
        if key not in hints:
            raise Mismatch(f"{path}.{key}", "unknown field", unknown=True)
        check(item, hints[key], f"{path}.{key}")
    for key in sorted(required - value.keys()):
        raise Mismatch(f"{path}.{key}", "missing required field")


def _check_union(value: object, members: tuple[Any, ...], path: str) -> None:
    candidates = [one for one in members if not _is_model(one)]
    best: Mismatch | None = None
    for member in _discriminated(value, candidates):
        try:
            check(value, member, path)
        except Mismatch as mismatch:
            # The member that got furthest into the value is the one that was meant.
            if best is None or len(mismatch.path) > len(best.path):
                best = mismatch
        else:
            return
    raise best or Mismatch(path, f"{value!r} fits none of the allowed forms")


def _is_model(member: Any) -> bool:
    return isinstance(member, type) and issubclass(member, pydantic.BaseModel)


def _discriminated(value: object, members: list[Any]) -> list[Any]:
    """The members whose literal ``type`` and ``role`` agree with the value's, if it has any."""
    if not isinstance(value, dict):
        return members
    fitting = [one for one in members if _tags_agree(value, one)]
    return fitting or members


def _tags_agree(value: dict[str, Any], member: Any) -> bool:
    if get_origin(member) in (Union, types.UnionType):
        return any(_tags_agree(value, one) for one in get_args(member))
    if not typing_extensions.is_typeddict(member):
        return member is Any or get_origin(member) is dict
    hints, required = fields_of(member)
    for tag in ("type", "role"):
        literals = _literals(hints.get(tag))
        if tag in value and (tag not in hints or (literals and value[tag] not in literals)):
            return False
        if tag not in value and tag in required:
            return False
    return True


def _literals(hint: Any) -> list[object]:
    """The values a (possibly optional) literal allows; empty for anything else."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        return [value for one in get_args(hint) for value in _literals(one)]
    return []
