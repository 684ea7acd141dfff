"""Tables of Spaces: the channel's own, and MODEL_CONFIG as older gateways had it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.providers.catalog import load_catalog
from dragoman.providers.gradio_config import (
    BadModelConfig,
    SpaceModel,
    channel_fields,
    is_server_url,
    is_space_id,
    read_model_config,
    read_spaces,
)

DOCUMENTED = """
MODEL_CONFIG = {
    "your-model-name": {
        "space": "username/space-name",  # Hugging Face Space ID
        "flags": "11"                     # Configure according to model API documentation
    }
}
"""
JSON = '{"your-model-name": {"space": "username/space-name", "flags": "11"}}'
MODEL = SpaceModel(space="username/space-name", flags="11")


@pytest.mark.row("S0-21")
@pytest.mark.parametrize(
    "text",
    [DOCUMENTED, JSON, DOCUMENTED.replace("=", ": dict =", 1), DOCUMENTED.replace('"', "'")],
)
def test_the_documented_form(text: str) -> None:
    assert read_model_config(text) == {"your-model-name": MODEL}


def test_a_channel_out_of_it() -> None:
    models = read_model_config(
        '{"a": {"space": "x/y", "flags": "52", "api_name": "/generate"}, "b": "http://h:7860"}'
    )
    assert channel_fields(models) == {
        "models": ("a", "b"),
        "quirks": {
            "spaces": {
                "a": {"space": "x/y", "flags": "52", "api_name": "/generate"},
                "b": {"space": "http://h:7860"},
            }
        },
    }
    assert read_spaces(channel_fields(models)["quirks"]["spaces"]) == models


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither JSON nor"),
        ("{", "neither JSON nor"),
        ("open('/etc/passwd')", "neither JSON nor"),
        ("{'a': __import__('os')}", "neither JSON nor"),
        ("[]", "must map each name"),
        ('{"a": 1}', "'a' must have a space"),
        ('{"a": {}}', "owner/name"),
        ('{"a": {"space": "no-slash"}}', "owner/name"),
        ('{"a": {"space": "a/b/c"}}', "owner/name"),
        ('{"a": {"space": "ftp://x/y"}}', "owner/name"),
        ('{"a": {"space": "http://u:p@h/"}}', "owner/name"),
        ('{"a": {"space": 7}}', "not text"),
        ('{"a": {"space": "x/y", "flags": "9"}}', "two digits"),
        ('{"a": {"space": "x/y", "flags": "63"}}', "two digits"),
        ('{"a": {"space": "x/y", "flag": "11"}}', "unknown field 'flag'"),
        ("(" * 100_000, "neither JSON nor"),
        ("1" * 300_000, "longer than"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, words: str) -> None:
    with pytest.raises(BadModelConfig, match=words):
        read_model_config(text)


@given(text=st.text(max_size=60) | st.sampled_from(["{1:", "{'a':b}", "-" * 50, "\x00"]))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_model_config(text)
    except BadModelConfig as error:
        assert str(error)  # noqa: PT017 - any other exception fails the test


@pytest.mark.parametrize("text", ["a/b", "Kingoteam/Qwen2.5-vl-3B-demo", "x_1/y-2.z"])
def test_ids_of_spaces(text: str) -> None:
    assert is_space_id(text)
    assert not is_server_url(text)


@pytest.mark.parametrize(
    "text", ["a", "a/b/c", "/a", "a/", "../b", "a/..", "a b/c", "á/b", "a/b?c"]
)
def test_what_are_none(text: str) -> None:
    assert not is_space_id(text)


def test_the_built_in_models_stand_in_the_providers_row() -> None:
    row: Any = load_catalog()["gradio"]
    built_in = read_spaces(row.quirks["builtin_spaces"])
    assert tuple(built_in) == row.models
    assert {name: model.flags for name, model in built_in.items()} == {
        "gpt-oss-20b": "11",
        "gemma-3-12b": "22",
        "gemma-2-9b": "01",
        "gemma-2-2b": "01",
        "gemma-3-270m": "00",
        "qwen2.5-3b": "30",
    }
