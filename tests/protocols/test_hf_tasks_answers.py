"""The text tasks: what a model says is an answer only if it holds against the text."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.collect import replay
from dragoman.canonical.errors import InvalidRequest, UpstreamBroken
from dragoman.canonical.parts import Reasoning, Text
from dragoman.canonical.request import Request
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.protocols.base import Target
from dragoman.protocols.hf_tasks import PROTOCOL
from dragoman.protocols.hf_tasks.request import task_like, with_mapping
from dragoman.protocols.hf_tasks.spans import locate
from dragoman.protocols.hf_tasks.text_tasks import TEXT_TASKS

NATIVE = "native"


def request(task: str, form: str = "seed", **body: Any) -> Request:
    """The chat request of a task."""
    target = Target(task=task, form=form, model="m")
    return PROTOCOL.decode_request(PROTOCOL.parse_request(json.dumps(body).encode(), target))


def response(said: str, reason: FinishReason = FinishReason.STOP) -> Response:
    parts = [Reasoning(text="Let me think."), Text(text=said)]
    return Response(model="m", choices=[Choice(parts=parts, finish=Finish(reason=reason))])


def answer(asked: Request, said: Any) -> Any:
    """The client's answer if the model says ``said``."""
    text = said if isinstance(said, str) else json.dumps(said)
    return json.loads(PROTOCOL.encode_response(response(text), asked))


def entities(text: str, words: list[str], form: str = "seed") -> list[dict[str, Any]]:
    said = {"entities": [{"entity": "PER", "score": 0.5, "word": word} for word in words]}
    found = answer(request("token-classification", form, inputs=text), said)
    items: list[dict[str, Any]] = found if form == NATIVE else found["output"]
    return items


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip)


@st.composite
def texts_with_words(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text, and some of the words that it is made of, in its order."""
    pieces = draw(st.lists(words, min_size=1, max_size=8))
    glue = draw(st.sampled_from([" ", "", "\n", ", ", "\u3000"]))
    kept = draw(st.lists(st.booleans(), min_size=len(pieces), max_size=len(pieces)))
    return glue.join(pieces), [word for word, keep in zip(pieces, kept, strict=True) if keep]


@pytest.mark.parametrize("form", ["seed", NATIVE])
@given(given_text=texts_with_words())
def test_every_entity_stands_where_it_says(form: str, given_text: tuple[str, list[str]]) -> None:
    text, named = given_text
    found = entities(text, named, form)
    places = [(one["start"], one["end"]) for one in found]
    assert all(text[one["start"] : one["end"]] == one["word"] for one in found)
    assert places == sorted(set(places))
    assert all(0 <= one["score"] <= 1 for one in found)


@given(texts_with_words(), st.text(max_size=12), st.floats(allow_nan=False))
def test_nothing_but_spans_of_the_context_is_an_answer(
    given_text: tuple[str, list[str]], said: str, score: float
) -> None:
    text, named = given_text
    asked = request("question-answering", inputs={"question": "Who?", "context": text})
    for guess in [*named, said]:
        with contextlib.suppress(UpstreamBroken):
            one = answer(asked, {"answers": [{"answer": guess, "score": score}]})["output"]
            assert text[one["start"] : one["end"]] == one["answer"]
            assert 0 <= one["score"] <= 1


@given(st.text(max_size=30), st.text(max_size=6), st.integers(0, 40))
def test_places_index_the_text(text: str, word: str, start: int) -> None:
    place = locate(text, word, start)
    if place is not None:
        assert start <= place[0] < place[1] <= len(text)
    if word.strip() and word in text:
        assert locate(text, word) is not None


def test_whole_words_are_found_first() -> None:
    assert locate("Annapolis, Anna", "Anna") == (11, 15)
    assert locate("Annapolis", "Anna") == (0, 4)


def test_case_and_white_space_are_mended() -> None:
    (one,) = entities("We met Ada\n  Lovelace.", ["ada lovelace"])
    assert (one["word"], one["start"], one["index"]) == ("Ada\n  Lovelace", 7, 3)


def test_the_same_name_twice_has_two_places_and_never_three() -> None:
    found = entities("Ada and Ada", ["Ada", "Ada", "Ada"])
    assert [one["start"] for one in found] == [0, 8]


def test_ignored_labels_and_strategy() -> None:
    said = {"entities": [{"entity": "PER", "score": 1, "word": "Ada"}]}
    ignoring = {"ignore_labels": ["PER"]}
    asked = request("token-classification", NATIVE, inputs="Ada", parameters=ignoring)
    assert answer(asked, said) == []
    asked = request(
        "token-classification", NATIVE, inputs="Ada", parameters={"aggregation_strategy": "none"}
    )
    assert answer(asked, said)[0]["entity"] == "PER"


JSON_TASKS = {
    "question-answering": {"inputs": {"question": "q", "context": "c"}},
    "text-classification": {"inputs": "c"},
    "token-classification": {"inputs": "c"},
}


@pytest.mark.parametrize("task", JSON_TASKS)
@given(said=st.text())
def test_what_is_no_answer_is_the_upstreams_failure(task: str, said: str) -> None:
    asked = request(task, **JSON_TASKS[task])
    with pytest.raises(UpstreamBroken):
        answer(asked, said.replace("{", ""))


WRONG = {
    "text-classification": [
        {"labels": [{"label": "POSITIVE", "score": 1.01}]},
        {"labels": [{"label": "POSITIVE", "score": -0.01}]},
        {"labels": [{"label": "WET", "score": 0.5}]},
        {"labels": []},
        {"labels": [{"label": "POSITIVE"}]},
    ],
    "token-classification": [
        {"entities": [{"entity": "PER", "score": 2, "word": "c"}]},
        {"entities": [{"entity": "DOG", "score": 1, "word": "c"}]},
        {"entities": [{"entity": "PER", "score": 1, "word": "d"}]},
        {"entities": [{"entity": "PER", "score": 1, "word": " "}]},
    ],
}


@pytest.mark.parametrize(
    ("task", "said"), [(task, one) for task, several in WRONG.items() for one in several]
)
def test_wrong_scores_labels_and_words(task: str, said: Any) -> None:
    with pytest.raises(UpstreamBroken):
        answer(request(task, **JSON_TASKS[task]), said)


def test_json_may_stand_in_a_fence() -> None:
    said = 'Here it is:\n```json\n{"labels": [{"label": "neutral", "score": 1}]}\n```'
    found = answer(request("text-classification", inputs="c"), said)
    assert found == {"output": [[{"label": "NEUTRAL", "score": 1.0}]]}


def test_what_was_cut_off_says_so() -> None:
    asked = request("text-classification", inputs="c")
    with pytest.raises(UpstreamBroken, match="cut off"):
        PROTOCOL.encode_response(response('{"labels"', FinishReason.LENGTH), asked)


def test_several_answers_best_first() -> None:
    inputs = {"question": "Who?", "context": "Ada and Bob"}
    asked = request("question-answering", NATIVE, inputs=inputs, parameters={"top_k": 2})
    said = {"answers": [{"answer": "Ada", "score": 0.2}, {"answer": "Bob", "score": 0.7}]}
    assert [one["answer"] for one in answer(asked, said)] == ["Bob", "Ada"]


def test_a_question_without_an_answer() -> None:
    body: dict[str, Any] = {"inputs": {"question": "Who?", "context": "Nobody was there."}}
    said = {"answers": [{"answer": "", "score": 0.9}]}
    found = answer(request("question-answering", **body), said)["output"]
    assert found == {"answer": "", "score": 0.9, "start": 0, "end": 0}
    body["parameters"] = {"handle_impossible_answer": False}
    with pytest.raises(UpstreamBroken):
        answer(request("question-answering", **body), said)


@pytest.mark.parametrize(
    ("task", "said", "native"),
    [
        ("text-generation", "b", [{"generated_text": "b"}]),
        ("summarization", "b", [{"summary_text": "b"}]),
        ("translation", "b", [{"translation_text": "b"}]),
    ],
)
def test_native_shapes_of_texts(task: str, said: str, native: Any) -> None:
    assert answer(request(task, NATIVE, inputs="a"), said) == native


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=6))
def test_a_stream_says_what_a_whole_answer_says(pieces: list[str]) -> None:
    asked = request("text-generation", inputs="a", stream=True)
    encoder = PROTOCOL.stream_encoder(asked)
    data = b"".join(encoder.feed(event) for event in replay(response("".join(pieces))))
    data += encoder.finish()
    events = [json.loads(one[len("data: ") :]) for one in data.decode().split("\n\n") if one]
    assert "".join(one["token"]["text"] for one in events) == "".join(pieces)
    assert events[-1]["output"] == answer(asked, "".join(pieces))["output"]


def test_parameters_mean_the_same_under_either_name() -> None:
    given = {"max_new_tokens": 7, "do_sample": False, "stop": "x", "stop_sequences": ["y"]}
    settings = request("text-generation", inputs="a", parameters=given).settings
    assert (settings.max_output_tokens, settings.temperature) == (7, 0.0)
    assert settings.stop == ["x", "y"]


def test_top_k_is_of_the_task_where_that_has_one() -> None:
    sampled = request("text-generation", inputs="a", parameters={"top_k": 3})
    ranked = request("text-classification", inputs="a", parameters={"top_k": 3})
    assert (sampled.settings.top_k, ranked.settings.top_k) == (3, None)


def test_what_no_chat_model_minds_is_kept_to_be_noted() -> None:
    given = {"watermark": True, "typical_p": 0.9, "best_of": None, "temperature": 1}
    asked = request("text-generation", inputs="a", parameters=given)
    assert asked.extensions is not None
    noted = {name for name in asked.extensions["hf_tasks"] if not name.startswith("_")}
    assert noted == {"watermark", "typical_p"}


def test_defaults_give_way_to_what_the_client_says() -> None:
    target = Target(task="text-generation", form="seed")
    body = json.dumps({"inputs": "a", "parameters": {"max_new_tokens": 7}}).encode()
    parsed = PROTOCOL.parse_request(body, target)
    assert parsed.model == ""
    mapped = with_mapping(parsed, "m", {"max_tokens": 2048, "temperature": 0.5})
    assert (mapped.model, mapped.max_output_tokens) == ("m", 7)
    assert PROTOCOL.decode_request(mapped).settings.temperature == 0.5


@pytest.mark.parametrize(
    ("body", "task"),
    [
        ({"inputs": "a"}, "text-generation"),
        ({"inputs": {"question": "a", "context": "b"}}, "question-answering"),
        ({"inputs": "a", "parameters": {"candidate_labels": ["b"]}}, "text-classification"),
        ({"inputs": "a", "parameters": {"aggregation_strategy": "max"}}, "token-classification"),
        ({"inputs": "a", "parameters": {"tgt_lang": "fr"}}, "translation"),
        ({"inputs": "a", "parameters": {"generate_parameters": {}}}, "summarization"),
    ],
)
def test_the_task_of_a_body_that_does_not_name_it(body: dict[str, Any], task: str) -> None:
    assert task_like(json.dumps(body).encode()) == task


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
_fields = ["inputs", "parameters", "text", "past_user_inputs", "question", "context", "stream"]


@pytest.mark.parametrize("task", TEXT_TASKS)
@given(body=st.dictionaries(st.sampled_from(_fields), _json) | _json)
def test_no_body_gets_anything_but_a_request_or_a_refusal(task: str, body: Any) -> None:
    target = Target(task=task, form="seed")
    with contextlib.suppress(InvalidRequest):
        parsed = PROTOCOL.parse_request(json.dumps(body).encode(), target)
        assert PROTOCOL.decode_request(parsed).messages
