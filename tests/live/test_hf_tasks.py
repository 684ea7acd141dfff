"""The task API over a socket: every text task in its documented shape, models and their mapping, streams,
errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.administered import AS_ADMIN, admin
from tests.live.money import MODEL, Shop, shop
from tests.live.raw import Reply, ask
from tests.support.flexible_upstream import FlexibleUpstream
from tests.support.flexible_upstream import Reply as Said
from tests.support.gateway import Gateway

TASKS = "/hf/tasks"
OTHER = "other"
KEY = "sk-gw-tasks-live-0123456789"
BEARER = {"authorization": f"Bearer {KEY}"}
TEXT = "Ada Lovelace lived in London."
ENTITIES = [
    {"entity": "PER", "score": 0.99, "word": "Ada Lovelace"},
    {"entity": "LOC", "score": 0.9, "word": "London"},
]


@pytest.fixture(scope="module")
def store() -> Iterator[Shop]:
    """One shop for the tests of this module."""
    with shop(channel={"models": [MODEL, OTHER]}) as one:
        one.user("writer")
        one.key("writer", "writer", key=KEY)
        yield one


@pytest.fixture(autouse=True)
def door(store: Shop) -> Iterator[None]:
    """The upstream is as it was after every test."""
    yield
    store.door.reply = Said()


def run(
    one: Shop, path: str, body: Any, headers: dict[str, str] | None = None, said: str = ""
) -> Reply:
    """What a task is answered if the model says ``said``."""
    if said:
        one.door.reply = Said(text=said)
    return ask(one.gateway, "POST", path, body, {**BEARER, **(headers or {})})


def ok(reply: Reply) -> Any:
    assert reply.status == 200, reply.body
    assert reply.headers["inference-id"]
    return reply.json


def failure(reply: Reply) -> tuple[int, str]:
    """Status and type of an error of the documented shape."""
    assert set(reply.json) == {"error", "error_type", "message"}
    return reply.status, reply.json["error_type"]


def ask_text(one: Shop, **fields: Any) -> Reply:
    body = {"inputs": "Once upon", "parameters": {"model": MODEL, **fields}}
    return run(one, f"{TASKS}/text-generation", body, said=" a time")


@pytest.mark.row("S4-3")
@pytest.mark.row("S4-4")
def test_text_generation(store: Shop) -> None:
    reply = ask_text(store, max_tokens=100, temperature=0.7)
    assert ok(reply) == {"output": [{"generated_text": " a time"}]}
    sent = store.door.seen[-1].body
    assert (sent["model"], sent["temperature"]) == (MODEL, 0.7)
    assert 100 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))
    assert sent["messages"] == [{"role": "user", "content": "Once upon"}]


def test_the_prompt_in_front_if_wanted(store: Shop) -> None:
    body = {"inputs": "Once upon", "parameters": {"return_full_text": True}, "model": MODEL}
    reply = run(store, f"{TASKS}/text-generation", body, said=" a time")
    assert ok(reply) == {"output": [{"generated_text": "Once upon a time"}]}


@pytest.mark.row("S4-2")
def test_every_task_needs_a_key(store: Shop) -> None:
    for path in (*CASES, "embedding", "run", "models/map", "billing/cost"):
        for headers in ({}, {"authorization": "Bearer sk-gw-nobody"}):
            reply = ask(store.gateway, "POST", f"{TASKS}/{path}", {"inputs": "x"}, headers)
            assert failure(reply) == (401, "Unauthorized")
    for path in ("models", "billing/usage"):
        reply = ask(store.gateway, "GET", f"{TASKS}/{path}", None, {})
        assert failure(reply) == (401, "Unauthorized")


@pytest.mark.row("S4-6")
@pytest.mark.row("S4-7")
def test_conversation_grows_by_one_turn(store: Shop) -> None:
    body = {
        "text": "What is AI?",
        "past_user_inputs": ["Hello"],
        "generated_responses": ["Hi there!"],
        "model": MODEL,
    }
    reply = run(store, f"{TASKS}/conversational", body, said="AI is.")
    assert ok(reply) == {
        "conversation": {
            "past_user_inputs": ["Hello", "What is AI?"],
            "generated_responses": ["Hi there!", "AI is."],
        }
    }
    said = [(one["role"], one["content"]) for one in store.door.seen[-1].body["messages"]]
    assert said == [("user", "Hello"), ("assistant", "Hi there!"), ("user", "What is AI?")]


CASES: dict[str, tuple[dict[str, Any], str, Any]] = {
    "text-generation": ({"inputs": "a"}, "b", [{"generated_text": "b"}]),
    "conversational": (
        {"inputs": {"text": "a"}},
        "b",
        {"past_user_inputs": ["a"], "generated_responses": ["b"]},
    ),
    "summarization": ({"inputs": TEXT}, "Ada. ", {"summary_text": "Ada."}),
    "translation": (
        {"inputs": {"text": TEXT, "target_language": "French"}},
        "Ada.",
        {"translation_text": "Ada."},
    ),
    "question-answering": (
        {"inputs": {"question": "Where?", "context": TEXT}},
        json.dumps({"answers": [{"answer": "London", "score": 0.75}]}),
        {"answer": "London", "score": 0.75, "start": 22, "end": 28},
    ),
    "text-classification": (
        {"inputs": TEXT, "parameters": {"candidate_labels": ["fact", "fiction"]}},
        json.dumps(
            {"labels": [{"label": "fiction", "score": 0.25}, {"label": "fact", "score": 0.75}]}
        ),
        [[{"label": "fact", "score": 0.75}, {"label": "fiction", "score": 0.25}]],
    ),
    "token-classification": (
        {"inputs": TEXT},
        json.dumps({"entities": ENTITIES}),
        [
            {**ENTITIES[0], "index": 1, "start": 0, "end": 12},
            {**ENTITIES[1], "index": 5, "start": 22, "end": 28},
        ],
    ),
}
ROWS = {
    "text-generation": "S4-12",
    "conversational": "S4-13",
    "summarization": "S4-14",
    "translation": "S4-15",
    "question-answering": "S4-16",
    "text-classification": "S4-17",
    "token-classification": "S4-18",
}
OWN_ROWS = {
    "summarization": "S4-8",
    "translation": "S4-9",
    "question-answering": "S4-10",
}


@pytest.mark.row("S4-11")
@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=pytest.mark.row(row)) for task, row in ROWS.items()]
)
def test_run(store: Shop, task: str) -> None:
    asked, said, output = CASES[task]
    body = {"task": task, "model": MODEL, **asked}
    reply = run(store, f"{TASKS}/run", body, said=said)
    assert ok(reply) == {"output": output, "task": task, "model": MODEL}


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(task, marks=[pytest.mark.row(OWN_ROWS[task])] if task in OWN_ROWS else [])
        for task in CASES
        if task != "conversational"
    ],
)
def test_own_routes(store: Shop, task: str) -> None:
    asked, said, output = CASES[task]
    reply = run(store, f"{TASKS}/{task}", {"model": MODEL, **asked}, said=said)
    assert ok(reply) == {"output": output}


def test_the_language_is_told_to_the_model(store: Shop) -> None:
    body = {"inputs": "Hallo", "target_language": "Basque", "model": MODEL}
    ok(run(store, f"{TASKS}/translation", body))
    assert "to Basque" in store.door.seen[-1].body["messages"][0]["content"]
    ok(run(store, f"{TASKS}/translation", {"inputs": "Hallo", "model": MODEL}))
    assert "to English" in store.door.seen[-1].body["messages"][0]["content"]


@pytest.mark.row("S4-20")
def test_embedding(store: Shop) -> None:
    one = {"inputs": "four", "model": MODEL}
    assert ok(run(store, f"{TASKS}/embedding", one)) == {"output": [{"embedding": [0.0, 4.0]}]}
    two = {"task": "embedding", "inputs": ["a", "bb"], "parameters": {"model": MODEL}}
    assert ok(run(store, f"{TASKS}/run", two)) == {
        "output": [{"embedding": [0.0, 1.0]}, {"embedding": [1.0, 2.0]}],
        "task": "embedding",
        "model": MODEL,
    }


def events(reply: Reply) -> list[Any]:
    return [
        json.loads(line.removeprefix(b"data: "))
        for line in reply.body.split(b"\n")
        if line.startswith((b"data: ", b"{"))
    ]


@pytest.mark.row("S4-5")
@pytest.mark.parametrize("by", ["query", "body", "parameters"])
@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_streams(store: Shop, by: str, accept: str) -> None:
    said = "Every word must arrive, and once."
    body: dict[str, Any] = {"inputs": "a", "model": MODEL}
    if by == "body":
        body["stream"] = True
    if by == "parameters":
        body["parameters"] = {"stream": True}
    query = "?stream=true" if by == "query" else ""
    path = f"{TASKS}/text-generation{query}"
    reply = run(store, path, body, {"accept": accept}, said=said)
    assert reply.status == 200
    assert reply.headers["content-type"] == accept
    assert reply.body.startswith(b"data: " if accept == "text/event-stream" else b"{")
    *pieces, last = events(reply)
    assert len(pieces) > 1
    assert "".join(one["token"]["text"] for one in pieces) == said
    assert last["generated_text"] == said
    assert last["output"] == [{"generated_text": said}]
    assert last["token"]["special"]
    assert last["details"]["finish_reason"] == "eos_token"


@pytest.mark.parametrize("task", CASES)
def test_every_text_task_streams(store: Shop, task: str) -> None:
    asked, said, output = CASES[task]
    body = {"task": task, "model": MODEL, "stream": True, **asked}
    last = events(run(store, f"{TASKS}/run", body, said=said))[-1]
    assert (last["output"], last["task"]) == (output, task)


def test_an_answer_that_holds_no_answer_in_a_stream(store: Shop) -> None:
    body = {"inputs": {"question": "Where?", "context": TEXT}, "model": MODEL, "stream": True}
    reply = run(store, f"{TASKS}/question-answering", body, said="I would not know.")
    assert "JSON object" in events(reply)[-1]["error"]


@pytest.mark.row("S4-21")
@pytest.mark.parametrize("path", ["run", "video-generation"])
def test_unknown_tasks_are_400_with_the_list(store: Shop, path: str) -> None:
    body = {"task": "video-generation", "inputs": "x", "model": MODEL}
    reply = run(store, f"{TASKS}/{path}", body)
    assert failure(reply) == (400, "BadRequest")
    assert reply.json["error"].startswith("Unsupported task type: 'video-generation'")
    assert all(task in reply.json["error"] for task in CASES)


BAD = {
    "no inputs": ("text-generation", {}, "inputs"),
    "empty text": ("summarization", {"inputs": " \n"}, "inputs"),
    "a number": ("translation", {"inputs": 5}, "inputs"),
    "two texts": ("text-classification", {"inputs": ["a", "b"]}, "inputs"),
    "no context": ("question-answering", {"inputs": {"question": "a"}}, "inputs"),
    "a question that is a text": ("question-answering", {"inputs": "a"}, "inputs"),
    "context of the wrong kind": (
        "question-answering",
        {"inputs": {"question": "a", "context": 1}},
        "inputs.context",
    ),
    "more answers than texts": (
        "conversational",
        {"text": "a", "generated_responses": ["b"]},
        "generated_responses",
    ),
    "negative tokens": (
        "text-generation",
        {"inputs": "a", "parameters": {"max_tokens": -1}},
        "parameters.max_tokens",
    ),
    "parameters as a list": ("text-generation", {"inputs": "a", "parameters": []}, "parameters"),
    "an unknown strategy": (
        "token-classification",
        {"inputs": "a", "parameters": {"aggregation_strategy": "most"}},
        "parameters.aggregation_strategy",
    ),
    "empty embeddings": ("embedding", {"inputs": []}, "inputs"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_by_field_and_costs_nothing(store: Shop, case: str) -> None:
    task, body, field = BAD[case]
    before = len(store.door.seen)
    reply = run(store, f"{TASKS}/{task}", {"model": MODEL, **body})
    assert failure(reply) == (400, "BadRequest")
    assert f"field: {field}" in reply.json["message"]
    assert len(store.door.seen) == before


def test_without_a_model_there_must_be_one_to_choose(store: Shop) -> None:
    reply = run(store, f"{TASKS}/text-generation", {"inputs": "a"})
    assert failure(reply) == (400, "BadRequest")
    assert "parameters.model" in reply.json["error"]


def test_an_unknown_model(store: Shop) -> None:
    reply = run(store, f"{TASKS}/text-generation", {"inputs": "a", "model": "nobody"})
    assert failure(reply) == (404, "NotFound")


@pytest.mark.parametrize(
    "said",
    [
        "I cannot do that.",
        json.dumps({"answers": []}),
        json.dumps({"answers": [{"answer": "London", "score": 1.5}]}),
        json.dumps({"answers": [{"answer": "Paris", "score": 0.5}]}),
    ],
)
def test_an_answer_that_does_not_hold_is_no_answer(store: Shop, said: str) -> None:
    body = {"inputs": {"question": "Where?", "context": TEXT}, "model": MODEL}
    reply = run(store, f"{TASKS}/question-answering", body, said=said)
    assert failure(reply) == (502, "BadGateway")


def test_usage_and_charge_by_task(store: Shop) -> None:
    user = store.user("prepaid", usd="1")
    headers = {"authorization": f"Bearer {store.key('prepaid', 'prepaid')}"}
    body = {"task": "translation", "inputs": "a", "model": MODEL}
    ok(run(store, f"{TASKS}/run", body, headers))
    (record,) = ask(store.gateway, "GET", f"{TASKS}/billing/usage", None, headers).json["records"]
    assert (record["task"], record["model"]) == ("translation", MODEL)
    assert store.balance(user) == 1_000_000_000 - record["cost_nano_usd"] < 1_000_000_000


@pytest.mark.parametrize("text", [" ", "word " * 2_000_000], ids=["empty", "ten megabytes"])
def test_what_is_refused_costs_nothing(store: Shop, text: str) -> None:
    name = f"refused {len(text)}"
    user = store.user(name, usd="100")
    headers = {"authorization": f"Bearer {store.key(name, name)}"}
    body = {"inputs": text, "model": MODEL, "parameters": {"max_tokens": 5}}
    reply = run(store, f"{TASKS}/summarization", body, headers)
    assert failure(reply)[0] in (400, 413)
    assert store.balance(user) == 100_000_000_000


def test_one_answer_for_one_idempotency_key(store: Shop) -> None:
    body = {"task": "translation", "inputs": "a", "model": MODEL}
    first = run(store, f"{TASKS}/run", body, {"idempotency-key": "once"}, said="A.")
    again = run(store, f"{TASKS}/run", body, {"idempotency-key": "once"}, said="B.")
    assert ok(first) == ok(again)
    assert again.headers["idempotent-replayed"] == "true"


def test_another_channel_is_asked_if_the_answer_does_not_hold() -> None:
    with FlexibleUpstream() as upstream:
        poor, good = upstream.door("poor"), upstream.door("good")
        poor.reply = Said(text="London, I think.")
        good.reply = Said(text=CASES["question-answering"][1])
        common = {"type": "custom", "protocol": "openai_chat", "models": [MODEL], "api_key": "k"}
        channels = [
            {**common, "id": place, "name": name, "base_url": one.url, "priority": place}
            for place, (name, one) in enumerate([("poor", poor), ("good", good)], start=1)
        ]
        with Gateway({"settings": {"require_auth": False}, "channels": channels}) as gateway:
            body = {"inputs": {"question": "Where?", "context": TEXT}}
            reply = ask(gateway, "POST", f"{TASKS}/question-answering", body, {})
            assert ok(reply) == {"output": CASES["question-answering"][2]}
            assert reply.headers["dragoman-channel"] == "good"
            assert len(poor.seen) == 1


def map_model(one: Shop, headers: dict[str, str] = AS_ADMIN, **fields: Any) -> Reply:
    body = {
        "provider_model_id": MODEL,
        "hub_model_id": "meta-llama/Llama-2-7b-chat",
        "task_type": "text-generation",
        **fields,
    }
    return ask(one.gateway, "POST", f"{TASKS}/models/map", body, headers)


@pytest.mark.row("S4-28")
def test_only_an_admin_key_maps_models(store: Shop) -> None:
    assert failure(map_model(store, BEARER)) == (403, "Forbidden")
    assert failure(map_model(store, {})) == (401, "Unauthorized")


@pytest.mark.row("S4-29")
@pytest.mark.row("S4-30")
@pytest.mark.row("S4-31")
def test_a_mapped_model_answers_with_the_default_parameters(store: Shop) -> None:
    hub = "meta-llama/Llama-2-7b-chat"
    reply = map_model(store, parameters={"temperature": 0.7, "max_tokens": 2048})
    assert reply.status == 200, reply.body
    assert reply.json == {
        "success": True,
        "provider_model_id": MODEL,
        "hub_model_id": hub,
        "message": "Model mapping registered successfully",
    }
    body = {"inputs": "a", "model": hub, "parameters": {"max_new_tokens": 7}}
    ok(run(store, f"{TASKS}/text-generation", body))
    sent = store.door.seen[-1].body
    assert (sent["model"], sent["temperature"]) == (MODEL, 0.7)
    assert 7 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))
    ok(run(store, f"{TASKS}/summarization", {"inputs": "a", "model": hub}))
    sent = store.door.seen[-1].body
    assert sent["model"] == MODEL
    assert "temperature" not in sent
    ok(run(store, f"{TASKS}/text-generation", {"inputs": "a"}))  # the mapped one is chosen
    assert store.door.seen[-1].body["temperature"] == 0.7
    newest = admin(store.gateway, "GET", "/audit?limit=1").json["entries"][0]
    assert hub in json.dumps(newest["changes"])


def test_mapping_what_is_not_there(store: Shop) -> None:
    reply = map_model(store, provider_model_id="nobody")
    assert failure(reply) == (404, "NotFound")
    assert "field: provider_model_id" in reply.json["message"]
    assert failure(map_model(store, task_type="magic")) == (400, "BadRequest")
    assert failure(map_model(store, hub_model_id="")) == (400, "BadRequest")
    assert failure(map_model(store, parameters={"top_p": 7})) == (400, "BadRequest")


@pytest.mark.row("S4-32")
@pytest.mark.row("S4-33")
@pytest.mark.row("S4-34")
def test_models_by_task(store: Shop) -> None:
    hub = "org/summarizer"
    assert map_model(store, hub_model_id=hub, task_type="summarization").status == 200
    mapped = {"model_id": MODEL, "hub_model_id": hub, "task_type": "summarization"}
    listed = ask(store.gateway, "GET", f"{TASKS}/models", None, BEARER).json
    assert mapped in listed["models"]
    assert OTHER in [one["model_id"] for one in listed["models"]]
    assert listed["count"] == len(listed["models"])
    assert listed["task_types"] == sorted({one["task_type"] for one in listed["models"]})
    some = ask(store.gateway, "GET", f"{TASKS}/models?task_type=summarization", None, BEARER).json
    assert mapped in some["models"]
    assert some["task_types"] == ["summarization"]
    wrong = ask(store.gateway, "GET", f"{TASKS}/models?task_type=magic", None, BEARER)
    assert failure(wrong) == (400, "BadRequest")


def test_a_key_is_shown_and_given_only_what_it_may_use(store: Shop) -> None:
    store.user("narrow")
    key = store.key("narrow", "narrow", allowed_models=[OTHER])
    headers = {"authorization": f"Bearer {key}"}
    listed = ask(store.gateway, "GET", f"{TASKS}/models", None, headers).json
    assert [one["model_id"] for one in listed["models"]] == [OTHER]
    assert ok(run(store, f"{TASKS}/summarization", {"inputs": "a"}, headers))
    assert store.door.seen[-1].model == OTHER
    assert map_model(store, hub_model_id="org/closed").status == 200
    body = {"inputs": "a", "model": "org/closed"}
    reply = run(store, f"{TASKS}/text-generation", body, headers)
    assert failure(reply) == (403, "Forbidden")


def counted(one: Shop, task: str) -> float:
    """How many requests of the task have ended well."""
    page = ask(one.gateway, "GET", "/metrics", None, AS_ADMIN).body.decode()
    return sum(
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith("dragoman_requests_total{")
        and f'operation="{task}"' in line
        and 'outcome="ok"' in line
    )


@pytest.mark.row("S4-47")
@pytest.mark.parametrize("task", [*CASES, "embedding"])
def test_requests_are_counted_by_task(store: Shop, task: str) -> None:
    asked, said, _ = CASES.get(task, ({"inputs": "a"}, "", None))
    before = counted(store, task)
    ok(run(store, f"{TASKS}/run", {"task": task, "model": MODEL, **asked}, said=said))
    assert counted(store, task) == before + 1
