"""What the documents share."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    create_model,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from dragoman.server.admin.contract import MASK

Masked = Annotated[str, AfterValidator(lambda value: MASK if value else value)]
"""A secret on its way out: whatever it is, only that there is one can be seen."""

Names = list[str] | str
"""A list of names; one text with commas between them means the same."""


class Given(BaseModel):
    """What a client sends. Types are exact (``1`` is no ``true``), unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Shown(BaseModel):
    """What the gateway answers; a field that is not described here does not leave."""

    model_config = ConfigDict(extra="ignore")


NAMED = "x-named"
"""Marks a schema that is to stand under a name of its own in the OpenAPI document."""


class Described:
    """Annotates a JSON object that is documented as ``model``.

    The object itself goes on unchanged: the configuration's own checks judge it, as they judge a file,
    and a test holds the model to them.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(self._model.__pydantic_core_schema__), NAMED: self._model.__name__}


def change_of(model: type[BaseModel], name: str, doc: str) -> type[BaseModel]:
    """``model`` as a change: every field may be left out, and null resets it to its default, which
    therefore moves from the schema (where generated clients would send it) into the description."""
    fields: dict[str, Any] = {}
    for field, info in model.model_fields.items():
        kind: Any = info.rebuild_annotation()
        words = info.description or ""
        if not info.is_required():
            kind = kind | None
            words += f" Default: {json.dumps(info.default)}."
        fields[field] = (kind, Field(None, description=words, examples=info.examples))
    return create_model(name, __config__=model.model_config, __doc__=doc, **fields)
