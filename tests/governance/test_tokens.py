"""Counting tokens by what a text is made of, against the true counts of five vocabularies."""

from __future__ import annotations

import base64
import json
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.governance.tokens import GROUPS, quick_count, text_groups, text_tokens
from tests.support.counted_texts import VOCABULARIES, Counted, counted_texts

OTHER_SCRIPTS = ("russian", "chinese", "japanese", "korean", "arabic", "hindi")
IMAGE = base64.b64encode(bytes(range(256)) * 2_000).decode()


def off(one: Counted, vocabulary: str) -> float:
    """The relative error of the estimate."""
    return text_tokens(one.text) / one.counts[vocabulary] - 1


@pytest.mark.parametrize(
    ("vocabulary", "most"),
    [("o200k", 0.06), ("cl100k", 0.07), ("llama3", 0.07), ("claude", 0.13), ("llama2", 0.25)],
)
def test_latin_text_and_code_are_estimated_well_in_every_vocabulary(
    vocabulary: str, most: float
) -> None:
    errors = [abs(off(one, vocabulary)) for one in counted_texts() if one.kind not in OTHER_SCRIPTS]
    assert statistics.median(errors) < most


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_no_script_is_far_off(vocabulary: str) -> None:
    """Vocabularies differ up to four times about a script; the estimate is in between."""
    for one in counted_texts():
        assert -0.65 < off(one, vocabulary) < 0.8, one.kind


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_is_counted(text: str) -> None:
    """Lone surrogates, too; and no group is ever negative."""
    groups = text_groups(text)
    assert len(groups) == len(GROUPS)
    assert all(tokens >= 0 for tokens in groups)
    assert bool(text.strip("\0")) == (sum(groups) > 0)


@given(st.sampled_from("aA0.\n /-éяאहक世ア한—😀"), st.integers(1, 3_000))
def test_a_run_of_one_character_never_counts_below_nothing(character: str, length: int) -> None:
    assert 0 < text_tokens(character * length) < 4 * length


def body_with(text: str, *, ascii_only: bool = False) -> bytes:
    document = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return json.dumps(document, ensure_ascii=ascii_only).encode()


def test_a_body_is_counted_rather_higher_than_lower() -> None:
    ratios = [
        quick_count(body_with(one.text * 3)) / (3 * one.counts["o200k"]) for one in counted_texts()
    ]
    assert min(ratios) > 0.75
    assert 1.0 < statistics.median(ratios) < 1.5
    assert max(ratios) < 4


def test_escaped_characters_are_no_letters() -> None:
    """Many clients write every character beyond ASCII as an escape."""
    for one in counted_texts():
        plain = quick_count(body_with(one.text))
        assert plain * 0.5 < quick_count(body_with(one.text, ascii_only=True)) < plain * 5


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}},
        {"type": "image", "source": {"type": "base64", "data": IMAGE}},
        {"inlineData": {"mimeType": "image/png", "data": IMAGE}},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{IMAGE}"}},
        {"images": ["iVBORw0K" + IMAGE]},
    ],
    ids=["chat", "anthropic", "gemini", "file", "ollama"],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_file_in_the_body_is_not_counted_by_its_letters(
    part: dict[str, object], indent: int | None
) -> None:
    words = "Tell me what you see in this picture. " * 20
    without = quick_count(json.dumps([words, {}], indent=indent).encode())
    with_it = quick_count(json.dumps([words, part], indent=indent).encode())
    assert 1_000 < with_it - without < 3_000


def test_what_only_looks_like_a_file_is_counted_as_text() -> None:
    for disguised in ("x" * 100_000, f"data:image/png;base64,{IMAGE}"):
        assert quick_count(body_with(disguised)) > 0.5 * len(disguised)


@given(st.binary(max_size=5_000))
def test_any_bytes_are_counted(body: bytes) -> None:
    assert 1 <= quick_count(body) <= 2 * len(body) + 1


@given(st.integers(0, 5_000), st.binary(max_size=3), st.integers(0, 3_000))
def test_any_cut_of_a_file_is_counted(before: int, between: bytes, after: int) -> None:
    body = b" " * before + b'"data":"' + b"A" * 2_000 + between + b"B" * after
    assert 1 <= quick_count(body) <= 2 * len(body)
