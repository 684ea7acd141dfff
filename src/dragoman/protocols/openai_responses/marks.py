"""What the canonical form has no field for: how it rides along, and how it comes back.

A part, message, tool or request that came from this wire carries ``extensions["openai_responses"]``:

- fields under their wire names, and two of ours (MESSAGE and GROUP), which other protocols note as
  dropped;
- marks, whose names begin with an underscore: bookkeeping that is worth nothing elsewhere.

The mere presence of the (perhaps empty) dictionary on a request or response tells that it was born
here: nothing is added to it when it is written again.
"""

from __future__ import annotations

import functools
import re
from typing import Any, TypeVar

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Extensions, Json, own_extensions

ID = "openai_responses"

MESSAGE = "item"
"""What a message item says besides its content, on its first part."""
ITEM = "_item"
"""``id`` and ``status`` of the item that begins with this part (or that is this message)."""
CONTENT = "_content"
"""This Opaque is a content part, not an item."""
CUTS = "_cuts"
"""Where, in a reasoning part's text, its second and later summary parts begin."""
NAMESPACE = "_namespace"
"""[namespace, name in it] of a tool or call."""
GROUP = "group"
"""What a namespace says besides its name and tools, on its first tool."""
GROUP_START = "_group"
"""A namespace begins with this tool."""
ADDITIONAL = "_additional"
"""The ``additional_tools`` item, and its place in the input, that a tool came with."""
INSTRUCTIONS = "_instructions"
"""This system message is the request's ``instructions``."""
ENCRYPTED = "_encrypted"
"""``include`` names ``reasoning.encrypted_content``; every answer carries it anyway."""
STREAM_OPTIONS = "_stream_options"

MARKS = frozenset(
    {
        ITEM,
        CONTENT,
        CUTS,
        NAMESPACE,
        ADDITIONAL,
        INSTRUCTIONS,
        ENCRYPTED,
        STREAM_OPTIONS,
        GROUP,
        GROUP_START,
        MESSAGE,
    }
)
"""Names with a meaning of ours: a wire field of the same name is not carried."""

_MISSING = re.compile(r"missing required field `(\w+)`")

T = TypeVar("T")


def born_here(extensions: Extensions | None) -> bool:
    """Whether what carries ``extensions`` was decoded from this protocol."""
    return bool(extensions) and ID in extensions  # type: ignore[operator]


def own(extensions: Extensions | None) -> dict[str, Json]:
    """This protocol's extension fields and marks."""
    return own_extensions(extensions, ID)


def fields(extensions: Extensions | None) -> dict[str, Json]:
    """The extension fields that are written to the wire under their own names."""
    return {name: value for name, value in own(extensions).items() if name not in MARKS}


@functools.cache
def _known(struct: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(struct.__struct_encode_fields__) | MARKS


def leftovers(raw: dict[str, Any], struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The fields of ``raw`` that ``struct`` does not know; null counts as absent."""
    known = _known(struct)
    return {name: value for name, value in raw.items() if value is not None and name not in known}


def extensions(found: dict[str, Json]) -> Extensions | None:
    """``found`` as this protocol's extensions; None if there is nothing."""
    return {ID: found} if found else None


def convert(value: Any, struct: type[T], path: str) -> T:
    """Read ``value`` as ``struct``. Raises InvalidRequest naming the field below ``path``."""
    try:
        return msgspec.convert(value, struct)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        path += where.rstrip("`").replace("[", ".").replace("]", "")
        if missing := _MISSING.search(what):
            path += f".{missing[1]}"
        raise InvalidRequest(f"{what}, at '{path}'.", param=path) from None
