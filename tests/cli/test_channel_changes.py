"""``dragoman channels add, edit, enable, disable, show, remove``, in the database and in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Cli
from tests.config.support import CANARY

KEYS = [f"sk-{CANARY}-one1", f"sk-{CANARY}-two2"]
EVERY_OPTION = [
    *("--type", "openai", "--name", "main", "--api-key", KEYS[0], "--api-key", KEYS[1]),
    *("--base-url", "https://llm.example/v1", "--protocol", "openai_chat"),
    *("--model", "gpt-4o", "--model", "o3", "--alias", "fast=o3-mini", "--priority", "2"),
    *("--weight", "3", "--tag", "eu", "--tag", "cheap", "--timeout", "7.5"),
    *("--max-retries", "1", "--max-concurrency", "4", "--header", f"X-Org={CANARY}=="),
    *("--proxy", f"socks5://u:{CANARY}@p:1", "--set", "strict=true"),
    *("--set", 'prices={"gpt-4o": {"input": 2.5}}', "--set", "cooldown_seconds=9"),
]
SHOWN = {
    "name": "main",
    "type": "openai",
    "api_key": "***",
    "api_keys": ["***"],
    "base_url": "https://llm.example/v1",
    "protocol": "openai_chat",
    "models": ["gpt-4o", "o3"],
    "aliases": {"fast": "o3-mini"},
    "priority": 2,
    "weight": 3,
    "tags": ["eu", "cheap"],
    "timeout": 7.5,
    "max_retries": 1,
    "max_concurrency": 4,
    "headers": {"x-org": "***"},
    "proxy_url": "***",
    "proxy_enabled": True,
    "strict": True,
    "prices": {"gpt-4o": {"input": 2.5}},
    "cooldown_seconds": 9.0,
    "enabled": True,
}


@pytest.fixture(params=["database", "file"])
def place(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the configuration is; the commands are the same."""
    if request.param == "file":
        Path("config.json").write_text("{}")
        monkeypatch.setenv("DRAGOMAN_CONFIG", "config.json")
    return str(request.param)


def shown(cli: Cli, channel: str = "main") -> dict[str, Any]:
    found: dict[str, Any] = cli.json("channels", "show", channel)
    return {name: found[name] for name in SHOWN}


@pytest.mark.row("S2-34", "S2-72")
def test_every_field_has_a_way_in(cli: Cli, place: str) -> None:
    assert "channels test main" in cli("channels", "add", *EVERY_OPTION).output
    assert shown(cli) == SHOWN
    (row,) = cli.json("channels", "list")
    assert row["api_key"] == "…one1, …two2"
    said = cli("channels", "show", "main").output
    assert CANARY not in said
    assert "x-org=***" in said
    assert json.loads(cli("config", "export", "--with-secrets").stdout)["channels"][0][
        "headers"
    ] == {"x-org": f"{CANARY}=="}


@pytest.mark.row("S2-72")
def test_a_channel_is_switched_off_and_on(cli: Cli, place: str) -> None:
    cli("channels", "add", "--type", "ollama")
    for word, expected in (("disable", False), ("enable", True)):
        assert f"is {word}d" in cli("channels", word, "ollama").output
        assert cli.json("channels", "show", "1")["enabled"] is expected
        assert [row["enabled"] for row in cli.json("channels", "list")] == [expected]
    assert "did you mean 'ollama'?" in cli("channels", "disable", "olama", code=1).output


@pytest.mark.row("S2-72")
def test_what_is_not_named_stays(cli: Cli, place: str) -> None:
    cli("channels", "add", *EVERY_OPTION)
    cli("channels", "edit", "main", "--priority", "5", "--set", "timeout=null")
    expected = {**SHOWN, "priority": 5, "timeout": None}
    assert shown(cli) == expected
    cli("channels", "edit", "1", "--name", "prime", "--model", "o3", "--set", "tags=a, b")
    expected |= {"name": "prime", "models": ["o3"], "tags": ["a", "b"]}
    assert shown(cli, "prime") == expected
    cli("channels", "edit", "prime", "--api-key-stdin", stdin=f"\n{KEYS[1]}\n")
    assert cli.json("channels", "list")[0]["api_key"] == "…two2"
    cli("channels", "edit", "prime", "--set", "api_key=123456789012", "--set", "proxy_url=")
    found = cli.json("channels", "show", "prime")
    assert (found["api_key"], found["proxy_url"], found["proxy_enabled"]) == ("***", "", False)
    said = cli("channels", "edit", "prime", "--set", "max_concurrency=0", "--set", "weight=9")
    assert "was changed" in said.output
    assert cli.json("channels", "show", "prime")["max_concurrency"] is None


def test_fields_can_come_as_json(cli: Cli, place: str) -> None:
    cli("channels", "add", *EVERY_OPTION)
    copied = cli.json("channels", "show", "main")
    copied |= {"name": "copy", "weight": 8, "headers": {}, "proxy_url": "", "proxy_enabled": False}
    Path("channel.json").write_text(json.dumps(copied))
    said = cli("channels", "add", "--from-json", "channel.json", code=3).output
    assert "api_key: is the placeholder" in said
    cli("channels", "add", "--from-json", "channel.json", "--api-key", KEYS[0], "--weight", "9")
    assert cli.json("channels", "show", "copy")["weight"] == 9
    assert cli.json("channels", "show", "copy")["models"] == ["gpt-4o", "o3"]
    fields = json.dumps({"priority": 7, "drops": ["seed"]})
    cli("channels", "edit", "copy", "--from-json", "-", stdin=fields)
    found = cli.json("channels", "show", "copy")
    assert (found["priority"], found["drops"]) == (7, ["seed"])
    # What is shown and comes back unchanged changes nothing.
    everything = json.dumps(found)
    cli("channels", "edit", "copy", "--from-json", "-", "--set", "strict=false", stdin=everything)
    assert cli.json("channels", "show", "copy") == {**found, "strict": False}


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ((), "say what to change", 2),
        (("--set", "priority"), "FIELD=VALUE", 2),
        (("--header", "x-a="), "NAME=VALUE", 2),
        (("--set", "priorty=1"), "did you mean 'priority'?", 3),
        (("--set", "priority=[1"), "priority: must be a whole number", 3),
        (("--set", "id=9"), "id: cannot be changed", 3),
        (("--set", "headers={"), "headers: must be an object", 3),
        (("--header", "host=x"), "headers.host", 3),
        (("--max-concurrency", "-1"), "max_concurrency", 3),
        (("--from-json", "missing.json"), "cannot be read", 1),
        (("--from-json", "list.json"), "one JSON object", 1),
        (("--from-json", "bad.json"), "not valid JSON", 1),
        (("--name", "other"), "taken", 1),
    ],
)
def test_what_is_wrong_is_said(
    cli: Cli, place: str, words: tuple[str, ...], said: str, code: int
) -> None:
    Path("list.json").write_text("[]")
    Path("bad.json").write_text("{")
    cli("channels", "add", "--type", "ollama", "--name", "main")
    cli("channels", "add", "--type", "ollama", "--name", "Other")
    before = cli.json("channels", "list")
    assert said in cli("channels", "edit", "main", *words, code=code).output
    assert cli.json("channels", "list") == before


@pytest.mark.row("S2-72")
def test_a_channel_is_removed_from_where_it_stands(cli: Cli, place: str) -> None:
    cli("channels", "add", "--type", "ollama", "--name", "main")
    cli("channels", "add", "--type", "ollama", "--name", "other")
    assert "was removed" in cli("channels", "remove", "main").output
    assert [row["name"] for row in cli.json("channels", "list")] == ["other"]
    assert "No channel has the name" in cli("channels", "remove", "main", code=1).output
    if place == "file":
        assert [one["name"] for one in json.loads(Path("config.json").read_text())["channels"]] == [
            "other"
        ]


def test_a_file_is_changed_by_name_and_not_the_database(cli: Cli) -> None:
    Path("config.json").write_text("{}")
    cli("channels", "add", "--type", "ollama", "--config", "config.json")
    assert cli.json("channels", "list") == []
    (row,) = cli.json("channels", "list", "--config", "config.json")
    assert row["source"] == "config.json"


def test_channels_of_the_environment_are_changed_there(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEYS[0])
    for words in (("disable",), ("edit", "--priority", "2"), ("remove",)):
        command, *options = words
        said = cli("channels", command, "groq", *options, code=1).output
        assert "GROQ_API_KEY" in said
    assert cli.json("audit") == []
