"""Google's OpenAPI subset (``Schema`` in google-genai's types) → JSON Schema, for other protocols."""

from __future__ import annotations

import re

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Json
from dragoman.protocols.gemini_generate.schema import MAX_DEPTH

_CAMEL = {
    "any_of": "anyOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "property_ordering": "propertyOrdering",
    "additional_properties": "additionalProperties",
    "defs": "$defs",
    "ref": "$ref",
}
# int64 fields, which protobuf's JSON form (and the Node SDK's types) writes as strings.
_COUNTS = frozenset(
    ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
)
_COUNT = re.compile(r"[0-9]{1,18}")
_MAPS = ("properties", "$defs", "definitions")
_NESTED = ("items", "anyOf", "oneOf", "allOf", "additionalProperties")


def from_openapi(schema: dict[str, Json]) -> dict[str, Json]:
    """The subset → JSON Schema: lower-case types, ``nullable`` as a type, ``propertyOrdering`` as the
    order of the properties. Both spellings of a keyword are read; JSON Schema proper passes unchanged.
    Raises InvalidRequest for one nested beyond reason."""
    converted = _from_openapi(schema, 0)
    assert isinstance(converted, dict)
    return converted


def _from_openapi(schema: Json, depth: int) -> Json:
    if depth > MAX_DEPTH:
        raise InvalidRequest("A schema is nested too deeply.")
    if isinstance(schema, list):
        return [_from_openapi(item, depth + 1) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Json] = {}
    for written, value in schema.items():
        key = str(_CAMEL.get(written, written))
        if key == "type" and isinstance(value, str):
            if value.upper() != "TYPE_UNSPECIFIED":
                out["type"] = value.lower()
        elif key in _COUNTS and isinstance(value, str) and _COUNT.fullmatch(value):
            out[key] = int(value)
        elif key in _MAPS and isinstance(value, dict):
            out[key] = {name: _from_openapi(item, depth + 1) for name, item in value.items()}
        elif key in _NESTED:
            out[key] = _from_openapi(value, depth + 1)
        elif key == "example":
            out["examples"] = [value]
        elif key not in ("nullable", "propertyOrdering"):
            out[key] = value
    _in_order(schema, out)
    if schema.get("nullable") is True:
        _allow_null(out)
    return out


def _in_order(schema: dict[str, Json], out: dict[str, Json]) -> None:
    ordering = schema.get("propertyOrdering", schema.get("property_ordering"))
    properties = out.get("properties")
    if isinstance(ordering, list) and isinstance(properties, dict):
        first = [name for name in ordering if isinstance(name, str) and name in properties]
        out["properties"] = {name: properties[name] for name in (*first, *properties)}


def _allow_null(out: dict[str, Json]) -> None:
    if isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    if isinstance(out.get("enum"), list) and None not in out["enum"]:
        out["enum"] = [*out["enum"], None]
    if isinstance(out.get("anyOf"), list):
        out["anyOf"] = [*out["anyOf"], {"type": "null"}]
