"""Counting a model's tokens by what its answers have told."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Sequence

import pytest

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Media, Opaque, Reasoning, Text, ToolCall, ToolResult
from dragoman.canonical.request import Message, OutputFormat, Request, Tool
from dragoman.canonical.usage import Usage
from dragoman.engine.estimate import estimate_input, features_of
from dragoman.engine.tasks import spawn
from dragoman.engine.token_counts import LastingCounts, TokenCounter, model_key
from dragoman.governance.calibration import Learned
from dragoman.governance.tokens import MEDIA_TOKENS
from tests.support.counted_texts import conversation, counted_texts

KEY = model_key("anthropic", "claude")
WORDS = "The harbour was quiet and the boats lay still. "
TEXTS = list(counted_texts())


def asked(*parts: object, **more: object) -> Request:
    return Request(model="m", messages=[Message(role="user", parts=list(parts))], **more)  # type: ignore[arg-type]


def test_a_counter_learns_from_answers() -> None:
    counter, rng = TokenCounter(), random.Random(1)
    probes = [conversation(rng, TEXTS, "claude") for _ in range(60)]
    before = [abs(counter.count(KEY, request) / true - 1) for request, true in probes]
    for _ in range(100):
        request, true = conversation(rng, TEXTS, "claude")
        # However the provider divides what was read, all of it was read.
        usage = Usage(input=true // 3, cache_read=true // 3, cache_write_5m=true - 2 * (true // 3))
        counter.learn(KEY, lambda request=request: request, usage)  # type: ignore[misc]
    after = [abs(counter.count(KEY, request) / true - 1) for request, true in probes]
    assert statistics.median(after) < 0.05 < statistics.median(before)
    assert counter.count("other/model", probes[0][0]) == estimate_input(probes[0][0])


@pytest.mark.parametrize(
    "usage",
    [
        None,
        Usage(),
        Usage(output=7),
        Usage(input=70, estimated=True),
        Usage(input=70, input_image=5),
        Usage(input=70, input_audio=5),
    ],
)
def test_what_teaches_nothing_is_not_even_decoded(usage: Usage | None) -> None:
    def never() -> Request:
        raise AssertionError("there is nothing to learn")

    counter = TokenCounter()
    counter.learn(KEY, never, usage)
    assert len(counter.calibration) == 0


def test_a_request_that_cannot_be_decoded_teaches_nothing() -> None:
    def unreadable() -> Request:
        raise InvalidRequest("It was forwarded as it was.")

    counter = TokenCounter()
    counter.learn(KEY, unreadable, Usage(input=70))
    assert len(counter.calibration) == 0


def test_every_part_counts() -> None:
    plain = estimate_input(asked(Text(text=WORDS)))
    for part in (
        Text(text=WORDS),
        Reasoning(text=WORDS),
        ToolCall(id="1", name="find", arguments=WORDS),
        ToolResult(call_id="1", content=[Text(text=WORDS)]),
        Media(kind="document", text=WORDS),
        Opaque(protocol="anthropic_messages", value={"type": "search", "text": WORDS}),
    ):
        assert estimate_input(asked(Text(text=WORDS), part)) > plain + 8, part
    tool = Tool(name="find", description=WORDS, parameters={"type": "object", "title": WORDS})
    assert estimate_input(asked(Text(text=WORDS), tools=[tool])) > plain + 16
    form = OutputFormat(kind="json_schema", schema={"type": "object", "title": WORDS})
    assert estimate_input(asked(Text(text=WORDS), output=form)) > plain + 8


def test_files_count_by_their_kind_and_not_by_their_size() -> None:
    small = asked(Media(kind="image", data="A" * 100))
    large = asked(Media(kind="image", data="A" * 1_000_000))
    linked = asked(Media(kind="image", url="https://example.org/a.png"))
    assert estimate_input(small) == estimate_input(large) == estimate_input(linked)
    assert estimate_input(small) > MEDIA_TOKENS["image"]
    assert features_of(small).files == MEDIA_TOKENS["image"]


def test_text_that_no_encoding_can_hold_is_counted() -> None:
    assert estimate_input(asked(Text(text="\ud800 lone"))) > 1


class Memory:
    """Keeps what it is given, and says how often it was."""

    def __init__(self) -> None:
        self.kept: list[Learned] = []
        self.saves = 0

    def load(self) -> list[Learned]:
        return self.kept

    def save(self, learned: Sequence[Learned]) -> None:
        self.kept = list(learned)
        self.saves += 1


def test_what_was_learned_outlives_the_counter_and_is_kept_only_if_new() -> None:
    memory, counter = Memory(), TokenCounter()
    lasting = LastingCounts(counter, memory)
    asyncio.run(lasting.close())
    assert memory.saves == 0
    request = asked(Text(text=WORDS * 20))
    counter.learn_count(KEY, request, 2 * estimate_input(request))
    asyncio.run(lasting.close())
    asyncio.run(lasting.close())
    assert memory.saves == 1

    later = TokenCounter()
    LastingCounts(later, memory)
    assert later.count(KEY, request) == counter.count(KEY, request) > estimate_input(request)


def test_it_is_kept_while_the_gateway_runs() -> None:
    memory, counter = Memory(), TokenCounter()
    lasting = LastingCounts(counter, memory, seconds=0.001)
    request = asked(Text(text=WORDS))
    counter.learn_count(KEY, request, 2 * estimate_input(request))

    async def until_saved() -> None:
        running = spawn(lasting.run(), "token-counts")
        async with asyncio.timeout(10):
            while not memory.saves:
                await asyncio.sleep(0.001)
        running.cancel()

    asyncio.run(until_saved())
    assert [one.model for one in memory.kept] == [KEY]


def test_counts_that_cannot_be_are_not_learned() -> None:
    counter = TokenCounter()
    for lie in (-1, 0, 10**30):
        counter.learn_count(KEY, asked(Text(text=WORDS * 20)), lie)
    assert len(counter.calibration) == 0
