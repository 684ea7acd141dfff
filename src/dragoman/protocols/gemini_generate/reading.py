"""Reading bodies into the wire types without losing what these do not know.

Nearly every body is camelCase and known: it takes one strict, typed decode. Only when that fails is
the body walked along the types, to rename snake_case fields (Google's parser takes both spellings,
and its own Python SDK mixes them) and to set unknown fields aside; then it is decoded again, and
what fails now is truly wrong. The walk follows the types alone, so users' data is never renamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, Generic

import msgspec

from dragoman.canonical.parts import Json
from dragoman.protocols.gemini_generate.types import EXTRA, W, Wire
from dragoman.protocols.wire_json import read_client, read_upstream

_ANY = msgspec.json.Decoder()
_MALFORMED = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


class _Shape(msgspec.Struct, frozen=True):
    """How to tidy an object: accepted name → wire name, and wire name → shape of what it holds."""

    names: Mapping[str, str]
    children: Mapping[str, _Shape]


class Reader(Generic[W]):
    """Reads bodies of one type."""

    def __init__(self, type_: type[W]) -> None:
        self._decoder: msgspec.json.Decoder[W] = msgspec.json.Decoder(type_)
        self._type = type_

    def client(self, body: bytes) -> W:
        """A client's body; raises InvalidRequest with the path at fault."""
        try:
            return self._decoder.decode(body)
        except _MALFORMED:
            # The walk needs valid JSON: what is wrong with the whole body is said first.
            return read_client(self._tidied(read_client(body, _ANY)), self._decoder)

    def upstream(self, body: bytes, what: str = "answer") -> W:
        """An upstream's body; raises UpstreamBroken."""
        try:
            return self._decoder.decode(body)
        except _MALFORMED:
            return read_upstream(self._tidied(read_upstream(body, _ANY, what)), self._decoder, what)

    def _tidied(self, body: Json) -> bytes:
        return msgspec.json.encode(_tidy(body, _shape(self._type)))


def rest(value: Wire, used: frozenset[str]) -> dict[str, Json]:
    """Every field of ``value`` that is set, known or not, except the ``used`` (attribute names), under
    its wire name."""
    wires, read = _others(type(value), used)
    found = read(value)
    if found.count(None) == len(found):
        return {}
    left = {
        wire: plain(field)
        for wire, field in zip(wires, found, strict=True)
        if field is not None and wire != EXTRA
    }
    if value.extra:
        left.update(value.extra)
    return left


def plain(value: Json) -> Json:
    """Wire objects → the JSON they were."""
    if isinstance(value, Wire):
        return rest(value, frozenset())
    # Users' data holds no wire objects and may be nested deeper than Python can follow.
    if isinstance(value, list) and value and isinstance(value[0], Wire):
        return [plain(item) for item in value]
    return value


@cache
def _others(
    type_: type[Wire], used: frozenset[str]
) -> tuple[tuple[str, ...], Callable[[Wire], tuple[Any, ...]]]:
    """(wire names, how to read them all) of the fields that are not ``used``."""
    fields = [field for field in msgspec.structs.fields(type_) if field.name not in used]
    wires = tuple(field.encode_name for field in fields)
    if len(fields) == 1:  # attrgetter gives one value bare
        return wires, lambda value: (value.extra,)
    return wires, attrgetter(*(field.name for field in fields))


def _tidy(value: Any, shape: _Shape) -> Any:
    if isinstance(value, list):
        return [_tidy(item, shape) for item in value]
    if not isinstance(value, dict):
        return value
    tidy: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for name, field in value.items():
        wire = shape.names.get(name)
        if wire is None:
            unknown[name] = field
        else:
            child = shape.children.get(wire)
            tidy[wire] = field if child is None else _tidy(field, child)
    if unknown:
        tidy[EXTRA] = unknown
    return tidy


@cache
def _shape(type_: type[Wire]) -> _Shape:
    names: dict[str, str] = {}
    children: dict[str, _Shape] = {}
    for field in msgspec.structs.fields(type_):
        if field.encode_name == EXTRA:
            continue
        names[field.name] = names[field.encode_name] = field.encode_name
        for child in _structs(msgspec.inspect.type_info(field.type)):
            children[field.encode_name] = _shape(child)
    return _Shape(names, children)


def _structs(type_: msgspec.inspect.Type) -> Iterable[type[Wire]]:
    match type_:
        case msgspec.inspect.StructType(cls=cls) if issubclass(cls, Wire):
            yield cls
        case msgspec.inspect.ListType(item_type=item):
            yield from _structs(item)
        case msgspec.inspect.UnionType(types=types):
            for member in types:
                yield from _structs(member)
