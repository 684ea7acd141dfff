"""``dragoman config get, set, reset, ha`` and ``dragoman audit``."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest

from tests.cli.support import Cli
from tests.config.support import CANARY, sample


@pytest.mark.row("S2-72")
def test_a_setting_is_shown_changed_and_reset(cli: Cli) -> None:
    assert cli("config", "get", "port").stdout == "3000\n"
    said = cli("config", "set", "port", "4000")
    assert said.stdout == "port is 4000.\n"
    assert "started again" in said.stderr
    assert cli("config", "get", "port").stdout == "4000\n"
    found = cli.json("config", "get")
    assert (found["values"]["port"], found["sources"]["port"]) == (4000, "database")
    assert found["sources"]["host"] == "default"
    assert "port" in cli("config", "get").output
    cli("config", "reset", "port")
    assert cli.json("config", "get")["sources"]["port"] == "default"


@pytest.mark.parametrize(
    ("name", "text", "value", "shown"),
    [
        ("require_auth", "off", False, "off"),
        ("cors_origins", "https://a.b, http://c:1", ["https://a.b", "http://c:1"], None),
        ("strategies", "gpt-*=least_busy", {"gpt-*": "least_busy"}, "gpt-*=least_busy"),
        ("strategy", "Lowest_Price", "lowest_price", "lowest_price"),
        ("queue_seconds", "1.5", 1.5, "1.5"),
        ("log_level", "debug", "debug", "debug"),
    ],
)
def test_text_means_what_it_means_in_a_variable(
    cli: Cli, name: str, text: str, value: object, shown: str | None
) -> None:
    said = cli("config", "set", name, text)
    if shown is not None:
        assert said.stdout == f"{name} is {shown}.\n"
    assert said.stderr == ("" if name != "cors_origins" else said.stderr)
    assert cli.json("config", "get", name) == value


@pytest.mark.row("S2-69", "S2-72")
def test_a_setting_of_the_file_is_changed_in_the_file(cli: Cli) -> None:
    Path("config.json").write_text(json.dumps(sample()))
    config = ("--config", "config.json")
    cli("config", "ha", "on", *config)
    cli("config", "set", "require_auth", "false", *config)
    expected = {**sample()["settings"], "high_availability_mode": True, "require_auth": False}
    assert json.loads(Path("config.json").read_text())["settings"] == expected
    assert cli("config", "get", "high_availability_mode", *config).stdout == "on\n"
    assert cli("config", "get", "high_availability_mode").stdout == "off\n"
    cli("config", "ha", "off", *config)
    assert json.loads(Path("config.json").read_text())["settings"] == {
        **expected,
        "high_availability_mode": False,
    }


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("set", "prot", "1"), "did you mean 'port'?", 3),
        (("get", "prot"), "did you mean 'port'?", 3),
        (("reset", "prot"), "did you mean 'port'?", 3),
        (("set", "port", "0"), "port: must be a whole number", 3),
        (("set", "require_auth", "maybe"), "require_auth: must be true or false", 3),
        (("ha", "maybe"), "on or off", 2),
        (("set", "strategy", "least_busy"), "environment variable DRAGOMAN_STRATEGY", 1),
    ],
)
def test_what_is_wrong_is_said(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str, code: int
) -> None:
    monkeypatch.setenv("DRAGOMAN_STRATEGY", "lowest_price")
    assert said in cli("config", *words, code=code).output
    assert cli.json("audit") == []


def test_every_change_is_in_the_audit(cli: Cli) -> None:
    assert "Nothing was changed" in cli("audit").output
    cli("channels", "add", "--type", "openai", "--api-key", f"sk-{CANARY}")
    cli("channels", "edit", "openai", "--api-key", f"sk-{CANARY}-2", "--priority", "2")
    cli("keys", "create", "laptop")
    cli("keys", "edit", "laptop", "--disable")
    cli("keys", "revoke", "laptop")
    cli("config", "ha", "on")
    Path("config.json").write_text(json.dumps(sample()))
    cli("config", "import", "config.json")
    cli("channels", "remove", "openai")
    found = cli.json("audit")
    assert [entry["action"] for entry in found][::-1] == [
        "channel.add",
        "channel.change",
        "key.add",
        "key.change",
        "key.revoke",
        "settings.change",
        "configuration.import",
        "channel.remove",
    ]
    assert {(entry["actor"], entry["via"]) for entry in found} == {(getpass.getuser(), "cli")}
    assert found[-2]["changes"] == {"api_key": ["***", "***"], "priority": [1, 2]}
    assert found[1]["changes"]["channels"] == [None, ["OpenAI"]]
    said = cli("audit").output
    assert CANARY not in said + str(found)
    assert "priority: 1 → 2" in said
    assert [entry["id"] for entry in cli.json("audit", "--limit", "2", "--before", "4")] == [3, 2]
