"""Hugging Face's own Python client, pointed at a model's address here, for the text tasks and embeddings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.inference._common import UnknownError

from tests.live.administered import AS_ADMIN
from tests.live.money import MODEL, Shop, shop
from tests.live.raw import ask
from tests.support.flexible_upstream import TEXT as SAID
from tests.support.flexible_upstream import Reply as Said

TEXT = "Ada Lovelace lived in London."
KEY = "sk-gw-native-live-0123456789"


@pytest.fixture(scope="module")
def store() -> Iterator[Shop]:
    """One shop for the tests of this module."""
    with shop() as one:
        one.user("writer")
        one.key("writer", "writer", key=KEY)
        yield one


@pytest.fixture(autouse=True)
def door(store: Shop) -> Iterator[None]:
    """The upstream is as it was after every test."""
    yield
    store.door.reply = Said()


def client(one: Shop, pipeline: str = "", model: str = MODEL, key: str = KEY) -> InferenceClient:
    address = f"{one.gateway.url}/hf/models/{model}"
    return InferenceClient(f"{address}/pipeline/{pipeline}" if pipeline else address, token=key)


def says(one: Shop, value: Any) -> None:
    """What the model says next."""
    one.door.reply = Said(text=value if isinstance(value, str) else json.dumps(value))


@pytest.mark.row("S4-60")
@pytest.mark.parametrize("pipeline", ["", "text-generation"])
def test_text_generation(store: Shop, pipeline: str) -> None:
    says(store, " a time")
    one = client(store, pipeline)
    assert one.text_generation("Once upon", max_new_tokens=9) == " a time"
    assert store.door.seen[-1].body["messages"][0]["content"] == "Once upon"
    told = one.text_generation("Once upon", details=True)
    assert told.generated_text == " a time"
    assert told.details is not None
    assert told.details.finish_reason == "eos_token"
    assert told.details.generated_tokens > 0


@pytest.mark.row("S4-60")
def test_text_generation_streamed(store: Shop) -> None:
    says(store, SAID)
    one = client(store)  # it closes its streams when it goes
    pieces = list(one.text_generation("Once upon", stream=True))
    assert len(pieces) > 2
    assert "".join(pieces) == SAID
    *_, last = one.text_generation("Once upon", stream=True, details=True)
    assert last.generated_text == SAID
    assert last.details is not None


@pytest.mark.row("S4-60")
@pytest.mark.parametrize("stream", [False, True])
def test_chat(store: Shop, stream: bool) -> None:
    one = client(store)
    answer: Any = one.chat_completion([{"role": "user", "content": "hi"}], stream=stream)
    if stream:
        text = "".join(part.choices[0].delta.content or "" for part in answer if part.choices)
    else:
        text = answer.choices[0].message.content
    assert text == SAID


@pytest.mark.row("S4-60")
def test_summarization(store: Shop) -> None:
    says(store, "Ada lived.")
    assert client(store, "summarization").summarization(TEXT).summary_text == "Ada lived."


@pytest.mark.row("S4-60")
def test_translation(store: Shop) -> None:
    says(store, "Ada vivait.")
    one = client(store)  # the languages tell the task
    found = one.translation(TEXT, src_lang="en_XX", tgt_lang="fr_XX")
    assert found.translation_text == "Ada vivait."
    assert "from en_XX to fr_XX" in store.door.seen[-1].body["messages"][0]["content"]


@pytest.mark.row("S4-60")
def test_question_answering(store: Shop) -> None:
    says(store, {"answers": [{"answer": "london", "score": 0.5}]})
    found: Any = client(store).question_answering(question="Where?", context=TEXT)
    assert (found.answer, found.score, found.start, found.end) == ("London", 0.5, 22, 28)


@pytest.mark.row("S4-60")
def test_text_classification(store: Shop) -> None:
    says(
        store, {"labels": [{"label": "NEUTRAL", "score": 0.25}, {"label": "positive", "score": 1}]}
    )
    found = client(store, "text-classification").text_classification(TEXT, top_k=1)
    assert [(one.label, one.score) for one in found] == [("POSITIVE", 1.0)]


@pytest.mark.row("S4-60")
def test_token_classification(store: Shop) -> None:
    says(store, {"entities": [{"entity": "LOC", "score": 0.5, "word": "London"}]})
    (found,) = client(store).token_classification(TEXT, aggregation_strategy="simple")
    assert (found.entity_group, found.word, found.start, found.end) == ("LOC", "London", 22, 28)


@pytest.mark.row("S4-60")
def test_feature_extraction(store: Shop) -> None:
    found = client(store, "feature-extraction").feature_extraction("four")
    assert found.tolist() == [0.0, 4.0]


def test_a_mapped_model_tells_its_task(store: Shop) -> None:
    body = {
        "provider_model_id": MODEL,
        "hub_model_id": "facebook/bart-large-cnn",
        "task_type": "summarization",
    }
    assert ask(store.gateway, "POST", "/hf/tasks/models/map", body, AS_ADMIN).status == 200
    says(store, "Ada lived.")
    one = client(store, model="facebook/bart-large-cnn")
    assert one.summarization(TEXT).summary_text == "Ada lived."
    assert one.chat_completion([{"role": "user", "content": "hi"}]).model
    assert store.door.seen[-1].model == MODEL


@pytest.mark.row("S4-60")
def test_errors_are_read(store: Shop) -> None:
    with pytest.raises(HfHubHTTPError, match="unknown to this gateway") as caught:
        client(store, "summarization", key="sk-gw-nobody").summarization(TEXT)
    assert caught.value.response.status_code == 401
    with pytest.raises(HfHubHTTPError) as caught:
        client(store, "summarization", model="nobody").summarization(TEXT)
    assert caught.value.response.status_code == 404
    with pytest.raises(UnknownError, match="nobody"):
        client(store, model="nobody").text_generation("a")


@pytest.mark.row("S4-60")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "key", "status"), [(MODEL, "sk-gw-nobody", 401), ("nobody", KEY, 404)]
)
def test_errors_of_a_chat_are_read(
    store: Shop, model: str, key: str, status: int, stream: bool
) -> None:
    one = client(store, model=model, key=key)
    with pytest.raises(HfHubHTTPError) as caught:
        one.chat_completion([{"role": "user", "content": "hi"}], stream=stream)
    assert caught.value.response.status_code == status


@pytest.mark.row("S4-60")
def test_errors_of_a_streamed_text_are_read(store: Shop) -> None:
    one = client(store, key="sk-gw-nobody")
    with pytest.raises((HfHubHTTPError, UnknownError), match="unknown to this gateway"):
        list(one.text_generation("Once upon", stream=True))
