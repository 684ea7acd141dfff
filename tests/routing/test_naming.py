"""Names with prefixes and endings, and names out of use: which channel serves them, and as what."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from dragoman.canonical.naming import Naming, fits
from dragoman.canonical.secret import Secret
from dragoman.routing.channel import Channel, Endpoint
from dragoman.routing.fleet import Fleet

NAMING = Naming(
    prefixes=("[PAY]",),
    not_prefixes=("[EXPRESS]",),
    endings={"-max": ("g-2*", "!*-image"), "-openai": ("*",), "-search": ("*",)},
    not_endings=("-free",),
    not_models=("*-exp",),
    renamed={"g-1": "g-2", "g-1-pro": "g-2-pro"},
    protocols={"": "gemini_generate", "-openai": "openai_chat"},
)
ENDPOINTS = (Endpoint("gemini_generate", "https://a"), Endpoint("openai_chat", "https://b"))


def channel(*models: str, naming: Naming | None = NAMING, **aliases: str) -> Channel:
    return Channel(
        id=1,
        name="one",
        provider="p",
        endpoints=ENDPOINTS,
        credentials=(Secret("k-1"), Secret("k-2"), Secret("k-3")),
        models=models,
        aliases=aliases,
        naming=naming,
    )


@pytest.mark.parametrize(
    ("model", "upstream"),
    [
        ("g-2", "g-2"),
        ("[PAY]g-2", "g-2"),
        ("[pay]  G-2-Max", "G-2-max"),
        ("g-1", "g-2"),
        ("G-1-Pro-search", "g-2-pro-search"),
        ("[PAY] g-1-openai", "g-2-openai"),
        ("-max", "-max"),
        ("g-1-pro-2", "g-1-pro-2"),
    ],
)
def test_the_upstreams_name_for_a_model(model: str, upstream: str) -> None:
    assert channel().upstream_model(model) == upstream


@pytest.mark.parametrize(
    "model", ["[EXPRESS] g-2", "[express]g-2", "g-2-free", "G-2-EXP", "g-exp-max"]
)
def test_names_that_ask_for_another_way_are_not_served(model: str) -> None:
    assert not channel().serves(model)
    assert channel(naming=None).serves(model)
    assert channel(model).serves(model), "the operator's own word goes before"


def test_a_channel_that_lists_a_model_has_its_variants() -> None:
    some = channel("g-2", "g-9-max")
    assert some.serves("g-2-max")
    assert some.serves("[PAY]G-2-search")
    assert some.serves("g-9-max")
    assert not some.serves("g-9")
    assert not some.serves("g-3-max")
    assert some.upstream_model("[PAY]g-2-max") == "g-2-max"


def test_an_operators_alias_is_taken_at_its_word() -> None:
    assert channel(fast="g-1").upstream_model("fast") == "g-1"


@pytest.mark.parametrize(
    ("client", "model", "spoken"),
    [
        ("openai_chat", "g-2", "gemini_generate"),
        ("openai_chat", "g-2-openai", "openai_chat"),
        ("gemini_generate", "g-2-openai", "openai_chat"),
        ("anthropic_messages", "g-2-max", "gemini_generate"),
        ("openai_chat", "", "openai_chat"),
    ],
)
def test_the_name_decides_the_protocol(client: str, model: str, spoken: str) -> None:
    assert channel().endpoint_for(client, model).protocol == spoken


def test_a_protocol_that_the_channel_does_not_speak_decides_nothing() -> None:
    one = Channel(id=1, name="one", provider="p", endpoints=ENDPOINTS[1:], naming=NAMING)
    assert one.endpoint_for("openai_chat", "g-2").protocol == "openai_chat"


def test_variants_are_listed_for_the_models_that_they_fit() -> None:
    assert NAMING.listed(["g-2", "g-2-image", "g-2-exp"]) == (
        *("g-2", "g-2-max", "g-2-openai", "g-2-search"),
        *("g-2-image", "g-2-image-openai", "g-2-image-search"),
    )
    free = Naming(endings={"-free": ("*",), "-max": ("*",)}, not_endings=("-free",))
    assert free.listed(["g"]) == ("g", "g-max")


def test_globs() -> None:
    assert fits("Gemini-2.5", ["gemini-*"])
    assert not fits("gemini-2.0-x", ["!gemini-2.0*", "gemini-*"])
    assert not fits("other", ["gemini-*"])


@hypothesis.given(st.text(max_size=20))
def test_any_name_is_read(model: str) -> None:
    _, ending = NAMING.split(model)
    assert model.casefold().endswith(ending)
    assert NAMING.upstream(model).endswith(ending)
    channel().serves(model)


@pytest.mark.parametrize(("in_turn", "used"), [(True, [1, 2, 3, 1]), (False, [1, 1, 1, 1])])
def test_credentials_in_turn_or_the_first_that_is_well(in_turn: bool, used: list[int]) -> None:
    fleet = Fleet()
    one = Channel(
        id=1,
        name="one",
        provider="p",
        endpoints=ENDPOINTS,
        credentials=(Secret("k-1"), Secret("k-2"), Secret("k-3")),
        quirks={} if in_turn else {"credentials_in_turn": False},
    )
    fleet.configure([one])
    lane = fleet.lane(1)

    def next_one(now: float) -> int:
        credential, _ = lane.next_credential(lane.credentials, "m", now, set())
        assert credential is not None
        lane.used(credential)
        return credential.number

    assert [next_one(0.0) for _ in used] == used
    if not in_turn:
        lane.credentials[0].cooldowns.bench("", 60.0, 0.0, "refused")
        assert [next_one(1.0), next_one(2.0), next_one(100.0)] == [2, 2, 1]
