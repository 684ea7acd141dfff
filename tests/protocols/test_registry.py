"""Which protocols there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from dragoman.protocols import registry
from dragoman.protocols.ollama_chat import PROTOCOL
from dragoman.protocols.registry import BadProtocol, UnknownProtocol, protocol, protocols

SMOKE = dataclasses.replace(PROTOCOL, name="smoke", title="Smoke signals")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    for cached in (registry.protocols, registry._installed):
        cached.cache_clear()
    yield
    for cached in (registry.protocols, registry._installed):
        cached.cache_clear()


def offer(monkeypatch: pytest.MonkeyPatch, offered: Any, name: str = "smoke") -> None:
    class Offer(EntryPoint):
        def load(self) -> Any:
            if isinstance(offered, Exception):
                raise offered
            return offered

    def entry_points(*, group: str) -> list[EntryPoint]:
        assert group == "dragoman.protocols"
        return [Offer(name, "smoke_signals:THING", group)]

    monkeypatch.setattr(registry, "entry_points", entry_points)


def test_every_folder_with_a_protocol_is_one() -> None:
    found = protocols()
    assert found["ollama_chat"] is PROTOCOL
    assert all(name == one.name for name, one in found.items())
    assert "openai_shared" not in found
    assert protocols() is found


def test_one_protocol_by_name() -> None:
    assert protocol("ollama_chat") is PROTOCOL


@pytest.mark.parametrize("name", ["", "base", "openai_shared", "morse", "ollama_chat.types"])
def test_unknown_protocols(name: str) -> None:
    with pytest.raises(UnknownProtocol, match=r"there are .*ollama_chat"):
        protocol(name)


def test_packages_add_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, SMOKE)
    assert protocols()["smoke"] is SMOKE
    assert protocol("smoke") is SMOKE


@pytest.mark.parametrize(
    ("offered", "name", "message"),
    [
        (PROTOCOL, "ollama_chat", "'ollama_chat', which is built in"),
        (PROTOCOL, "smoke", "smoke_signals:THING is no protocol named 'smoke'"),
        ("smoke", "smoke", "is no protocol"),
        (ImportError("no wood"), "smoke", "smoke_signals:THING does not load: no wood"),
    ],
)
def test_bad_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, offered: Any, name: str, message: str
) -> None:
    offer(monkeypatch, offered, name)
    with pytest.raises(BadProtocol, match=message):
        protocols()
