"""A provider of the operator's own: one row in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.raw import ask
from tests.support.gateway import Gateway
from tests.support.hf_router import TEXT, HFRouter

KEY = "sk-gw-own-provider-0123456789"
BEARER = {"authorization": f"Bearer {KEY}"}
QUESTION = {"model": "house-1", "messages": [{"role": "user", "content": "Hello!"}]}


@pytest.fixture(scope="module")
def house() -> Iterator[HFRouter]:
    with HFRouter(None, token="key-of-the-house") as running:
        yield running


@pytest.mark.row("S4-1")
@pytest.mark.parametrize("place", ["named", "data directory"])
def test_one_row_adds_a_provider(house: HFRouter, tmp_path: Path, place: str) -> None:
    row = f"""
        [house]
        name = "The house's own"
        aliases = ["home"]
        protocols.openai_chat = "{house.url}/v1"
        env_key = ["HOUSE_API_KEY"]
    """
    environ = {"API_KEY": KEY, "HOUSE_API_KEY": "key-of-the-house"}
    if place == "named":
        environ["DRAGOMAN_CATALOG"] = str(tmp_path / "rows.toml")
        (tmp_path / "rows.toml").write_text(row, encoding="utf-8")
    gateway = Gateway(None, environ=environ)
    if place != "named":
        (gateway.folder / "data").mkdir(mode=0o700)
        (gateway.folder / "data" / "providers.toml").write_text(row, encoding="utf-8")
    house.requests.clear()
    with gateway:
        for body in (QUESTION, {**QUESTION, "provider": "home"}):
            reply = ask(gateway, "POST", "/v1/chat/completions", body, BEARER)
            assert reply.json["choices"][0]["message"]["content"] == TEXT
            assert reply.headers["dragoman-channel"] == "house"
        assert [one.json for one in house.asked] == [QUESTION, QUESTION]
        assert house.asked[0].headers["authorization"] == "Bearer key-of-the-house"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[house]\nname = 1", ["rows.toml", "provider 'house', field 'name'"]),
        (None, ["rows.toml cannot be read"]),
    ],
    ids=["wrong", "missing"],
)
def test_a_row_that_cannot_be_used_is_named_at_the_start(
    tmp_path: Path, text: str | None, words: list[str]
) -> None:
    path = tmp_path / "rows.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with (
        pytest.raises(RuntimeError) as caught,
        Gateway(None, environ={"API_KEY": KEY, "DRAGOMAN_CATALOG": str(path)}),
    ):
        pass
    assert all(word in str(caught.value) for word in words)
    assert "Traceback" not in str(caught.value)
