"""``dragoman prices``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import Cli


@pytest.fixture(params=["database", "file"])
def channels(request: pytest.FixtureRequest, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A channel to OpenAI and one to a server elsewhere, in the database or in a file."""
    if request.param == "file":
        Path("config.json").write_text("{}")
        monkeypatch.setenv("DRAGOMAN_CONFIG", "config.json")
    cli("channels", "add", "--type", "openai", "--api-key", "sk-x", "--model", "gpt-4o")
    cli("channels", "add", "--type", "vllm", "--base-url", "http://gpu-box:8000", "--model", "m")
    return cli


def test_the_list_says_who_says_so_and_marks_what_has_no_price(channels: Cli) -> None:
    result = channels("prices")
    lines = result.stdout.splitlines()
    assert "input 2.5, cache_read 1.25, output 10" in lines[1]
    assert "genai-prices" in lines[1]
    assert lines[2].split() == ["m", "vllm", "UNPRICED", "nobody", "-"]
    assert "1 of these have no price" in result.stderr
    assert "dragoman prices set CHANNEL MODEL" in result.stderr


def test_a_price_of_ones_own_is_set_changed_and_taken_back(channels: Cli) -> None:
    channels("prices", "set", "openai", "gpt-4o", "--input", "0.15", "--output", "0.6")
    channels("prices", "set", "openai", "gpt-4o", "--cache-read", "0.0750000000000000001")
    (row,) = channels.json("prices", "gpt-4o", "--channel", "openai")
    assert row["source"] == "operator"
    assert row["rates"] == {"input": "0.15", "output": "0.6", "cache_read": "0.075"}
    kept = channels.json("channels", "show", "openai")["prices"]
    assert kept["gpt-4o"]["input"] == 0.15
    assert kept["gpt-4o"]["cache_read"] == "0.0750000000000000001", "every digit stays"
    channels("prices", "unset", "openai", "gpt-4o")
    (row,) = channels.json("prices", "gpt-4o", "--channel", "openai")
    assert row["source"].startswith("genai-prices")


def test_a_star_prices_every_other_model(channels: Cli) -> None:
    channels("prices", "set", "vllm", "*", "--input", "0", "--output", "0")
    (row,) = channels.json("prices", "m")
    assert (row["priced"], row["source"]) == (True, "operator")
    assert "no price" not in channels("prices").stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("set", "openai", "gpt-4o"), 2, "--input 0.15"),
        (("set", "openai", "gpt-4o", "--input", "-1"), 3, "prices.gpt-4o.input: must be a number"),
        (("set", "openai", "gpt-4o", "--request", "1e400"), 3, "prices.gpt-4o.request"),
        (("set", "openai", "gpt-4o", "--output", "NaN"), 3, "prices.gpt-4o.output"),
        (("set", "opena", "gpt-4o", "--output", "1"), 1, "did you mean 'openai'?"),
        (("unset", "openai", "gpt-4o"), 1, "no price of your own for 'gpt-4o'"),
        (("list", "--channel", "nobody"), 1, "'nobody'"),
    ],
)
def test_what_cannot_be_done_is_said(
    channels: Cli, words: tuple[str, ...], code: int, told: str
) -> None:
    assert told in channels("prices", *words, code=code).output


def test_without_channels_there_is_nothing_to_show(cli: Cli) -> None:
    assert "no models to show" in cli("prices").stdout
    assert json.loads(cli("prices", "--json").stdout) == []


def test_an_estimate_needs_a_price_to_estimate_by(channels: Cli) -> None:
    refused = channels("config", "set", "unpriced", "estimate", code=3)
    assert "unpriced_price first" in refused.output
    channels("config", "set", "unpriced_price", "input=0.15,output=1.20")
    channels("config", "set", "unpriced", "estimate")
    refused = channels("config", "reset", "unpriced_price", code=3)
    assert "unpriced_price first" in refused.output


def test_a_price_for_a_model_that_the_channel_does_not_serve_is_told_of(channels: Cli) -> None:
    served = channels("prices", "set", "openai", "GPT-4o", "--input", "1")
    assert "does not serve" not in served.stderr
    typo = channels("prices", "set", "openai", "gtp-4o", "--input", "1")
    assert "does not serve 'gtp-4o'; it serves gpt-4o" in typo.stderr
