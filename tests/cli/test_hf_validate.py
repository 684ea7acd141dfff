"""``dragoman hf validate``: what works passes, and whatever is broken is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dragoman.cli import hf_checks
from tests.cli.support import Cli, free_port
from tests.support.gateway import TOKEN, Gateway
from tests.support.hf_site import MODEL, NATIVE, SLOW_SECONDS, PartnerSite

PRICING = "pricing in /v1/models"
OF_A_CHAT_MODEL = [
    PRICING,
    "context length",
    "answer",
    "first token",
    "tool call",
    "structured output",
    "Inference-Id",
    "billing endpoint",
]
BREAKAGES = {
    "no price": PRICING,
    "a price in words": PRICING,
    "not listed": PRICING,
    "odd created": "answer",
    "odd usage": "answer",
    "odd id": "answer",
    "odd model": "answer",
    "odd choices": "answer",
    "slow": "first token",
    "no stream": "first token",
    "an empty stream": "first token",
    "half an event": "first token",
    "no tool call": "tool call",
    "another tool": "tool call",
    "broken arguments": "tool call",
    "prose": "structured output",
    "another schema": "structured output",
    "JSON in a fence": "structured output",
    "one id for all": "Inference-Id",
    "an id that is none": "Inference-Id",
    "no id in errors": "Inference-Id",
    "no billing": "billing endpoint",
    "nothing billed yet": "billing endpoint",
    "one request is not billed": "billing endpoint",
    "everything is billed": "billing endpoint",
    "half a nano-USD": "billing endpoint",
    "a negative cost": "billing endpoint",
}
"""What is broken → the check that says so."""
WRONG_SHAPES: dict[str, Any] = {
    "summarization": {"summary_text": "not in a list"},
    "translation": [{"translation": "x"}],
    "question-answering": {"answer": "Warsaw", "score": 0.9},
    "text-classification": [{"label": "POSITIVE", "score": 0.9}],
    "token-classification": [{"word": "Warsaw", "score": "1", "start": 24, "end": 30}],
    "feature-extraction": [[[[0.1]]]],
    "text-to-image": b"<html>",
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not there will not come."""
    monkeypatch.setattr(hf_checks, "BILLING_SECONDS", 0.1)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """The gateway with its demonstration model."""
    config = {"channels": [], "tokens": [{"id": 1, "name": "a", "key": TOKEN}]}
    with Gateway(config, ("--demo",)) as running:
        yield running


def report(cli: Cli, url: str, *words: str, code: int = 0) -> dict[str, Any]:
    """What the command says in JSON."""
    result = cli("hf", "validate", "--url", url, "--json", *words, code=code)
    answer: dict[str, Any] = json.loads(result.stdout)
    assert answer["passed"] is (code == 0)
    return answer


def failed(answer: dict[str, Any]) -> list[str]:
    return [one["name"] for one in answer["checks"] if one["ok"] is False]


@pytest.mark.row("S4-65")
def test_the_gateway_passes(cli: Cli, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_checks, "BILLING_SECONDS", 20.0)
    answer = report(cli, gateway.url, "--model", "echo", "--key", TOKEN)
    assert [one["name"] for one in answer["checks"]] == OF_A_CHAT_MODEL
    # The demonstration model has none that could be told.
    assert [one["name"] for one in answer["checks"] if one["ok"] is None] == ["context length"]
    table = cli("hf", "validate", "--model", "echo", "--url", gateway.url, "--key", TOKEN).stdout
    assert "✗" not in table
    assert "as it should be" in table
    answer = report(
        cli, gateway.url, "--model", "echo", "--key", TOKEN, "--task", "text-generation"
    )
    assert "tool call" not in [one["name"] for one in answer["checks"]]


def test_what_works_passes(cli: Cli) -> None:
    with PartnerSite() as site:
        answer = report(cli, site.url, "--model", MODEL)
        assert {one["ok"] for one in answer["checks"]} == {True}
        assert all(one["mend"] == "" for one in answer["checks"])
        bodies = [body for _, path, body in site.requests if path == "/v1/chat/completions"]
        assert all(next(iter(body)) == "model" for body in bodies)  # a router reads the beginning


@pytest.mark.row("S4-65")
@pytest.mark.parametrize("broken", BREAKAGES)
def test_whatever_is_broken_is_named(
    cli: Cli, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if broken == "slow":
        monkeypatch.setattr(hf_checks, "FIRST_TOKEN_SECONDS", SLOW_SECONDS / 2)
    with PartnerSite(broken) as site:
        answer = report(cli, site.url, "--model", MODEL, code=1)
    found = failed(answer)
    if broken == "not listed":
        found = found[:1]
    if broken == "odd choices":  # nothing more can be read of it, then
        found = found[:1]
    if broken in ("one id for all", "an id that is none"):
        found = found[:1]
    assert found == [BREAKAGES[broken]]
    assert next(one for one in answer["checks"] if one["name"] == found[0])["mend"]


def test_the_table_says_what_to_mend(cli: Cli) -> None:
    with PartnerSite("no price") as site:
        said = cli("hf", "validate", "--model", MODEL, "--url", site.url, code=1).stdout
    assert f"✗  {PRICING}" in said
    assert f"dragoman prices set CHANNEL {MODEL}" in said
    assert "would not take" in said


def test_the_context_length_is_advice(cli: Cli) -> None:
    with PartnerSite("no context length") as site:
        answer = report(cli, site.url, "--model", MODEL)
    assert [one["name"] for one in answer["checks"] if one["ok"] is None] == ["context length"]


@pytest.mark.parametrize("broken", ["fails", "refuses the key"])
def test_a_site_that_answers_with_errors_fails_in_all(cli: Cli, broken: str) -> None:
    with PartnerSite(broken) as site:
        answer = report(cli, site.url, "--model", MODEL, "--key", "sk-secret-1", code=1)
    assert {"answer", "first token", "tool call", "billing endpoint"} <= set(failed(answer))
    assert "sk-secret-1" not in json.dumps(answer)


def test_nobody_at_home_is_said_once(cli: Cli) -> None:
    answer = report(cli, f"http://127.0.0.1:{free_port()}", "--model", MODEL, code=1)
    assert failed(answer) == ["reachable"]


@pytest.mark.parametrize("task", NATIVE)
def test_every_other_task_is_checked_by_its_shape(
    cli: Cli, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--model", MODEL, "--task", task)
    with PartnerSite() as site:
        report(cli, site.url, *words)
        assert f"/hf/models/{MODEL}/pipeline/{task}" in [path for _, path, _ in site.requests]
    with PartnerSite(native=WRONG_SHAPES[task]) as site:
        assert failed(report(cli, site.url, *words, code=1)) == ["answer"]
    monkeypatch.setattr(hf_checks, "WHOLE_SECONDS", SLOW_SECONDS / 2)
    with PartnerSite("slow") as site:
        answer = report(cli, site.url, *words, code=1)
        assert failed(answer) == ["answer"]
        assert "faster" in next(one["mend"] for one in answer["checks"] if one["name"] == "answer")


def test_completions_are_checked_too(cli: Cli) -> None:
    words = ("--model", MODEL, "--task", "text-generation")
    with PartnerSite() as site:
        report(cli, site.url, *words)
    with PartnerSite("text") as site:
        assert failed(report(cli, site.url, *words, code=1)) == ["answer"]


def test_wrong_usage(cli: Cli) -> None:
    assert "choose of" in cli("hf", "validate", "--model", "m", "--task", "x", code=2).output
    cli("hf", "validate", "--model", "m", "--url", "http://elsewhere.example", "--key", "k", code=1)


def test_the_key_may_come_from_the_standard_input(
    cli: Cli, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hf_checks, "BILLING_SECONDS", 20.0)
    words = ("hf", "validate", "--model", "echo", "--url", gateway.url, "--json", "--key", "-")
    assert json.loads(cli(*words, stdin=f"{TOKEN}\n").stdout)["passed"]
