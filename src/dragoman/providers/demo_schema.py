"""The smallest value that a JSON Schema allows, as far as the demonstration needs it."""

from __future__ import annotations

from typing import Any

_DEEPEST = 12
_MOST_VALUES = 500
_MOST_ITEMS = 8
_LONGEST = 1_000
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


def instance(schema: Any) -> Any:
    """A value that satisfies ``schema`` (objects with required properties only, shortest arrays,
    first enum value). Constraints such as ``pattern`` are not solved."""
    return _Maker(schema).make(schema, 0)


class _Maker:
    """``root`` is where references lead. Schemas may refer to themselves more than once, so that not
    only the depth but the number of values is bounded."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = _MOST_VALUES

    def make(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if not isinstance(schema, dict) or depth > _DEEPEST or self._left < 0:
            return None
        if isinstance(reference := schema.get("$ref"), str):
            return self.make(_resolve(reference, self._root), depth + 1)
        for field in ("const", "default"):
            if field in schema:
                return schema[field]
        for field in ("enum", "examples"):
            if isinstance(schema.get(field), list) and schema[field]:
                return schema[field][0]
        for field in ("anyOf", "oneOf"):
            if isinstance(schema.get(field), list) and schema[field]:
                return self.make(schema[field][0], depth + 1)
        if isinstance(schema.get("allOf"), list):
            return self.make(_merged(schema, self._root), depth + 1)
        match _type(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                count = min(_number(schema.get("minItems"), 0), _MOST_ITEMS)
                return [self.make(schema.get("items", {}), depth + 1) for _ in range(count)]
            case "string":
                return _string(schema)
            case "integer" | "number" as type:
                return _within(schema, whole=type == "integer")
            case other:
                return True if other == "boolean" else None

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        names = [n for n in required if isinstance(n, str)] if isinstance(required, list) else []
        return {name: self.make(properties.get(name, {}), depth + 1) for name in names}


def _type(schema: dict[str, Any]) -> str:
    type = schema.get("type")
    if isinstance(type, list):
        type = next((one for one in type if one != "null"), "null")
    if isinstance(type, str):
        return type
    return "object" if "properties" in schema or "required" in schema else "string"


def _string(schema: dict[str, Any]) -> str:
    text = _FORMATS.get(str(schema.get("format")), "text")
    text = text.ljust(min(_number(schema.get("minLength"), 0), _LONGEST), ".")
    return text[: _number(schema.get("maxLength"), len(text))]


def _merged(schema: dict[str, Any], root: Any) -> dict[str, Any]:
    """``allOf`` as one schema: properties and required names of all, otherwise the last word."""
    rest = {name: value for name, value in schema.items() if name != "allOf"}
    merged: dict[str, Any] = {"properties": {}, "required": []}
    for part in [*schema["allOf"], rest]:
        if isinstance(part, dict) and isinstance(part.get("$ref"), str):
            part = _resolve(part["$ref"], root)  # noqa: PLW2901 - the reference stands for it
        if not isinstance(part, dict):
            continue
        for name, value in part.items():
            if name == "properties" and isinstance(value, dict):
                merged["properties"] |= value
            elif name == "required" and isinstance(value, list):
                merged["required"] += value
            else:
                merged[name] = value
    return {name: value for name, value in merged.items() if value}


def _within(schema: dict[str, Any], *, whole: bool) -> float:
    step = 1 if whole else 0.5
    value: float = 0
    if isinstance(low := schema.get("minimum"), int | float):
        value = max(value, low)
    if isinstance(low := schema.get("exclusiveMinimum"), int | float) and low >= value:
        value = low + step
    if isinstance(high := schema.get("maximum"), int | float):
        value = min(value, high)
    if isinstance(high := schema.get("exclusiveMaximum"), int | float) and high <= value:
        value = high - step
    return value


def _number(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and value >= 0 else otherwise


def _resolve(reference: str, root: Any) -> Any:
    """What a reference within the document (``#/$defs/Name``) points to; None for any other."""
    if not reference.startswith("#"):
        return None
    for step in reference.removeprefix("#").split("/")[1:]:
        if not isinstance(root, dict):
            return None
        root = root.get(step.replace("~1", "/").replace("~0", "~"))
    return root
