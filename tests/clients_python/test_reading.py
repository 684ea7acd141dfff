"""Answers and streams as bytes: whole, split anywhere, broken and hostile."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import json
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from dragoman_client import _calls, answers, errors
from dragoman_client._reading import Reply, error_of
from dragoman_client._stream import MOST_EVENT_CHARS, TextReader
from hypothesis import given
from hypothesis import strategies as st

HEADERS = {"x-request-id": "r-1", "dragoman-cost-nano-usd": "125000"}
SERVED = {"request_id": "r-1", "cost_nano_usd": 125_000}
MAKERS = {
    "text_generation": ("a",),
    "conversational": ("a",),
    "summarization": ("a",),
    "translation": ("a",),
    "question_answering": ("a", "b"),
    "text_classification": ("a",),
    "token_classification": ("a",),
    "image_generation": ("a",),
    "embedding": ("a",),
    "run": ("summarization", "a"),
    "list_models": (),
    "map_model": ("a", "b", "c"),
    "calculate_cost": ([],),
    "get_usage": (),
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("output", "conversation", "generated_text", "image", "embedding", "score"),
                    *("models", "costs", "records", "label", "summary_text", "answer"),
                    *("timestamp", "total_cost_nano_usd", "generated_responses"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
)


def read(method: str, body: object) -> Any:
    """The answer to a call of that method."""
    make: Callable[..., _calls.Call[Any]] = getattr(_calls, method)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return make(*MAKERS[method]).read(Reply(200, HEADERS, data))


@pytest.mark.parametrize("method", MAKERS)
@given(body=json_values | st.binary(max_size=50))
def test_whatever_comes_is_an_answer_or_a_broken_one(method: str, body: object) -> None:
    with contextlib.suppress(errors.BrokenAnswer):
        read(method, body)


@pytest.mark.parametrize(
    ("method", "body", "where"),
    [
        ("text_generation", {}, "it has no 'output'"),
        ("text_generation", {"output": []}, "'output' is an empty list"),
        ("text_generation", {"output": [{"generated_text": None}]}, "'output.0.generated_text'"),
        ("embedding", {"output": [{"embedding": [1, "x"]}]}, "'output.0.embedding.1' is no number"),
        ("image_generation", {"image": "%%%"}, "'image' is not base64"),
        ("embedding", b'{"output": [{"embedding": [1e999]}]}', "is no number"),
        ("embedding", b'{"output": [{"embedding": [1%s]}]}' % (b"0" * 400), "is no number"),
        ("get_usage", b"<html>", "is not JSON"),
        ("get_usage", b'{"records": NaN}', "is not JSON"),
        ("get_usage", b"[" * 100_000, "is not JSON"),
        ("get_usage", b"\xff", "is not JSON"),
        (
            "conversational",
            {"conversation": {"past_user_inputs": [], "generated_responses": []}},
            "'conversation.generated_responses' is an empty list",
        ),
    ],
)
def test_a_broken_answer_says_what_is_wrong(method: str, body: object, where: str) -> None:
    with pytest.raises(errors.BrokenAnswer) as caught:
        read(method, body)
    assert where in str(caught.value)
    assert (caught.value.request_id, caught.value.status) == ("r-1", 200)


def test_money_is_exact() -> None:
    # A float has no 1.000000000000000001.
    item = {"task": "t", "model": "m", "input_tokens": 1, "output_tokens": 2}
    text = json.dumps({**item, "cost_nano_usd": 10**18 + 1, "cost_usd": "?"})
    body = (
        f'{{"total_cost_nano_usd": {10**18 + 1}, "currency": "USD", "warnings": ["w"],'
        f' "costs": [{text.replace(chr(34) + "?" + chr(34), "1000000000.000000001")}]}}'
    )
    costs = read("calculate_cost", body.encode())
    assert costs.total_cost_nano_usd == 10**18 + 1
    assert costs.costs[0].cost_usd == Decimal("1000000000.000000001")
    assert costs.warnings == ["w"]


def test_the_best_of_several_answers() -> None:
    two = [{"answer": "a", "score": 0.9, "start": 0, "end": 1}, {"answer": "b", "score": 0.1}]
    best = read("question_answering", {"output": two})
    assert best == answers.QuestionAnswer(answer="a", score=0.9, start=0, end=1, **SERVED)


def test_an_image_is_its_bytes() -> None:
    image = read("image_generation", {"image": "iVBORw==", "content_type": "image/webp"})
    assert image == b"\x89PNG"
    assert (image.content_type, image.request_id, image.cost_nano_usd) == (
        "image/webp",
        "r-1",
        125_000,
    )
    assert "PNG" not in repr(image)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequest),
        (401, errors.Unauthorized),
        (402, errors.PaymentRequired),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (418, errors.BadRequest),
        (429, errors.TooManyRequests),
        (500, errors.ServerError),
        (599, errors.ServerError),
        (302, errors.ApiError),
    ],
)
def test_every_status_has_its_error(status: int, kind: type[errors.ApiError]) -> None:
    body = {"error": "Wrong.", "error_type": "Kind", "message": "field: inputs"}
    error = error_of(Reply(status, HEADERS, json.dumps(body).encode()), 3.0)
    assert type(error) is kind
    assert str(error) == f"{status} Kind: Wrong. (field: inputs)"
    assert (error.status, error.error_type, error.message, error.details) == (
        status,
        "Kind",
        "Wrong.",
        "field: inputs",
    )
    assert (error.request_id, error.retry_after) == ("r-1", 3.0)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.request_id) == (kind, str(error), "r-1")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "Nested.", "type": "t"}}', "Nested."),
        (b"<h1>502\nBad   Gateway</h1>", "<h1>502 Bad Gateway</h1>"),
        (b"", "no reason was given"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[1]", "[1]"),
        (b"x" * 10_000, "x" * 200),
    ],
)
def test_errors_of_others_are_told_too(body: bytes, message: str) -> None:
    error = error_of(Reply(502, {}, body), None)
    assert (type(error), error.message) == (errors.ServerError, message)


def stream(*texts: str, **last: Any) -> bytes:
    """A stream of the gateway's."""
    events = [
        {"index": n, "token": {"id": 0, "text": text, "logprob": None, "special": False}}
        for n, text in enumerate(texts, 1)
    ]
    end = {"token": {"id": 0, "text": "", "special": True}, "generated_text": "".join(texts)}
    lines = [json.dumps(event, ensure_ascii=False) for event in [*events, {**end, **last}]]
    return "".join(f": ping\n\ndata: {line}\n\n" for line in lines).encode()


@given(
    texts=st.lists(st.text(min_size=1, max_size=6), max_size=5),
    cuts=st.lists(st.integers(0, 1_000), max_size=12),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_a_stream_may_be_split_anywhere(texts: list[str], cuts: list[int], newline: str) -> None:
    data = stream(*texts).replace(b"\n", newline.encode())
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    reader = TextReader("r-1")
    pieces = [
        text for start, end in itertools.pairwise(places) for text in reader.feed(data[start:end])
    ]
    reader.end()
    assert pieces == texts


@given(
    st.binary(max_size=200)
    | json_values.map(lambda v: b"data: " + json.dumps(v).encode() + b"\n\n")
)
def test_a_hostile_stream_is_a_broken_answer(data: bytes) -> None:
    reader = TextReader("r-1")
    with contextlib.suppress(errors.BrokenAnswer):
        for piece in reader.feed(data):
            assert isinstance(piece, str)


def test_an_error_in_a_stream_comes_after_what_was_said() -> None:
    reader = TextReader("r-1")
    begun = stream("one ").partition(b': ping\n\ndata: {"token"')[0]
    pieces = reader.feed(begun + b'data: {"error": "Gone.", "error_type": "BadGateway"}\n\n')
    assert next(pieces) == "one "
    with pytest.raises(errors.ServerError) as caught:
        next(pieces)
    assert (caught.value.status, caught.value.message) == (502, "Gone.")
    assert caught.value.request_id == "r-1"


def test_a_stream_that_ends_early_is_broken() -> None:
    reader = TextReader("r-1")
    assert list(reader.feed(stream("one", "two")[:-1])) == ["one", "two"]
    with pytest.raises(errors.BrokenAnswer, match="too early"):
        reader.end()


def test_an_event_without_end_is_not_kept_for_ever() -> None:
    reader, piece = TextReader("r-1"), b"x" * (MOST_EVENT_CHARS // 16)
    for _ in range(16):
        assert not list(reader.feed(piece))
    with pytest.raises(errors.BrokenAnswer, match="without end"):
        list(reader.feed(piece))
    quiet = TextReader("r-1")
    for _ in range(20):  # comments keep a connection alive for as long as it likes
        assert not list(quiet.feed(b":" + piece + b"\n\n"))


def test_every_call_is_described() -> None:
    for name in MAKERS:
        assert inspect.getdoc(getattr(_calls, name))
