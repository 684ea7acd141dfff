"""JSON Schema → Google's OpenAPI subset (``Schema`` in google-genai's types).

``parametersJsonSchema`` and ``responseJsonSchema`` take JSON Schema and need none of this; the older
``parameters`` and ``responseSchema`` know a few keywords only and refuse a request with any other.
Source: https://ai.google.dev/api/caching#Schema.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Json

MAX_DEPTH = 60
# References may double a schema at every level; real tools stay far below this many nodes.
_MAX_NODES = 20_000

_KEPT = (
    "title",
    "description",
    "default",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
)
_KNOWN = frozenset(
    (
        *_KEPT,
        *("type", "nullable", "enum", "const", "format", "properties", "required", "items"),
        *(
            "prefixItems",
            "anyOf",
            "oneOf",
            "allOf",
            "$ref",
            "$defs",
            "definitions",
            "$schema",
            "$id",
        ),
        *("example", "examples", "exclusiveMinimum", "exclusiveMaximum", "propertyOrdering"),
    )
)
_INDEX = re.compile(r"[0-9]{1,6}")
_FORMATS = {
    "STRING": ("date-time", "enum"),
    "NUMBER": ("float", "double"),
    "INTEGER": ("int32", "int64"),
}


def to_openapi(schema: dict[str, Json]) -> tuple[dict[str, Json], list[str]]:
    """JSON Schema → (the subset, what could not be said). Raises InvalidRequest for a schema nested or
    expanding beyond reason."""
    compiler = _Compiler(schema)
    return compiler.compile(schema, ()), sorted(compiler.losses)


class _Compiler:
    def __init__(self, root: dict[str, Json]) -> None:
        self.root = root
        self.losses: set[str] = set()
        self._nodes = 0

    def compile(self, schema: Json, refs: tuple[str, ...], depth: int = 0) -> dict[str, Json]:
        """One schema; ``refs`` are the references being expanded."""
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > _MAX_NODES:
            raise InvalidRequest("A JSON schema is nested too deeply or too large for this model.")
        if not isinstance(schema, dict):
            return {}
        if isinstance(schema.get("$ref"), str):
            return self._reference(schema, refs, depth)
        if isinstance(schema.get("allOf"), list):
            schema = self._merged(schema, refs, depth)
        self.losses.update(str(key) for key in schema.keys() - _KNOWN)
        out = {key: schema[key] for key in _KEPT if key in schema}
        self._bounds(schema, out)
        nullable = self._type(schema, out, refs, depth)
        nullable |= self._alternatives(schema, out, refs, depth)
        nullable |= self._enum(schema, out)
        self._format(schema, out)
        self._members(schema, out, refs, depth)
        if nullable or schema.get("nullable") is True:
            out["nullable"] = True
        return out

    def _reference(
        self, schema: dict[str, Json], refs: tuple[str, ...], depth: int
    ) -> dict[str, Json]:
        reference = schema["$ref"]
        target = None if reference in refs else _resolve(self.root, reference)
        if not isinstance(target, dict):
            self.losses.add("$ref")
            return {"type": "OBJECT"}
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return self.compile({**target, **beside}, (*refs, reference), depth + 1)

    def _merged(
        self, schema: dict[str, Json], refs: tuple[str, ...], depth: int
    ) -> dict[str, Json]:
        """``allOf`` folded into the schema around it: properties and required are united, of any other
        keyword the first wins."""
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        waiting: list[Json] = list(schema["allOf"])
        seen = set(refs)
        while waiting:
            self._nodes += 1
            member = waiting.pop(0)
            if not isinstance(member, dict) or self._nodes > _MAX_NODES:
                continue
            reference = member.get("$ref")
            if isinstance(reference, str) and reference not in seen:
                seen.add(reference)
                waiting.insert(0, _resolve(self.root, reference))
            nested = member.get("allOf")
            if isinstance(nested, list):
                waiting[:0] = nested
            for key, value in member.items():
                if key not in ("$ref", "allOf"):
                    merged[key] = self._united(key, merged.get(key), value)
        return merged

    def _united(self, key: str, first: Json, second: Json) -> Json:
        if first is None or first == second:
            return second
        if isinstance(first, dict) and isinstance(second, dict) and key == "properties":
            return {**second, **first}
        if isinstance(first, list) and isinstance(second, list) and key == "required":
            return [*first, *(name for name in second if name not in first)]
        if key not in ("title", "description", "$defs", "definitions"):
            self.losses.add("allOf")
        return first

    def _type(
        self, schema: dict[str, Json], out: dict[str, Json], refs: tuple[str, ...], depth: int
    ) -> bool:
        named = schema.get("type")
        names = [named] if isinstance(named, str) else named if isinstance(named, list) else []
        types = [name.upper() for name in names if isinstance(name, str)]
        nullable = "NULL" in types and len(types) > 1
        concrete = [name for name in types if name != "NULL"] if nullable else types
        if len(concrete) == 1:
            out["type"] = concrete[0]
        elif concrete:
            self.losses.add("type")
            inner = {key: value for key, value in schema.items() if key in ("items", "properties")}
            out["anyOf"] = [
                self.compile({**inner, "type": name}, refs, depth + 1) for name in concrete
            ]
        elif (inferred := _inferred(schema)) is not None:
            out["type"] = inferred
        return nullable

    def _alternatives(
        self, schema: dict[str, Json], out: dict[str, Json], refs: tuple[str, ...], depth: int
    ) -> bool:
        members = schema.get("anyOf")
        if not isinstance(members, list):
            members = schema.get("oneOf")
            if not isinstance(members, list):
                return False
            self.losses.add("oneOf")
        concrete = [member for member in members if not _is_null(member)]
        compiled = [self.compile(member, refs, depth + 1) for member in concrete]
        if len(compiled) == 1:
            for key, value in compiled[0].items():
                out.setdefault(key, value)
        elif compiled:
            out["anyOf"] = compiled
        return len(concrete) < len(members)

    def _enum(self, schema: dict[str, Json], out: dict[str, Json]) -> bool:
        """Only strings may be enumerated; other constants are told in the description."""
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if not isinstance(values, list):
            return False
        concrete = [value for value in values if value is not None]
        if all(isinstance(value, str) for value in concrete):
            if concrete:
                out["enum"] = concrete
                out.setdefault("type", "STRING")
        else:
            self.losses.add("enum")
            shown = ", ".join(msgspec.json.encode(value).decode() for value in concrete)
            told = f"One of: {shown}."
            out["description"] = f"{out['description']} {told}" if out.get("description") else told
            if "type" not in out and (common := _type_of_all(concrete)) is not None:
                out["type"] = common
        return len(concrete) < len(values)

    def _format(self, schema: dict[str, Json], out: dict[str, Json]) -> None:
        wanted = schema.get("format")
        if wanted is None:
            return
        if wanted in _FORMATS.get(str(out.get("type")), ()):
            out["format"] = wanted
        else:
            self.losses.add("format")

    def _bounds(self, schema: dict[str, Json], out: dict[str, Json]) -> None:
        whole = schema.get("type") == "integer"
        for exclusive, inclusive, step in (
            ("exclusiveMinimum", "minimum", 1),
            ("exclusiveMaximum", "maximum", -1),
        ):
            bound = schema.get(exclusive)
            if bound is None:
                continue
            if isinstance(bound, bool) or not isinstance(bound, int | float):
                self.losses.add(exclusive)
            elif whole and (isinstance(bound, int) or bound.is_integer()):
                out.setdefault(inclusive, int(bound) + step)
            else:
                self.losses.add(exclusive)
                out.setdefault(inclusive, bound)

    def _members(
        self, schema: dict[str, Json], out: dict[str, Json], refs: tuple[str, ...], depth: int
    ) -> None:
        properties = schema.get("properties")
        if isinstance(properties, dict) and properties:
            out["properties"] = {
                name: self.compile(value, refs, depth + 1) for name, value in properties.items()
            }
            if isinstance(ordering := schema.get("propertyOrdering"), list):
                out["propertyOrdering"] = ordering
        required = schema.get("required")
        if isinstance(required, list):
            # A required name that is no property is refused.
            properties = out.get("properties", {})
            known = [name for name in required if isinstance(name, str) and name in properties]
            if known:
                out["required"] = known
        items = schema.get("items")
        if isinstance(schema.get("prefixItems"), list) or isinstance(items, list):
            self.losses.add("prefixItems")
            row = items if isinstance(items, list) else schema["prefixItems"]
            items = row[0] if len(row) == 1 else {"anyOf": row} if row else None
        if isinstance(items, dict):
            out["items"] = self.compile(items, refs, depth + 1)
        elif out.get("type") == "ARRAY":
            out["items"] = {"type": "STRING"}  # an array without items is refused
            self.losses.add("items")
        for example in (schema.get("example"), *_listed(schema.get("examples"))):
            if example is not None:
                out.setdefault("example", example)


def _resolve(root: dict[str, Json], reference: str) -> Json:
    """The target of a local JSON pointer; None for anything else."""
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    target: Any = root
    for step in reference[2:].split("/"):
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and _INDEX.fullmatch(name):
            target = target[int(name)] if int(name) < len(target) else None
        elif isinstance(target, dict):
            target = target.get(name)
        else:
            return None
    return target


def _is_null(schema: Json) -> bool:
    return isinstance(schema, dict) and str(schema.get("type")).lower() == "null"


def _inferred(schema: dict[str, Json]) -> str | None:
    if isinstance(schema.get("properties"), dict):
        return "OBJECT"
    if "items" in schema or "prefixItems" in schema:
        return "ARRAY"
    return None


def _type_of_all(values: Iterable[Json]) -> str | None:
    names = {_type_name(value) for value in values}
    return names.pop() if len(names) == 1 else None


def _type_name(value: Json) -> str:
    match value:
        case bool():
            return "BOOLEAN"
        case int():
            return "INTEGER"
        case float() if math.isfinite(value):
            return "NUMBER"
        case dict():
            return "OBJECT"
        case list():
            return "ARRAY"
        case _:
            return "STRING"


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
