"""Token counts for an upstream that cannot be asked: learned from what its answers tell, by a gateway
in its own process, and kept over restarts."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from tests.support.counted_texts import counted_texts
from tests.support.counting_upstream import CountingUpstream
from tests.support.gateway import TOKEN, Gateway

MODEL = "counted"
VOCABULARIES = ("o200k", "claude")
ANSWERS = 100
PROBES = 40
KEPT = "token-counts.json"
TAUGHT = [one.text for one in counted_texts()[0::2]]
HELD_OUT = [one.text for one in counted_texts()[1::2]]
Count = Callable[[list[str]], int]


@pytest.fixture(params=VOCABULARIES)
def upstream(request: pytest.FixtureRequest) -> Iterator[CountingUpstream]:
    with CountingUpstream(request.param) as running:
        yield running


@pytest.fixture
def gateway(upstream: CountingUpstream) -> Iterator[Gateway]:
    channel = {
        "id": 1,
        "name": "counting",
        "type": "custom",
        "protocol": "openai_chat",
        "base_url": upstream.url,
        "api_key": "key-1",
        "models": [MODEL],
        "max_concurrency": 100,
    }
    token = {"id": 1, "name": "counter", "key": TOKEN}
    with Gateway({"settings": {}, "channels": [channel], "tokens": [token]}) as running:
        yield running


def conversations(texts: list[str], many: int, seed: int) -> list[list[str]]:
    """Requests of one to five messages."""
    rng = random.Random(seed)
    return [[rng.choice(texts) for _ in range(rng.randint(1, 5))] for _ in range(many)]


def roles(number: int) -> str:
    """Who says a conversation's message of that number."""
    return "assistant" if number % 2 else "user"


def ask(gateway: Gateway, requests: list[list[str]]) -> None:
    """What users do: they ask, and care for no counts."""
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN, max_retries=0) as client:
        for texts in requests:
            said = [{"role": roles(i), "content": text} for i, text in enumerate(texts)]
            client.chat.completions.create(model=MODEL, messages=said)  # type: ignore[arg-type]


def counts_of(gateway: Gateway) -> dict[str, Count]:
    """The ways to have a conversation counted, by SDK."""
    claude = anthropic.Anthropic(base_url=gateway.url, api_key=TOKEN, max_retries=0)
    google = genai.Client(api_key=TOKEN, http_options=types.HttpOptions(base_url=gateway.url))

    def by_anthropic(texts: list[str]) -> int:
        said = [{"role": roles(i), "content": text} for i, text in enumerate(texts)]
        counted = claude.messages.count_tokens(model=MODEL, messages=said)  # type: ignore[arg-type]
        return counted.input_tokens

    def by_gemini(texts: list[str]) -> int:
        said = [
            types.Content(
                role="model" if roles(i) == "assistant" else "user",
                parts=[types.Part(text=text)],
            )
            for i, text in enumerate(texts)
        ]
        return google.models.count_tokens(model=MODEL, contents=said).total_tokens or 0

    return {"anthropic": by_anthropic, "gemini": by_gemini}


def errors(
    upstream: CountingUpstream, requests: list[list[str]], counted: list[int]
) -> list[float]:
    """Relative errors, ascending."""
    pairs = zip(requests, counted, strict=True)
    return sorted(abs(count / upstream.true_count(*texts) - 1) for texts, count in pairs)


def test_half_of_all_counts_are_within_five_percent_also_after_a_restart(
    upstream: CountingUpstream,
    gateway: Gateway,
    record_property: Callable[[str, object], None],
) -> None:
    """Of conversations whose texts were never sent before, in ten languages, with code and logs."""
    probes = conversations(HELD_OUT, PROBES, seed=2)
    count = counts_of(gateway)
    untaught = [count["anthropic"](texts) for texts in probes]
    before = statistics.median(errors(upstream, probes, untaught))
    ask(gateway, conversations(TAUGHT, ANSWERS, seed=1))
    assert upstream.asked == ANSWERS
    told: list[int] = []
    for name, by_sdk in count.items():
        told = [by_sdk(texts) for texts in probes]
        after = errors(upstream, probes, told)
        median, ninth = statistics.median(after), after[len(after) * 9 // 10]
        print(f"{name}: median {before:.1%} before, {median:.1%} after; nine of ten {ninth:.1%}")
        record_property(f"{name} median", median)
        record_property(f"{name} nine of ten", ninth)
        assert median <= 0.05 < before

    gateway.restart()
    for by_sdk in counts_of(gateway).values():
        assert [by_sdk(texts) for texts in probes[:10]] == told[:10]
    assert upstream.asked == ANSWERS
    assert upstream.elsewhere == []  # nobody counted for the gateway
    kept = gateway.folder / "data" / KEPT
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("upstream", VOCABULARIES[:1], indirect=True)
def test_a_damaged_memory_is_told_of_and_replaced(
    upstream: CountingUpstream, gateway: Gateway
) -> None:
    assert gateway.stop() == 0
    kept = gateway.folder / "data" / KEPT
    kept.write_bytes(b'{"models": [{"model": "custom/counted", "seen": 9, "error": 1e400')
    gateway.start_again()
    assert "is learned anew" in gateway.logs()
    count = counts_of(gateway)["anthropic"]
    untaught = count(HELD_OUT[:1])
    ask(gateway, conversations(TAUGHT, 10, seed=1))
    taught = count(HELD_OUT[:1])
    assert taught != untaught
    gateway.restart()
    assert counts_of(gateway)["anthropic"](HELD_OUT[:1]) == taught
