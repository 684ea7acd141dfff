"""Reading providers' lists of models."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.errors import UpstreamBroken
from dragoman.providers.listing import MAX_MODELS, ListedModel, Page, read_page


def read(document: Any) -> Page:
    return read_page(json.dumps(document).encode())


def only(row: Any) -> ListedModel:
    (model,) = read({"data": [row]}).models
    return model


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ({"object": "list", "data": [{"id": "gpt-5"}, {"id": "gpt-4o"}]}, ["gpt-5", "gpt-4o"]),
        ({"models": [{"name": "llama3:8b", "model": "llama3:8b"}]}, ["llama3:8b"]),
        ([{"id": "org/model", "type": "chat"}], ["org/model"]),  # Together: a bare list
        ({"data": ["a", "b"]}, ["a", "b"]),
        ({"data": []}, []),
        (
            {
                "models": [
                    {"name": "models/gemini-x", "supportedGenerationMethods": ["generateContent"]},
                    {"name": "models/embed", "supportedGenerationMethods": ["embedContent"]},
                    {"name": "models/aqa", "supportedGenerationMethods": ["generateAnswer"]},
                ]
            },
            ["gemini-x", "embed"],
        ),
        (
            {"data": [{"id": ""}, {"id": 7}, {"id": "x" * 301}, {"id": "a\nb"}, 5, None, {}]},
            [],
        ),
    ],
    ids=["openai", "ollama", "together", "names", "empty", "gemini", "nonsense"],
)
def test_names(document: Any, names: list[str]) -> None:
    assert [model.id for model in read(document).models] == names


@pytest.mark.parametrize(
    ("document", "query"),
    [
        ({"data": [], "has_more": False, "last_id": "x"}, ""),
        ({"data": [], "has_more": True, "last_id": "claude-x"}, "after_id=claude-x"),
        ({"data": [], "has_more": True, "last_id": "a b&c=é"}, "after_id=a%20b%26c%3D%C3%A9"),
        ({"data": [], "has_more": True, "last_id": 7}, ""),
        ({"models": [], "nextPageToken": "a/b+c="}, "pageToken=a%2Fb%2Bc%3D"),
        ({"models": [], "nextPageToken": ""}, ""),
        ({"models": [], "nextPageToken": "x" * 2000}, ""),
        ({"models": [], "nextPageToken": None}, ""),
    ],
)
def test_the_following_page(document: Any, query: str) -> None:
    assert read(document).following == query


def test_openrouter_gives_prices_per_token_as_text() -> None:
    model = only(
        {
            "id": "openai/gpt-4o",
            "created": 1715558400,
            "context_length": 128000,
            "pricing": {"prompt": "0.0000025", "completion": "0.00001"},
        }
    )
    assert model == ListedModel(
        id="openai/gpt-4o",
        created=1715558400,
        context_length=128000,
        input_price="2.5",
        output_price="10",
    )


def test_the_hugging_face_router_lists_hosts_of_which_the_cheapest_live_one_counts() -> None:
    def host(price: float, length: int, status: str = "live") -> dict[str, Any]:
        pricing = {"input": price, "output": price * 2}
        return {"status": status, "pricing": pricing, "context_length": length}

    hosts = [host(0.5, 1000), host(0.2, 500), host(0.1, 9000, "error"), {"status": "live"}, 7]
    model = only({"id": "org/model", "providers": hosts})
    assert (model.input_price, model.output_price, model.context_length) == ("0.2", "0.4", 1000)


@pytest.mark.parametrize(
    "pricing",
    [
        {"prompt": "-1", "completion": "-1"},  # OpenRouter's own router: it depends
        {"prompt": "free", "completion": "0"},
        {"prompt": "NaN", "completion": "0"},
        {"prompt": "Infinity", "completion": "0"},
        {"input": True, "output": 1},
        {"input": 1},
        {"input": 10**30, "output": 1},
        [],
        "1",
    ],
)
def test_prices_that_say_nothing(pricing: Any) -> None:
    model = only({"id": "m", "pricing": pricing})
    assert (model.input_price, model.output_price) == (None, None)


@pytest.mark.parametrize(
    ("price", "shown"), [(0, "0"), (100, "100"), (1e-7, "0.0000001"), ("2.50", "2.5")]
)
def test_prices_are_exact_and_plain(price: Any, shown: str) -> None:
    assert only({"id": "m", "pricing": {"input": price, "output": price}}).input_price == shown


def test_lengths_by_whatever_name() -> None:
    assert only({"id": "m", "max_model_len": 4096}).context_length == 4096  # vLLM
    assert only({"id": "m", "context_window": 131072}).context_length == 131072  # Groq
    gemini = only({"name": "models/m", "inputTokenLimit": 1_000_000, "outputTokenLimit": 8192})
    assert (gemini.context_length, gemini.max_output_tokens) == (1_000_000, 8192)
    assert only({"id": "m", "context_length": "long"}).context_length is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b'{"data": {}}', b"7", b'"x"', b"[" * 2000, b"\xff"]
)
def test_what_is_no_list(body: bytes) -> None:
    with pytest.raises(UpstreamBroken, match="list of models"):
        read_page(body)


def test_no_more_are_read_than_anybody_has() -> None:
    page = read({"data": [{"id": str(n)} for n in range(MAX_MODELS + 10)]})
    assert len(page.models) == MAX_MODELS


# fmt: off
FIELDS = [
    "data", "models", "id", "name", "pricing", "prompt", "completion", "input", "output", "providers",
    "status", "context_length", "created", "last_id", "has_more", "nextPageToken",
    "supportedGenerationMethods",
]
# fmt: on
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(FIELDS) | st.text(),
            inner,
        )
    ),
)


@given(JSON)
def test_anything_is_a_page_or_refused(document: Any) -> None:
    try:
        page = read({"data": [document], "models": document, "has_more": True, "last_id": "x"})
        page = read(document)
    except UpstreamBroken:
        return
    assert all(model.id for model in page.models)
