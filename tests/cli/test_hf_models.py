"""``dragoman hf models``, against a stand-in of the Hub's model mapping API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.support import Cli, free_port
from tests.support.hf_partner import PROVIDER, READER, WRITER, PartnerHub

OF_ACME = ("--provider", PROVIDER)
CHAT = ("--task", "conversational", "--hf-model", "org/chat", "--provider-model", "chat-70b")


@pytest.fixture
def hub(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[PartnerHub]:
    """The Hub, and a token for it in the environment."""
    with PartnerHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_TOKEN", WRITER)
        yield running


@pytest.mark.row("S4-58")
def test_a_mapping_from_its_making_to_its_end(cli: Cli, hub: PartnerHub) -> None:
    assert "No models are mapped" in cli("hf", "models", "list", *OF_ACME).stdout

    made = cli("hf", "models", "register", *OF_ACME, *CHAT).stdout
    ((row_id, row),) = hub.rows.items()
    assert row_id in made
    assert f"dragoman hf models status {row_id} live" in made
    assert row == {
        "task": "conversational",
        "hfModel": "org/chat",
        "providerModel": "chat-70b",
        "status": "staging",
    }

    (listed,) = cli.json("hf", "models", "list", *OF_ACME, "--status", "staging")
    assert listed["id"] == row_id
    assert (listed["hf_model"], listed["provider_model"]) == ("org/chat", "chat-70b")
    assert cli.json("hf", "models", "list", *OF_ACME, "--status", "live") == []

    cli("hf", "models", "status", row_id, "live", *OF_ACME)
    assert hub.requests[-1].method == "PUT"
    assert hub.requests[-1].path == f"/api/partners/{PROVIDER}/models/{row_id}/status"
    assert hub.requests[-1].body == {"status": "live"}
    table = cli("hf", "models", "list", *OF_ACME, "--status", "live").stdout
    assert "org/chat" in table
    assert "live" in table
    assert "No models" in cli("hf", "models", "list", *OF_ACME, "--task", "translation").stdout

    cli("hf", "models", "delete", row_id, *OF_ACME)
    assert hub.rows == {}
    assert {asked.token for asked in hub.requests} == {WRITER}


@pytest.mark.row("S4-58")
def test_a_tag_filter_for_lora_adapters(cli: Cli, hub: PartnerHub) -> None:
    tags = ["lora", "base_model:adapter:org/flux"]
    answer = cli.json(
        *("hf", "models", "register", *OF_ACME, "--task", "text-to-image", "--live"),
        *("--tag", tags[0], "--tag", tags[1], "--provider-model", "flux-lora"),
    )
    assert hub.rows[answer["id"]] == {
        "type": "tag-filter",
        "task": "text-to-image",
        "tags": tags,
        "providerModel": "flux-lora",
        "adapterType": "lora",
        "status": "live",
    }
    (listed,) = cli.json("hf", "models", "list", *OF_ACME)
    assert (listed["adapter_type"], listed["tags"]) == ("lora", tags)
    assert listed["hf_model"] == f"tag-filter={','.join(sorted(tags))}"


def test_the_list_is_public(cli: Cli, hub: PartnerHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    cli("hf", "models", "list", *OF_ACME)
    assert hub.requests[-1].token == ""
    said = cli("hf", "models", "delete", "x", *OF_ACME, code=1).output
    assert "set HF_TOKEN" in said
    assert len(hub.requests) == 1


@pytest.mark.parametrize(
    ("words", "token", "said"),
    [
        (("register", *CHAT), "hf_nobodys_0123456789", "does not know the token"),
        (("register", *CHAT), READER, "write access"),
        (("delete", "0123"), WRITER, "no such model or mapping"),
        (("status", "0123", "live"), WRITER, "no such model or mapping"),
        (
            ("register", *CHAT[:3], "org/none", *CHAT[4:]),
            WRITER,
            "no such model",
        ),
        (
            ("register", "--task", "translation", *CHAT[2:]),
            WRITER,
            "take the task 'conversational'",
        ),
    ],
    ids=range(6),
)
def test_refusals_say_what_to_do(
    cli: Cli, hub: PartnerHub, words: tuple[str, ...], token: str, said: str
) -> None:
    output = cli("hf", "models", *words, *OF_ACME, "--token", token, code=1).output
    assert said in output
    assert token not in output


def test_a_mapping_that_exists_is_a_conflict(cli: Cli, hub: PartnerHub) -> None:
    cli("hf", "models", "register", *OF_ACME, *CHAT)
    assert (
        "such a mapping already" in cli("hf", "models", "register", *OF_ACME, *CHAT, code=1).output
    )


def test_what_cannot_be_is_refused_before_anything_is_sent(cli: Cli, hub: PartnerHub) -> None:
    register = ("hf", "models", "register", *OF_ACME)
    assert "either --hf-model" in cli(*register, *CHAT, "--tag", "lora", code=2).output
    assert "either --hf-model" in cli(*register, *CHAT[:2], *CHAT[4:], code=2).output
    assert "namespace/model" in cli(*register, *CHAT[:3], "chat", *CHAT[4:], code=1).output
    for name in ("../x", "Acme", "a/b", ""):
        said = cli("hf", "models", "list", "--provider", name, code=1).output
        assert "no provider's name" in said
    cli("hf", "models", "status", "x", "gone", *OF_ACME, code=2)
    assert hub.requests == []


def test_the_token_goes_over_no_open_wire(cli: Cli, hub: PartnerHub) -> None:
    for address in ("http://hub.example", "ftp://hub.example", "hub.example", "http://[", ""):
        output = cli(
            "hf", "models", "delete", "x", *OF_ACME, "--endpoint", address or "https://", code=1
        ).output
        assert "is not encrypted" in output or "is no address" in output
        assert WRITER not in output


def test_a_hub_that_is_away(cli: Cli, hub: PartnerHub) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    said = cli("hf", "models", "list", *OF_ACME, "--endpoint", address, code=1).output
    assert "cannot be reached" in said
