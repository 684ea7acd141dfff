"""Hugging Face's own JavaScript client, pointed at a model's address at the real gateway."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from dragoman.protocols.hf_tasks.tasks import TASKS
from tests.live.administered import ENVIRON, admin
from tests.support.gateway import Gateway
from tests.support.js_package import run
from tests.support.official_js import LOCK, install
from tests.support.task_upstream import PICTURE, TEXT, TaskUpstream

KEY = "sk-gw-official-js-0123456789"
MODELS = MODEL, EMBEDDER, PAINTER = "gpt-4o-mini", "text-embedding-3-small", "gpt-image-1"
ASKED = {  # task → what the script calls it in its answers and failures
    "text-generation": ("generated", "written"),
    "conversational": ("talked", "talkedOn"),
    "summarization": ("summary",),
    "translation": ("translated",),
    "question-answering": ("found",),
    "text-classification": ("kinds",),
    "token-classification": ("names",),
    "image-generation": ("picture",),
    "embedding": ("vector",),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[TaskUpstream]:
    """The only provider."""
    with TaskUpstream() as running:
        yield running


@pytest.fixture(scope="module")
def answers(upstream: TaskUpstream) -> dict[str, Any]:
    """What the client read, for every task and every failure."""
    folder = install()
    channel = {
        "name": "tasks",
        "type": "openrouter",
        "base_url": upstream.url,
        "api_key": "key-1",
        "models": [*MODELS],
        "max_concurrency": 50,
    }
    with Gateway(None, environ=ENVIRON) as gateway:
        assert admin(gateway, "POST", "/channels", channel).status == 201
        assert admin(gateway, "POST", "/keys", {"name": "js", "key": KEY}).status == 201
        done = run(["node", "tasks.mjs", gateway.url, KEY, *MODELS], folder)
    assert done.returncode == 0, done.stdout
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def test_the_lock_names_no_registry() -> None:
    """Whoever installs takes the packages from where they take theirs; what they are is pinned."""
    lock = json.loads(LOCK.read_text(encoding="utf-8"))
    packages = [one for name, one in lock["packages"].items() if name]
    assert packages
    assert "://" not in json.dumps(lock)
    assert all(one["integrity"].startswith("sha512-") for one in packages)


@pytest.mark.row("S4-66")
@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_asked_for(answers: dict[str, Any], task: str) -> None:
    """Plain, streamed where the client can, and refused; what the answers are, the tests below say."""
    for name in ASKED[task]:
        assert answers[name], name
        assert answers["wrongKey"][name]["status"] == 401, name


@pytest.mark.row("S4-60")
def test_text_generation(answers: dict[str, Any], upstream: TaskUpstream) -> None:
    assert answers["generated"] == {"generated_text": TEXT}
    pieces = [part["choices"][0]["text"] for part in answers["written"] if part.get("choices")]
    assert len(pieces) > 2
    assert "".join(pieces) == TEXT
    asked = upstream.asked[0]
    assert asked["model"] == MODEL
    assert asked["messages"][-1]["content"] == "Once"


@pytest.mark.row("S4-60")
def test_chat(answers: dict[str, Any]) -> None:
    [choice] = answers["talked"]["choices"]
    assert choice["message"]["content"] == TEXT
    pieces = [
        part["choices"][0]["delta"].get("content") or ""
        for part in answers["talkedOn"]
        if part["choices"]
    ]
    assert len(pieces) > 2
    assert "".join(pieces) == TEXT


@pytest.mark.row("S4-60")
def test_summarization_and_translation(answers: dict[str, Any], upstream: TaskUpstream) -> None:
    assert answers["summary"] == {"summary_text": TEXT}
    assert answers["translated"] == {"translation_text": TEXT}
    said = [one["messages"][0]["content"] for one in upstream.asked if "messages" in one]
    assert any(text.startswith("Summarize ") for text in said)
    assert any("from en_XX to de_DE" in text for text in said)


@pytest.mark.row("S4-60")
def test_question_answering(answers: dict[str, Any]) -> None:
    """Offsets count code points, as in Python: the smiley is one."""
    assert answers["found"] == {"answer": "London", "score": 0.9, "start": 12, "end": 18}


@pytest.mark.row("S4-60")
def test_classification(answers: dict[str, Any]) -> None:
    kinds = [(one["label"], one["score"]) for one in answers["kinds"]]
    assert kinds == [("POSITIVE", 0.75), ("NEGATIVE", 0.125)]
    assert answers["names"] == [
        {"entity_group": "PER", "score": 0.98, "word": "Ada", "start": 2, "end": 5},
        {"entity_group": "LOC", "score": 0.95, "word": "London", "start": 12, "end": 18},
    ]


@pytest.mark.row("S4-60")
def test_feature_extraction(answers: dict[str, Any]) -> None:
    vector, [first, second] = answers["vector"], answers["vectors"]
    assert len(vector) == 8
    assert all(isinstance(number, float | int) for number in vector)
    assert second == vector
    assert first != vector


@pytest.mark.row("S4-60")
def test_text_to_image(answers: dict[str, Any]) -> None:
    assert answers["picture"] == {"type": "image/png", "bytes": [*PICTURE]}
    assert base64.b64decode(answers["pictureUrl"].partition(",")[2]) == PICTURE


@pytest.mark.row("S4-60")
@pytest.mark.parametrize(
    ("case", "status", "words"),
    [("wrongKey", 401, "unknown to this gateway"), ("unknownModel", 404, "nobody")],
)
def test_failures(answers: dict[str, Any], case: str, status: int, words: str) -> None:
    seen = answers[case]
    assert seen.keys() == {name for names in ASKED.values() for name in names}
    for call, failure in seen.items():
        assert failure is not None, call
        assert (failure["name"], failure["status"]) == ("ProviderApiError", status), call
        assert words in failure["message"], (call, failure)
