"""What the task API says of models: the list, and which model of the Hub is answered by which of ours.

Source: the task API's documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from dragoman.canonical.parts import Json
from dragoman.protocols.hf_tasks.request import read_parameters
from dragoman.protocols.hf_tasks.tasks import canonical_task
from dragoman.protocols.wire_json import read_client

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^\S+(?: \S+)*$")]
_encode = msgspec.json.Encoder().encode


class ListedModel(msgspec.Struct, frozen=True):
    """A model of ours, the Hub's model that it answers for (null if none) and the task."""

    model_id: str
    hub_model_id: str | None
    task_type: str


class Mapping(msgspec.Struct, kw_only=True):
    """A model of ours that is to answer for one of the Hub's at a task, with default parameters."""

    provider_model_id: _Name
    hub_model_id: _Name
    task_type: _Name
    parameters: dict[str, Json] | None = None


_mapping = msgspec.json.Decoder(Mapping)


def decode_mapping(body: bytes) -> Mapping:
    """A mapping as it is registered. Raises InvalidRequest that names the field."""
    asked = read_client(body, _mapping)
    asked.task_type = canonical_task(asked.task_type, "task_type")
    read_parameters(asked.parameters or {})
    return asked


def encode_mapped(asked: Mapping) -> bytes:
    """The answer to a mapping that is in force."""
    return _encode(
        {
            "success": True,
            "provider_model_id": asked.provider_model_id,
            "hub_model_id": asked.hub_model_id,
            "message": "Model mapping registered successfully",
        }
    )


def encode_models(models: Sequence[ListedModel]) -> bytes:
    """The list of models."""
    return _encode(
        {
            "models": models,
            "count": len(models),
            "task_types": sorted({one.task_type for one in models}),
        }
    )
