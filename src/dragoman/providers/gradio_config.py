"""Which model is which Space: a channel's quirks, and the ``MODEL_CONFIG`` of older gateways.

A channel's quirk ``spaces`` maps model names to ``{space, flags, api_name}``, of which only ``space``
must be there: ``owner/name`` on the Hub, or the URL of any Gradio server. ``builtin_spaces`` is the
same in the provider's row.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from dragoman.protocols.gradio.flags import are_flags

_SPACE = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_URL = re.compile(r"https?://[^\s/@?#]+(/[^\s?#]*)?")
_ASSIGNED = re.compile(r"\s*MODEL_CONFIG\s*(:[^=]*)?=")
_FIELDS = ("space", "flags", "api_name")
_MOST_BYTES = 256 * 1024


class BadModelConfig(ValueError):
    """A table of Spaces cannot be used; the message names the model and the field."""


class SpaceModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model and where it runs. No ``flags``: the app is asked what it takes; no ``api_name``: its
    chat endpoint is looked for."""

    space: str
    flags: str = ""
    api_name: str = ""


def is_space_id(text: str) -> bool:
    """Whether ``text`` is an ``owner/name`` on the Hub."""
    return _SPACE.fullmatch(text) is not None


def is_server_url(text: str) -> bool:
    """Whether ``text`` is the URL of a server."""
    return _URL.fullmatch(text) is not None


def read_spaces(table: Any) -> dict[str, SpaceModel]:
    """Check a table of Spaces. Raises BadModelConfig."""
    if not isinstance(table, Mapping):
        raise BadModelConfig("the table of models must map each name to its space and flags")
    return {str(name): _read(str(name), entry) for name, entry in table.items()}


def read_model_config(text: str) -> dict[str, SpaceModel]:
    """``MODEL_CONFIG`` as JSON or as it stood in the older gateway's source (a Python dictionary, with
    or without ``MODEL_CONFIG =`` before it). Raises BadModelConfig."""
    if len(text) > _MOST_BYTES:
        raise BadModelConfig(f"is longer than {_MOST_BYTES} characters")
    try:
        table = msgspec.json.decode(text)
    except msgspec.DecodeError:
        try:
            table = ast.literal_eval(_ASSIGNED.sub("", text, count=1).strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise BadModelConfig("is neither JSON nor a Python dictionary") from None
    return read_spaces(table)


def channel_fields(models: Mapping[str, SpaceModel]) -> dict[str, Any]:
    """What a channel of type ``gradio`` must hold to serve ``models``: its ``models`` and ``quirks``."""
    spaces = {
        name: {field: value for field in _FIELDS if (value := getattr(model, field))}
        for name, model in models.items()
    }
    return {"models": tuple(models), "quirks": {"spaces": spaces}}


def _read(name: str, entry: Any) -> SpaceModel:
    if isinstance(entry, str):
        entry = {"space": entry}
    if not isinstance(entry, Mapping):
        raise BadModelConfig(f"the model {name[:60]!r} must have a space")
    unknown = [str(field) for field in entry if field not in _FIELDS]
    if unknown:
        raise BadModelConfig(
            f"the model {name[:60]!r} has an unknown field {unknown[0][:40]!r}; there are "
            f"{', '.join(_FIELDS)}"
        )
    fields = {field: entry.get(field, "") for field in _FIELDS}
    if not all(isinstance(value, str) for value in fields.values()):
        raise BadModelConfig(f"the model {name[:60]!r} has a field that is not text")
    model = SpaceModel(**{field: value.strip() for field, value in fields.items()})
    if not is_space_id(model.space) and not is_server_url(model.space):
        raise BadModelConfig(
            f"the model {name[:60]!r}: 'space' must be owner/name, or the URL of a Gradio server"
        )
    if model.flags and not are_flags(model.flags):
        raise BadModelConfig(
            f"the model {name[:60]!r}: 'flags' must be two digits, the first 0 to 5, the second 0 to 2"
        )
    return model
