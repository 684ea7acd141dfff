"""JSON Schemas in the dialects the Messages API accepts.

A tool's ``input_schema`` must be an object at the top, without ``oneOf``, ``anyOf`` or ``allOf``
there. An output format, and the schema of a strict tool, is compiled to a grammar and knows a small
vocabulary only. Source: platform.claude.com/docs/en/build-with-claude/structured-outputs and
``anthropic.lib._parse._transform``.
"""

from __future__ import annotations

import re
from typing import Any

from dragoman.canonical.parts import Json
from dragoman.protocols.anthropic_messages.blocks import JSON

Schema = dict[str, Any]

_COMBINATORS = ("allOf", "anyOf", "oneOf")
_DEFINITIONS = ("$defs", "definitions")

_KEPT = frozenset({"type", "enum", "const", "$ref", "title", "description", "default", "required"})
_HARD_PATTERN = re.compile(r"\(\?[=!<]|\\[bB1-9]")
"""Lookaround, word boundaries and backreferences, which the grammar cannot express."""
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_SILENT = frozenset({"$schema", "$id", "$comment", "examples", "additionalProperties", "nullable"})
"""Keywords that constrain nothing, or whose constraint is expressed otherwise."""


def object_schema(parameters: Schema | None) -> tuple[Schema, bool]:
    """A tool's parameters as an ``input_schema``, and whether their meaning had to be loosened."""
    if parameters is None:
        return {"type": "object", "properties": {}}, False
    if parameters.get("type") == "object" and not any(k in parameters for k in _COMBINATORS):
        return parameters, False
    schema = _resolved(parameters)
    merged: Schema = {k: v for k, v in schema.items() if k not in _COMBINATORS and k != "$ref"}
    merged["type"] = "object"
    properties: dict[str, Json] = {}
    required = _names(schema)
    for keyword in _COMBINATORS:
        branches = [_resolved(b, schema) for b in _branches(schema, keyword)]
        for branch in branches:
            for name, inner in _properties(branch).items():
                properties.setdefault(name, inner)
        demands = [set(_names(branch)) for branch in branches]
        if demands:
            common = set.union(*demands) if keyword == "allOf" else set.intersection(*demands)
            required += sorted(common.difference(required))
    merged["properties"] = {**properties, **_properties(schema)}
    if required:
        merged["required"] = required
    # A schema that only forgot to say "object" says the same after as before.
    loosened = any(k in schema for k in _COMBINATORS) or "$ref" in parameters
    return merged, loosened


def closed_schema(schema: Schema) -> tuple[Schema, list[str]]:
    """``schema`` in the vocabulary of structured outputs, and the keywords it lost.

    A keyword that is lost stays as advice in the description, where the model reads it.
    """
    lost: list[str] = []
    compiled = _closed(schema, lost)
    return compiled, sorted(set(lost))


def _closed(schema: Json, lost: list[str]) -> Json:
    if not isinstance(schema, dict):
        # "true" and "{}" allow anything, which the grammar cannot; nothing better is known here.
        return schema
    out: Schema = {}
    advice: list[str] = []
    for keyword, value in schema.items():
        if keyword in _KEPT:
            out[keyword] = value
        elif keyword in ("properties", *_DEFINITIONS) and isinstance(value, dict):
            out[keyword] = {name: _closed(inner, lost) for name, inner in value.items()}
        elif keyword == "items":
            out[keyword] = _closed(value, lost)
        elif keyword in _COMBINATORS and isinstance(value, list):
            # "oneOf" is not known; a value that fits exactly one branch fits any.
            name = "anyOf" if keyword == "oneOf" else keyword
            out[name] = [*out.get(name, []), *(_closed(inner, lost) for inner in value)]
        elif _is_supported(keyword, value):
            out[keyword] = value
        elif keyword not in _SILENT:
            lost.append(keyword)
            advice.append(f"{keyword}: {JSON.encode(value).decode()}")
    if schema.get("nullable") is True and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    if _is_object(out):
        out["additionalProperties"] = False
        if schema.get("additionalProperties", False) is not False:
            lost.append("additionalProperties")
    if advice:
        text = "; ".join(advice)
        described = out.get("description")
        out["description"] = f"{described} ({text})" if described else text
    return out


def _is_supported(keyword: str, value: Json) -> bool:
    match keyword:
        case "format":
            return value in _FORMATS
        case "minItems":
            return value in (0, 1)
        case "pattern":
            return isinstance(value, str) and _HARD_PATTERN.search(value) is None
        case _:
            return False


def _is_object(schema: Schema) -> bool:
    kind = schema.get("type")
    return (
        kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in schema
    )


def _resolved(schema: Json, root: Schema | None = None) -> Schema:
    """``schema`` with a ``$ref`` to one of the root's definitions replaced by what it names."""
    if not isinstance(schema, dict):
        return {}
    root = schema if root is None else root
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    _, _, path = reference.partition("#/")
    group, _, name = path.partition("/")
    definitions = root.get(group)
    target = definitions.get(name) if isinstance(definitions, dict) else None
    if not isinstance(target, dict):
        return schema
    return {**target, **{k: v for k, v in schema.items() if k != "$ref"}}


def _branches(schema: Schema, keyword: str) -> list[Json]:
    value = schema.get(keyword)
    return value if isinstance(value, list) else []


def _properties(schema: Schema) -> dict[str, Json]:
    value = schema.get("properties")
    return value if isinstance(value, dict) else {}


def _names(schema: Schema) -> list[str]:
    value = schema.get("required")
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
