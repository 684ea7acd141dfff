"""``dragoman users`` and ``dragoman credits``, and what keys have of users."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.cli.support import Cli, Gateway, soon
from tests.config.support import sample


def test_a_user_is_made_shown_changed_and_disabled(cli: Cli) -> None:
    said = cli(
        *("users", "create", "alice", "--email", "a@example.com", "--prepaid"),
        *("--limit", "requests_per_minute=60", "--limit", "concurrent_requests=2"),
        *("--budget", "month=100", "--budget", "day=$0.5", "--meta", "team=red"),
    ).stdout
    assert "User 'alice' (id 3) was made." in said
    user = cli.json("users", "show", "ALICE")
    assert (user["email"], user["prepaid"], user["enabled"]) == ("a@example.com", True, True)
    assert user["limits"] == {"requests_per_minute": 60, "concurrent_requests": 2}
    assert user["budget"] == {"month": "100", "day": "0.5"}
    assert user["metadata"] == {"team": "red"}

    cli(
        *("users", "edit", "alice", "--postpaid", "--limit", "concurrent_requests=none"),
        *("--limit", "tokens_per_day=5", "--budget", "day=none", "--meta", "team=none"),
    )
    user = cli.json("users", "show", "3")
    assert user["limits"] == {"requests_per_minute": 60, "tokens_per_day": 5}
    assert (user["budget"], user["metadata"], user["prepaid"]) == ({"month": "100"}, {}, False)

    assert "is disabled" in cli("users", "disable", "alice").stdout
    assert cli.json("users", "show", "alice")["enabled"] is False
    assert "is enabled" in cli("users", "enable", "alice").stdout
    cli("users", "edit", "alice", "--name", "Alice B.")
    listed = cli("users", "list").stdout.splitlines()
    assert listed[0].split()[:2] == ["ID", "NAME"]
    assert [line.split()[1] for line in listed[1:]] == ["default", "anonymous", "Alice"]
    assert [one["name"] for one in cli.json("users", "list")][2] == "Alice B."
    shown = cli("users", "show", "Alice B.").stdout
    assert "$100.00" in shown
    assert "requests_per_minute=60" in shown


def test_credit_is_booked_and_stated(cli: Cli) -> None:
    cli("users", "create", "alice")
    assert "the credit is $25.00." in cli("credits", "add", "alice", "$25").stdout
    cli("credits", "refund", "alice", "0.000125", "--reason", "cut off")
    said = cli("credits", "adjust", "alice", "-5.000000001", "--reason", "twice").stdout
    assert "Booked -$5.000000001 for 'alice'" in said
    assert "the credit is $20.000124999." in said
    for kind in ("add", "refund"):
        refused = cli("credits", kind, "alice", "-5", code=3).stderr
        assert "must be more than zero" in refused

    lines = cli("credits", "statement", "alice").stdout.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["adjustment", "refund", "topup"]
    assert lines[1].split()[3:5] == ["-$5.000000001", "$20.000124999"]
    page = cli.json("credits", "statement", "alice", "--limit", "1")
    assert page["lines"][0]["amount_nano_usd"] == -5_000_000_001
    rest = cli.json("credits", "statement", "alice", "--before", str(page["next"]))
    assert [line["reason"] for line in rest["lines"]] == ["cut off", ""]
    rows = list(csv.DictReader(io.StringIO(cli("credits", "statement", "alice", "--csv").stdout)))
    assert [(row["kind"], row["credit_nano_usd"]) for row in rows] == [
        ("topup", "25000000000"),
        ("refund", "125000"),
        ("adjustment", "-5000000001"),
    ]
    actions = [one["action"] for one in cli.json("audit")]
    assert actions[:3] == ["credit.adjustment", "credit.refund", "credit.topup"]
    assert "Nothing has moved" in cli("credits", "statement", "default").stdout


def test_a_trial_begins_as_documented_and_ends(cli: Cli) -> None:
    said = cli("users", "create", "guest", "--trial").stdout
    assert "$10.00, 100,000 tokens, 1,000 requests" in said
    cli(
        *("users", "trial", "guest", "--days", "14", "--usd", "$25"),
        *("--tokens", "none", "--requests", "5,000"),
    )
    trial = cli.json("users", "show", "guest")["trial"]
    assert (trial["usd"], trial["tokens"], trial["requests"]) == ("25", None, 5000)
    assert "no trial any more" in cli("users", "trial", "guest", "--end").stdout
    assert cli.json("users", "show", "guest")["trial"] is None


def test_a_key_belongs_to_a_user(cli: Cli) -> None:
    cli("users", "create", "alice")
    cli(
        *("keys", "create", "laptop", "--user", "alice", "--limit", "requests_per_minute=60"),
        *("--budget", "day=5", "--meta", "place=desk"),
    )
    (row,) = cli.json("keys", "list")
    assert (row["user"], row["limits"]) == ("alice", {"requests_per_minute": 60})
    assert (row["budget"], row["metadata"]) == ({"day": "5"}, {"place": "desk"})
    cli(
        *("keys", "edit", "laptop", "--user", "default", "--limit", "requests_per_minute=none"),
        *("--limit", "tokens_per_hour=9", "--budget", "total=1"),
    )
    (row,) = cli.json("keys", "list")
    assert (row["user"], row["limits"]) == ("default", {"tokens_per_hour": 9})
    assert row["budget"] == {"day": "5", "total": "1"}
    assert "laptop" in cli("users", "show", "default").stdout
    (token,) = json.loads(cli("config", "export").stdout)["tokens"]
    assert token["limits"] == {"tokens_per_hour": 9}
    assert token["budget"] == {"day": "5", "total": "1"}
    assert token["metadata"] == {"place": "desk"}
    assert "user" not in token, "the usual one is not written"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["users", "create", "DEFAULT"], 1, "taken"),
        (["users", "create", "x", "--limit", "requests_per_minute=-1"], 3, "requests_per_minute"),
        (["users", "create", "x", "--limit", "requests_per_minute=0.5"], 3, "not 0.5"),
        (["users", "create", "x", "--limit", "requests_per_minuet=1"], 3, "did you mean"),
        (["users", "create", "x", "--limit", "60"], 2, "NAME=VALUE"),
        (["users", "create", "x", "--budget", "day=1e400"], 3, "budget.day"),
        (["users", "create", "x", "--budget", "day=-1"], 3, "negative"),
        (["users", "create", "x", "--email", "nobody"], 3, "email"),
        (["users", "edit", "default"], 2, "say what to change"),
        (["users", "edit", "defualt", "--prepaid"], 1, "did you mean 'default'?"),
        (["users", "edit", "default", "--name", "x"], 3, "never changes"),
        (["users", "disable", "default"], 3, "cannot be disabled"),
        (["users", "trial", "default", "--end", "--days", "1"], 2, "nothing else"),
        (["users", "trial", "default", "--tokens", "-1"], 3, "tokens"),
        (["credits", "add", "nobody", "5"], 1, "No user"),
        (["credits", "add", "default", "lots"], 3, "not an amount of money"),
        (["credits", "add", "default", "1e400"], 3, "more than any account"),
        (["credits", "add", "default", "0"], 3, "zero"),
        (["credits", "refund", "default", "1", "--request", "x"], 3, "request_id"),
        (["credits", "statement", "default", "--csv", "--json"], 2, "not both"),
        (["keys", "create", "x", "--user", "nobody"], 3, "unknown"),
        (["keys", "create", "x", "--limit", "tokens_per_day=1.5"], 3, "limits.tokens_per_day"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_done(
    cli: Cli, words: list[str], code: int, said: str
) -> None:
    assert said in cli(*words, code=code).output
    assert cli.json("audit") == []
    assert len(cli.json("users", "list")) == 2


def test_users_can_be_made_before_the_file_that_names_them_is_usable(cli: Cli) -> None:
    document = sample()
    document["tokens"][0]["user"] = "alice"
    Path("config.json").write_text(json.dumps(document), encoding="utf-8")
    refused = cli("keys", "list", "--config", "config.json", code=3).output
    assert "tokens.0.user: the user 'alice' is unknown" in refused
    assert "dragoman users create" in refused
    cli("users", "create", "alice", "--config", "config.json")
    cli("credits", "add", "alice", "5", "--config", "config.json")
    (row,) = cli.json("keys", "list", "--config", "config.json")
    assert row["user"] == "alice"


def test_the_gateway_s_own_limits_are_a_setting(cli: Cli) -> None:
    cli("config", "set", "limits", "requests_per_minute=600,concurrent_requests=20")
    assert cli.json("config", "get", "limits") == {
        "requests_per_minute": 600,
        "concurrent_requests": 20,
    }
    refused = cli("config", "set", "limits", "requests_per_minute=0.5", code=3).output
    assert "limits.requests_per_minute" in refused
    cli("config", "reset", "limits")
    assert cli.json("config", "get", "limits") == {}


@pytest.mark.parametrize("group", ["users", "credits", "keys"])
def test_every_command_shows_how_it_is_used(cli: Cli, group: str) -> None:
    listed = cli(group, "--help").stdout
    commands = [
        line.split()[0] for line in listed.partition("Commands:")[2].splitlines()[1:] if line
    ]
    assert commands
    for command in commands:
        assert f"dragoman {group} {command}" in cli(group, command, "--help").stdout


def test_a_running_gateway_learns_of_it(cli: Cli) -> None:
    cli("users", "create", "alice")
    key = cli("keys", "create", "laptop", "--user", "alice").stdout.strip()
    with Gateway() as gateway:
        assert gateway.ask("/v1/models", key)[0] == 200
        cli("users", "disable", "alice")
        assert soon(lambda: gateway.ask("/v1/models", key)[0] == 401)
        assert "user" in gateway.ask("/v1/models", key)[1]
        cli("users", "enable", "alice")
        assert soon(lambda: gateway.ask("/v1/models", key)[0] == 200)


def test_what_is_booked_beside_a_running_gateway_counts_there(cli: Cli) -> None:
    admin = "sk-gw-admin-0123456789abcdef"
    cli("users", "create", "alice", "--prepaid")
    with Gateway(DRAGOMAN_ADMIN_KEY=admin) as gateway:

        def live() -> int:
            document = json.loads(gateway.ask("/admin/api/users/3", admin)[1])
            nano: int = document["available_nano_usd"]
            return nano

        assert live() == 0
        cli("credits", "add", "alice", "25")
        assert soon(lambda: live() == 25 * 10**9)
        cli("credits", "adjust", "alice", "-30")
        assert soon(lambda: live() == -5 * 10**9)
