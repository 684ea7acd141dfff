"""MODEL_CONFIG: the table of Spaces that older gateways had in their source."""

from __future__ import annotations

import pytest

from dragoman.canonical.secret import Secret
from dragoman.config.channels import resolve
from dragoman.config.environment import read, recognised_variables
from dragoman.config.problems import Refusal
from dragoman.providers.catalog import load_catalog

CATALOG = load_catalog()
BUILT_IN = CATALOG["gradio"].models
TABLE = """
MODEL_CONFIG = {
    "your-model-name": {
        "space": "username/space-name",  # Hugging Face Space ID
        "flags": "11"                     # Configure according to model API documentation
    }
}
"""
SPACES = {"your-model-name": {"space": "username/space-name", "flags": "11"}}


@pytest.mark.row("S0-21")
@pytest.mark.parametrize("text", [TABLE, TABLE.partition("=")[2].strip()])
def test_a_table_makes_a_channel_with_the_built_in_models(text: str) -> None:
    (found,) = read({"MODEL_CONFIG": text}, CATALOG).channels
    assert found.variables == ("MODEL_CONFIG",)
    channel = resolve(found.entry, CATALOG)
    assert channel.provider == "gradio"
    assert channel.names() == ("your-model-name", *BUILT_IN)
    assert channel.quirks["spaces"] == SPACES
    assert set(channel.quirks["builtin_spaces"]) == set(BUILT_IN)


def test_a_token_and_a_table_are_one_channel() -> None:
    (found,) = read({"MODEL_CONFIG": TABLE, "GRADIO_HF_TOKEN": "hf_x"}, CATALOG).channels
    assert found.variables == ("GRADIO_HF_TOKEN", "MODEL_CONFIG")
    assert found.entry.api_key == Secret("hf_x")


def test_a_server_of_ones_own_has_no_built_in_models() -> None:
    present = {"MODEL_CONFIG": TABLE, "GRADIO_BASE_URL": "http://10.0.0.7:7860"}
    (found,) = read(present, CATALOG).channels
    assert found.entry.models == ("your-model-name",)
    assert found.entry.base_url == "http://10.0.0.7:7860"


def test_a_broken_table_stops_the_start() -> None:
    with pytest.raises(Refusal) as caught:
        read({"MODEL_CONFIG": '{"m": {"space": "no-slash"}}'}, CATALOG)
    (problem,) = caught.value.problems
    assert "MODEL_CONFIG" in str(problem)
    assert "owner/name" in str(problem)


@pytest.mark.parametrize("text", ["/etc/models.json", "yes", "[]"])
def test_another_programs_variable_is_left_alone(text: str) -> None:
    assert read({"MODEL_CONFIG": text}, CATALOG).channels == ()


def test_the_variable_is_one_of_ours() -> None:
    assert recognised_variables({"MODEL_CONFIG": TABLE}, CATALOG) == ["MODEL_CONFIG"]
