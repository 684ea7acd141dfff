"""Learning how a model counts: how good it gets, and that nonsense does not spoil it."""

from __future__ import annotations

import math
import random
import statistics

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.engine.estimate import features_of
from dragoman.governance.calibration import MOST_MODELS, Calibration, Features, Learned
from dragoman.governance.tokens import EMPTY, GROUPS
from tests.support.counted_texts import VOCABULARIES, conversation, counted_texts

TAUGHT = list(counted_texts()[0::2])
HELD_OUT = list(counted_texts()[1::2])
Observed = list[tuple[Features, int]]


def requests(texts: list, vocabulary: str, many: int, seed: int = 1) -> Observed:
    """``many`` requests out of ``texts``, with their true counts."""
    rng = random.Random(seed)
    made = (conversation(rng, texts, vocabulary) for _ in range(many))
    return [(features_of(request), true) for request, true in made]


def errors(calibration: Calibration, held_out: Observed) -> list[float]:
    """Relative errors, ascending."""
    return sorted(abs(calibration.count("m", features) / true - 1) for features, true in held_out)


def taught(vocabulary: str, many: int) -> Calibration:
    calibration = Calibration()
    for features, true in requests(TAUGHT, vocabulary, many):
        assert calibration.observe("m", features, true)
    return calibration


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_after_two_hundred_answers_half_of_all_counts_are_within_five_percent(
    vocabulary: str,
) -> None:
    """Of requests made of texts that were never seen, in ten languages, with code, logs and tools; nine
    of ten are within twelve percent."""
    held_out = requests(HELD_OUT, vocabulary, 300, seed=2)
    before = errors(Calibration(), held_out)
    after = errors(taught(vocabulary, 200), held_out)
    assert statistics.median(after) <= 0.05
    assert after[len(after) * 9 // 10] <= 0.12
    assert statistics.median(after) < statistics.median(before)


def test_fifty_answers_go_most_of_the_way() -> None:
    held_out = requests(HELD_OUT, "claude", 200, seed=2)
    assert statistics.median(errors(taught("claude", 50), held_out)) <= 0.07


def test_a_hidden_prompt_is_learned() -> None:
    """Some providers put hundreds of tokens before every request."""
    calibration = Calibration()
    rng = random.Random(3)
    for _ in range(60):
        words = rng.uniform(5, 400)
        calibration.observe("m", made_of(words), round(words + 700))
    for words in (5.0, 50.0, 300.0):
        assert calibration.count("m", made_of(words)) == pytest.approx(words + 700, rel=0.03)


def made_of(words: float, **more: float) -> Features:
    """Features of a request of one message."""
    return Features(texts=(words, *EMPTY[1:]), messages=1, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("lie", [-5, 0, 1, 10**12, 2**63, 10**30])
def test_figures_that_cannot_be_are_not_learned(lie: int) -> None:
    calibration = Calibration()
    assert not calibration.observe("m", made_of(1000), lie)
    assert len(calibration) == 0


def test_a_liar_now_and_then_does_not_spoil_it() -> None:
    honest, lied_to = Calibration(), Calibration()
    rng = random.Random(4)
    for _ in range(300):
        words = rng.uniform(50, 3000)
        honest.observe("m", made_of(words), round(1.2 * words + 20))
        lie = rng.random() < 0.05
        lied_to.observe("m", made_of(words), round((5 if lie else 1.2) * words + 20))
    for words in (100.0, 1000.0, 3000.0):
        told = lied_to.count("m", made_of(words))
        assert told == pytest.approx(honest.count("m", made_of(words)), rel=0.05)


def test_a_model_that_changes_under_its_name_is_followed() -> None:
    calibration = Calibration()
    rng = random.Random(5)
    for factor, answers in ((1.0, 500), (1.4, 1500)):
        for _ in range(answers):
            words = rng.uniform(50, 3000)
            calibration.observe("m", made_of(words), round(factor * words + 20))
    assert calibration.count("m", made_of(1000)) == pytest.approx(1420, rel=0.04)


def test_requests_with_files_teach_nothing_and_are_counted() -> None:
    calibration = Calibration()
    assert not calibration.observe("m", made_of(100, files=1100), 900)
    assert calibration.count("m", made_of(100, files=1100)) > 1200


def test_the_model_not_seen_for_longest_gives_way() -> None:
    calibration = Calibration(most=3)
    for name in ("a", "b", "c", "a", "d"):
        assert calibration.observe(name, made_of(100), 150)
    assert [one.model for one in calibration.dump()] == ["c", "a", "d"]
    assert not calibration.observe("x" * 301, made_of(100), 150)


def test_it_is_asked_for_less_when_it_knows() -> None:
    calibration = Calibration()
    wanted = 0
    for _ in range(500):
        if calibration.wants("m"):
            wanted += 1
            calibration.observe("m", made_of(100), 150)
    assert 60 < wanted < 70


def test_what_was_learned_survives_a_restart() -> None:
    before = taught("o200k", 100)
    kept = msgspec.json.decode(msgspec.json.encode(before.dump()), type=list[Learned])
    after = Calibration()
    assert after.load(kept) == 1
    probes = requests(HELD_OUT, "o200k", 20, seed=6)
    for features, _ in probes:
        assert after.count("m", features) == before.count("m", features)
    for features, true in requests(TAUGHT, "o200k", 60, seed=7):
        after.observe("m", features, true)
    assert statistics.median(errors(after, probes)) < 0.06


figures = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308])


@given(
    st.lists(
        st.builds(
            Learned,
            model=st.text(max_size=310),
            seen=st.integers(-5, 2**70),
            error=figures,
            weights=st.lists(figures, min_size=len(GROUPS) + 4, max_size=len(GROUPS) + 6),
        ),
        max_size=5,
    )
)
def test_damaged_memories_do_no_harm(kept: list[Learned]) -> None:
    calibration = Calibration()
    assert calibration.load(kept) <= len(kept)
    for one in kept:
        assert 1 <= calibration.count(one.model, made_of(100)) <= 5_000
        calibration.observe(one.model, made_of(100), 150)
        assert 1 <= calibration.count(one.model, made_of(100)) <= 5_000


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e7), st.floats(0, 1e4), st.integers(0, 50), st.integers(-10, 10**9)
        ),
        max_size=40,
    )
)
def test_no_answers_make_it_fail(answers: list[tuple[float, float, int, int]]) -> None:
    calibration = Calibration()
    for words, han, tools, actual in answers:
        texts = (words, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, han, 0.0)
        features = Features(texts=texts, tool_text=words / 3, tools=tools, messages=3)
        calibration.observe("m", features, actual)
        estimate = features.estimate
        assert 1 <= calibration.count("m", features) <= 8 * estimate + 4_001


def test_a_thousand_models_are_remembered() -> None:
    calibration = Calibration()
    for number in range(MOST_MODELS + 5):
        calibration.observe(f"m{number}", made_of(100), 130)
    assert len(calibration) == MOST_MODELS
    assert len(msgspec.json.encode(calibration.dump())) < 400_000
