"""Gradio Spaces from the environment: the table that older gateways had in their source."""

from __future__ import annotations

from typing import Any

from dragoman.config.problems import Refusal
from dragoman.providers.gradio_config import BadModelConfig, channel_fields, read_model_config

PROVIDER = "gradio"
VARIABLE = "MODEL_CONFIG"


def is_table(text: str) -> bool:
    """Whether the variable is meant for us: other programs have one of that name, too."""
    return text.lstrip().startswith(("{", VARIABLE))


def fields(text: str, built_in: tuple[str, ...]) -> dict[str, Any]:
    """What the channel must hold beside its key: the table's models, then the built-in ones. Raises
    Refusal."""
    try:
        found = channel_fields(read_model_config(text))
    except BadModelConfig as error:
        raise Refusal(str(error)) from None
    return {**found, "models": tuple(dict.fromkeys((*found["models"], *built_in)))}
