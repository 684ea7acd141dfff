"""Models of the Hugging Face Hub, and what answers for them here, as an operator writes them:
``{hub model: {task: {"model": name, "parameters": {…}}}}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.canonical.errors import InvalidRequest
from dragoman.config import checks
from dragoman.config.checks import Check
from dragoman.config.fields import read_fields
from dragoman.config.problems import Refusal


def _task(value: Any) -> str:
    # The protocol is imported only where such a setting is written.
    from dragoman.protocols.hf_tasks.tasks import canonical_task  # noqa: PLC0415

    try:
        return canonical_task(checks.text(value), "task")
    except InvalidRequest as error:
        raise Refusal(error.message) from None


def _parameters(value: Any) -> dict[str, Any]:
    from dragoman.protocols.hf_tasks.request import read_parameters  # noqa: PLC0415

    given: dict[str, Any] = checks.mapping(checks.json_value)(value)
    try:
        read_parameters(given)
    except InvalidRequest as error:
        raise Refusal(error.message) from None
    return given


_MODEL: Mapping[str, Check] = {"model": checks.text, "parameters": _parameters}


def _mapped(value: Any) -> dict[str, Any]:
    return read_fields(value, _MODEL, required=("model",))


hub_models = checks.mapping(checks.mapping(_mapped, _task))
"""Such an object. Raises Refusal."""
