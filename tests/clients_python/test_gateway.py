"""Both clients against the real gateway in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
from collections.abc import Iterator
from decimal import Decimal

import dragoman_client
import pytest
from dragoman_client import AsyncDragomanClient, AsyncGatewayzClient, DragomanClient, errors
from dragoman_client._attempts import Attempts
from dragoman_client._reading import Reply as HttpReply

from tests.clients_python.scene import (
    EMBEDDER,
    MODEL,
    MOODY,
    NANO_PER_TOKEN,
    PAINTER,
    Scene,
    scene,
)
from tests.clients_python.shells import SHELLS, Awaiting, Waiting
from tests.clients_python.vendor import PLACE, PNG, TEXT, words
from tests.live.administered import ADMIN
from tests.support.flexible_upstream import TEXT as MOODY_TEXT
from tests.support.flexible_upstream import Hold, Reply, Seen

WAIT_SECONDS = 10
REQUEST = dragoman_client.CostRequest(
    task="text-generation", model=MODEL, input_tokens=100, output_tokens=50
)


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    """One gateway for this module; each test has a user of its own."""
    with scene() as one:
        yield one


@pytest.fixture
def key(stage: Scene, request: pytest.FixtureRequest) -> Iterator[str]:
    """The key of a new user."""
    name = request.node.name[:80]
    stage.shop.user(name)
    stage.door.reply = Reply()
    stage.door.seen.clear()
    yield stage.shop.key(name, name)
    stage.door.reply = Reply()


@pytest.fixture(params=SHELLS)
def client(request: pytest.FixtureRequest, stage: Scene, key: str) -> Waiting | Awaiting:
    """Each of the clients, with the user's key."""
    return SHELLS[request.param](stage.url, key)


@pytest.mark.row("S4-36")
def test_text_generation(client: Waiting | Awaiting) -> None:
    answer = client.ask("text_generation", "Say something.", model=MODEL, max_tokens=50)
    assert answer.generated_text == TEXT
    assert answer.cost_nano_usd == 15 * NANO_PER_TOKEN
    (record,) = client.ask("get_usage").records
    assert (record.request_id, record.task) == (answer.request_id, "text-generation")
    assert record.cost_nano_usd == answer.cost_nano_usd


@pytest.mark.row("S4-36")
def test_text_generation_as_a_stream(client: Waiting | Awaiting) -> None:
    assert client.pieces("text_generation", "Hi", model=MODEL, stream=True) == words(TEXT)
    assert client.ask("get_usage").total_cost_nano_usd == 15 * NANO_PER_TOKEN


def test_any_text_task_as_a_stream(client: Waiting | Awaiting) -> None:
    for task in ("text-generation", "conversational", "summarization", "translation"):
        assert client.pieces("stream", task, "Hi", model=MODEL) == words(TEXT)


def test_conversational(client: Waiting | Awaiting, stage: Scene) -> None:
    first = client.ask("conversational", "Hello", model=MODEL)
    second = client.ask(
        "conversational",
        "And now?",
        past_user_inputs=first.past_user_inputs,
        generated_responses=first.generated_responses,
        model=MODEL,
    )
    assert second.past_user_inputs == ["Hello", "And now?"]
    assert second.generated_responses == [TEXT, TEXT]
    assert second.response == TEXT
    said = [message["content"] for message in stage.vendor.seen[-1]["messages"]]
    assert said == ["Hello", TEXT, "And now?"]


def test_summarization_and_translation(client: Waiting | Awaiting, stage: Scene) -> None:
    assert client.ask("summarization", "A long text.", model=MODEL).summary_text == TEXT
    assert client.ask("translation", "Bonjour", "German", model=MODEL).translation_text == TEXT
    assert "German" in stage.vendor.seen[-1]["messages"][0]["content"]


def test_question_answering(client: Waiting | Awaiting) -> None:
    context = f"The Seine flows through {PLACE}."
    answer = client.ask("question_answering", "Where does it flow?", context, model=MODEL)
    assert (answer.answer, answer.score) == (PLACE, 0.9)
    assert context[answer.start : answer.end] == PLACE


def test_text_classification(client: Waiting | Awaiting) -> None:
    answer = client.ask("text_classification", "Lovely!", model=MODEL)
    assert [(one.label, one.score) for one in answer.labels] == [
        ("POSITIVE", 0.9),
        ("NEGATIVE", 0.1),
    ]
    chosen = client.ask(
        "text_classification", "!", candidate_labels=["positive", "negative"], model=MODEL
    )
    assert [one.label for one in chosen.labels] == ["positive", "negative"]


def test_token_classification(client: Waiting | Awaiting) -> None:
    text = f"We met in {PLACE}."
    (entity,) = client.ask("token_classification", text, model=MODEL).entities
    assert (entity.entity, entity.word, entity.score) == ("LOC", PLACE, 0.8)
    assert text[entity.start : entity.end] == PLACE


def test_image_generation(client: Waiting | Awaiting) -> None:
    image = client.ask("image_generation", "A dark dot.", model=PAINTER)
    assert (image, image.content_type) == (PNG, "image/png")
    assert image.request_id


def test_embedding(client: Waiting | Awaiting) -> None:
    one = client.ask("embedding", "four", model=EMBEDDER)
    two = client.ask("embedding", ["four", "fifteen"], model=EMBEDDER)
    assert one.vectors == [[4.0, 0.5, -1.0]]
    assert two.vectors == [[4.0, 0.5, -1.0], [7.0, 0.5, -1.0]]


def test_run(client: Waiting | Awaiting) -> None:
    text = client.ask("run", "text-generation", "Hi", model=MODEL)
    assert (text.output, text.task, text.model) == (
        [{"generated_text": TEXT}],
        "text-generation",
        MODEL,
    )
    inputs = {"question": "Where?", "context": f"In {PLACE}."}
    found = client.ask("run", "question-answering", inputs, model=MODEL)
    assert found.output == {"answer": PLACE, "score": 0.9, "start": 3, "end": 8}
    with pytest.raises(errors.BadRequest, match="telepathy"):
        client.ask("run", "telepathy", "Hi", model=MODEL)


def test_list_models(client: Waiting | Awaiting) -> None:
    every = client.ask("list_models")
    assert MODEL in {one.model_id for one in every.models}
    assert every.count == len(every.models)
    some = client.ask("list_models", "summarization")
    assert {one.task_type for one in some.models} == {"summarization"}


@pytest.mark.parametrize("name", SHELLS)
def test_map_model_is_the_administrators(stage: Scene, key: str, name: str) -> None:
    hub = f"meta-llama/Llama-{name}"
    mapping = (MODEL, hub, "text-generation")
    with pytest.raises(errors.Forbidden):
        SHELLS[name](stage.url, key).ask("map_model", *mapping)
    made = SHELLS[name](stage.url, ADMIN).ask("map_model", *mapping)
    assert (made.success, made.provider_model_id, made.hub_model_id) == (True, MODEL, hub)
    user = SHELLS[name](stage.url, key)
    assert user.ask("text_generation", "Hi", model=hub).generated_text == TEXT
    assert stage.vendor.seen[-1]["model"] == MODEL
    with pytest.raises(errors.NotFound):
        SHELLS[name](stage.url, ADMIN).ask("map_model", "no-such-model", hub, "text-generation")


@pytest.mark.row("S4-36")
def test_calculate_cost(client: Waiting | Awaiting) -> None:
    costs = client.ask("calculate_cost", [REQUEST, {**REQUEST, "output_tokens": 0}])
    assert costs.total_cost_nano_usd == 250 * NANO_PER_TOKEN
    assert [one.cost_nano_usd for one in costs.costs] == [150_000, 100_000]
    assert costs.costs[0].cost_usd == Decimal("0.00015")
    assert (costs.currency, costs.warnings) == ("USD", [])


@pytest.mark.row("S4-36")
def test_get_usage(client: Waiting | Awaiting) -> None:
    ids = [client.ask("text_generation", "Hi", model=MODEL).request_id for _ in range(3)]
    usage = client.ask("get_usage", limit=2, offset=1)
    assert [one.request_id for one in usage.records] == [ids[1], ids[0]]
    assert (usage.total_records, usage.total_cost_nano_usd) == (3, 45_000)
    record = usage.records[0]
    assert (record.model, record.input_tokens, record.output_tokens) == (MODEL, 10, 5)
    assert record.timestamp.tzinfo is datetime.UTC


@pytest.mark.row("S4-35")
@pytest.mark.row("S4-36")
def test_the_documented_example(stage: Scene, key: str) -> None:
    """As the task API's documentation has it, but for the address and the model."""

    async def main() -> None:
        async with AsyncGatewayzClient(api_key=key, base_url=stage.url) as client:
            response = await client.text_generation(inputs="Hello, world!", model=MODEL)
            assert response.generated_text == TEXT
            cost = await client.calculate_cost(
                [
                    {
                        "task": "text-generation",
                        "model": MODEL,
                        "input_tokens": 10,
                        "output_tokens": 20,
                    }
                ]
            )
            assert cost.total_cost_nano_usd == 30 * NANO_PER_TOKEN
            usage = await client.get_usage(limit=50)
            assert usage.total_records == 1
        with pytest.raises(RuntimeError):  # its end has closed it
            await client.get_usage()

    asyncio.run(main())


def test_what_is_refused(client: Waiting | Awaiting, stage: Scene) -> None:
    with pytest.raises(errors.NotFound) as unknown:
        client.ask("text_generation", "Hi", model="no-such-model")
    assert (unknown.value.status, unknown.value.error_type) == (404, "NotFound")
    assert unknown.value.request_id in unknown.value.details
    with pytest.raises(errors.BadRequest):
        client.ask("text_generation", "", model=MODEL)
    with pytest.raises(errors.BadRequest, match="limit"):
        client.ask("get_usage", limit=0)
    with pytest.raises(errors.Unauthorized):
        Waiting(stage.url, "sk-gw-nobodys-0123456789abcdef").ask("get_usage")


@pytest.mark.parametrize("name", SHELLS)
def test_no_credit_is_not_asked_for_twice(stage: Scene, name: str) -> None:
    user = stage.shop.user(f"poor {name}", usd="0.000001")
    key = stage.shop.key(f"poor {name}", f"poor {name}")
    with pytest.raises(errors.PaymentRequired):
        SHELLS[name](stage.url, key).ask("text_generation", "Hi", model=MODEL, max_tokens=50)
    assert stage.shop.balance(user) == 1_000


@pytest.mark.parametrize("name", SHELLS)
def test_a_limit_tells_when_to_come_back(stage: Scene, key: str, name: str) -> None:
    limited = stage.shop.key(f"limited {name}", "default", limits={"requests_per_minute": 1})
    client = SHELLS[name](stage.url, limited, max_retries=0)
    client.ask("calculate_cost", [])
    with pytest.raises(errors.TooManyRequests) as caught:
        client.ask("calculate_cost", [])
    assert caught.value.error_type == "TooManyRequests"
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 60


def test_a_passing_trouble_is_passed_over(client: Waiting | Awaiting, stage: Scene) -> None:
    def first_fails(seen: Seen) -> Reply:
        return Reply(status=503) if len(stage.door.seen) == 1 else Reply()

    stage.door.reply = first_fails
    assert client.ask("text_generation", "Hi", model=MOODY).generated_text == MOODY_TEXT
    assert len(stage.door.seen) == 2
    assert client.ask("get_usage").total_records == 1


@pytest.mark.parametrize("name", SHELLS)
def test_an_answer_that_takes_too_long_is_served_once(
    stage: Scene, key: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, refused = Hold(), []
    stage.door.reply = Reply(hold=hold)
    judge = Attempts.refused

    def note(attempts: Attempts, reply: HttpReply) -> float:
        refused.append(reply.status)
        return judge(attempts, reply)

    monkeypatch.setattr(Attempts, "refused", note)

    async def main() -> None:
        asked = asyncio.ensure_future(
            asyncio.to_thread(
                SHELLS[name](stage.url, key, timeout=0.5, max_retries=20).ask,
                *("text_generation", "Hi"),
                model=MOODY,
            )
        )
        while not refused:
            await asyncio.sleep(0.01)
        hold.release()
        assert (await asked).generated_text == MOODY_TEXT

    asyncio.run(asyncio.wait_for(main(), 30))
    assert set(refused) == {409}  # the first attempt is still being answered
    assert len(stage.door.seen) == 1
    assert Waiting(stage.url, key).ask("get_usage").total_records == 1


@pytest.mark.parametrize("name", SHELLS)
def test_an_upstream_that_breaks_off_breaks_the_stream(stage: Scene, key: str, name: str) -> None:
    hold = Hold()
    hold.release()
    stage.door.reply = Reply(hold=hold, hold_after=3, cut=True)
    client = SHELLS[name](stage.url, key)
    with pytest.raises(errors.ServerError) as caught:
        client.pieces("text_generation", "Hi", model=MOODY, stream=True)
    assert (caught.value.status, caught.value.error_type) == (502, "BadGateway")
    assert caught.value.request_id


def left(stage: Scene) -> bool:
    """Whether the gateway has closed its connection to the vendor before the answer's end."""
    return stage.door.seen[-1].left.wait(WAIT_SECONDS)


def test_leaving_a_stream_stops_it(stage: Scene, key: str) -> None:
    for leave in ("with", "close", "forget"):
        stage.door.reply = Reply(hold=Hold(), hold_after=2)
        with DragomanClient(key, stage.url) as client:
            stream = client.text_generation("Hi", model=MOODY, stream=True)
            assert MOODY_TEXT.startswith(next(stream))
            if leave == "with":
                with contextlib.suppress(ZeroDivisionError), stream:
                    raise ZeroDivisionError
            elif leave == "close":
                stream.close()
            del stream
            gc.collect()
            assert left(stage), leave


def test_cancelling_closes_the_connection(stage: Scene, key: str) -> None:
    async def read(client: AsyncDragomanClient, begun: asyncio.Event) -> None:
        async for _ in await client.text_generation("Hi", model=MOODY, stream=True):
            begun.set()

    async def main() -> None:
        stage.door.reply = Reply(hold=Hold(), hold_after=2)
        begun = asyncio.Event()
        async with AsyncDragomanClient(key, stage.url) as client:
            task = asyncio.ensure_future(read(client, begun))
            await asyncio.wait_for(begun.wait(), WAIT_SECONDS)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(left, stage)

    asyncio.run(main())


def test_a_stream_left_by_break_is_stopped(stage: Scene, key: str) -> None:
    async def main() -> None:
        stage.door.reply = Reply(hold=Hold(), hold_after=2)
        async with AsyncDragomanClient(key, stage.url) as client:
            async for _ in await client.text_generation("Hi", model=MOODY, stream=True):
                break
            gc.collect()
            assert await asyncio.to_thread(left, stage)

    asyncio.run(main())


def test_without_retries_a_cancelled_call_is_stopped_too(stage: Scene, key: str) -> None:
    async def main() -> None:
        stage.door.reply = Reply(hold=Hold())
        async with AsyncDragomanClient(key, stage.url, max_retries=0) as client:
            task = asyncio.ensure_future(client.text_generation("Hi", model=MOODY))
            while not stage.door.seen:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(left, stage)

    asyncio.run(main())


def test_nobody_listens() -> None:
    for shell in SHELLS.values():
        with pytest.raises(errors.NoAnswer) as caught:
            shell("http://127.0.0.1:9", max_retries=0).ask("get_usage")
        assert not isinstance(caught.value, errors.TimedOut)
