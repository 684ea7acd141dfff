"""JSON Schema ⇄ Google's OpenAPI subset."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.errors import InvalidRequest
from dragoman.protocols.gemini_generate.openapi import from_openapi
from dragoman.protocols.gemini_generate.schema import to_openapi

GOOGLE = pydantic.TypeAdapter(types.Schema)


@pytest.mark.parametrize(
    ("schema", "compiled", "losses"),
    [
        ({"type": "string"}, {"type": "STRING"}, []),
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}, []),
        (
            {"type": ["string", "integer"]},
            {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
            ["type"],
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "d"},
            {"type": "STRING", "nullable": True, "description": "d"},
            [],
        ),
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
            ["oneOf"],
        ),
        ({"const": "x"}, {"type": "STRING", "enum": ["x"]}, []),
        ({"enum": ["a", None]}, {"type": "STRING", "enum": ["a"], "nullable": True}, []),
        (
            {"type": "integer", "enum": [1, 2], "description": "n."},
            {"type": "INTEGER", "description": "n. One of: 1, 2."},
            ["enum"],
        ),
        (
            {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
            {"type": "INTEGER", "minimum": 1, "maximum": 9},
            [],
        ),
        (
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "NUMBER", "minimum": 0},
            ["exclusiveMinimum"],
        ),
        ({"type": "string", "format": "uuid"}, {"type": "STRING"}, ["format"]),
        (
            {"type": "string", "format": "date-time"},
            {"type": "STRING", "format": "date-time"},
            [],
        ),
        ({"type": "array"}, {"type": "ARRAY", "items": {"type": "STRING"}}, ["items"]),
        (
            {"prefixItems": [{"type": "string"}, {"type": "integer"}]},
            {"type": "ARRAY", "items": {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}},
            ["prefixItems"],
        ),
        (
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "properties": {"a": {"type": "string"}, "type": {"type": "boolean"}},
                "required": ["a", "gone"],
                "additionalProperties": False,
                "x-mine": 1,
            },
            {
                "type": "OBJECT",
                "properties": {"a": {"type": "STRING"}, "type": {"type": "BOOLEAN"}},
                "required": ["a"],
            },
            ["additionalProperties", "x-mine"],
        ),
        (
            {
                "allOf": [
                    {"$ref": "#/$defs/Named"},
                    {"properties": {"age": {"type": "integer"}}, "required": ["age"]},
                ],
                "$defs": {
                    "Named": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}},
                        "required": ["name"],
                    }
                },
            },
            {
                "type": "OBJECT",
                "properties": {"name": {"type": "STRING"}, "age": {"type": "INTEGER"}},
                "required": ["name", "age"],
            },
            [],
        ),
        (
            {"$ref": "#/$defs/a~1b", "description": "here", "$defs": {"a/b": {"type": "string"}}},
            {"type": "STRING", "description": "here"},
            [],
        ),
        ({"$ref": "https://example.com/schema"}, {"type": "OBJECT"}, ["$ref"]),
        ({"$ref": "#/$defs/nowhere"}, {"type": "OBJECT"}, ["$ref"]),
        ({"examples": ["a", "b"]}, {"example": "a"}, []),
    ],
)
def test_compiling(schema: Any, compiled: Any, losses: list[str]) -> None:
    assert to_openapi(schema) == (compiled, losses)
    GOOGLE.validate_python(compiled)


def test_a_schema_that_holds_itself_is_cut() -> None:
    schema = {
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {"next": {"$ref": "#/$defs/Node"}, "value": {"type": "string"}},
            }
        },
        "$ref": "#/$defs/Node",
    }
    compiled, losses = to_openapi(schema)
    assert compiled["properties"] == {"next": {"type": "OBJECT"}, "value": {"type": "STRING"}}
    assert losses == ["$ref"]


def test_a_schema_that_doubles_at_every_level_is_refused() -> None:
    definitions = {
        f"d{level}": {
            "properties": {name: {"$ref": f"#/$defs/d{level + 1}"} for name in ("a", "b")}
        }
        for level in range(40)
    }
    with pytest.raises(InvalidRequest):
        to_openapi({"$defs": definitions, "$ref": "#/$defs/d0"})


def test_a_schema_nested_beyond_reason_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(200):
        schema = {"type": "array", "items": schema}
    for read in (to_openapi, from_openapi):
        with pytest.raises(InvalidRequest):
            read(schema)


@pytest.mark.parametrize(
    ("schema", "converted"),
    [
        (
            {
                "type": "OBJECT",
                "properties": {
                    "type": {"type": "STRING", "enum": ["a"], "nullable": True},
                    "any_of": {"any_of": [{"type": "NUMBER"}, {"type": "BOOLEAN"}]},
                },
                "property_ordering": ["any_of", "type"],
                "min_properties": "1",
            },
            {
                "type": "object",
                "properties": {
                    "any_of": {"anyOf": [{"type": "number"}, {"type": "boolean"}]},
                    "type": {"type": ["string", "null"], "enum": ["a", None]},
                },
                "minProperties": 1,
            },
        ),
        (
            {"type": "ARRAY", "items": {"type": "INTEGER", "format": "int64"}, "example": [1]},
            {
                "type": "array",
                "items": {"type": "integer", "format": "int64"},
                "examples": [[1]],
            },
        ),
        (
            {"anyOf": [{"type": "STRING"}], "nullable": True},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ),
        ({"type": "TYPE_UNSPECIFIED", "title": "T"}, {"title": "T"}),
    ],
)
def test_reading(schema: Any, converted: Any) -> None:
    assert from_openapi(schema) == converted
    assert list(from_openapi(schema).get("properties", {})) == list(converted.get("properties", {}))


def test_json_schema_proper_passes_unchanged() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"]}, "b": {"$ref": "#/$defs/B"}},
        "$defs": {"B": {"const": 1}},
        "additionalProperties": {"type": "string"},
        "required": ["a"],
    }
    assert from_openapi(schema) == schema


_keywords = st.sampled_from(
    [
        *("type", "properties", "items", "anyOf", "allOf", "enum", "const", "$ref", "required"),
        *("format", "nullable", "exclusiveMinimum", "prefixItems", "minItems", "x"),
    ]
)
_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.sampled_from(["string", "object", "array", "#", "#/anyOf/0", "#/properties/x"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_keywords, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(schema=st.dictionaries(_keywords, _values, max_size=5))
def test_no_schema_breaks_the_compilers(schema: dict[str, Any]) -> None:
    for read in (to_openapi, from_openapi):
        try:
            read(schema)
        except InvalidRequest:
            continue
