"""Whose price counts, and for how long it is remembered."""

from __future__ import annotations

import datetime
import json
import logging
import subprocess
import sys
import threading
from typing import Any

import pytest
from msgspec.structs import replace

from dragoman.cli.wiring import price_book
from dragoman.config.channels import resolve
from dragoman.config.schema import ChannelEntry
from dragoman.engine.price_book import MAX_REMEMBERED, PriceBook
from dragoman.governance.money import NANO
from dragoman.governance.price import Price, Rates
from dragoman.providers import price_data
from dragoman.providers.catalog import load_catalog
from dragoman.routing.channel import Channel
from dragoman.routing.select import RoutingTable, Strategies
from tests.engine.scripted import Script
from tests.engine.test_model_lists import Site

CATALOG = load_catalog()
OWN = {"input": 1.0, "output": 5.0}
NOON = datetime.datetime(2026, 11, 20, 12, 0, tzinfo=datetime.UTC).timestamp()


def channel(type: str, *models: str, **fields: Any) -> Channel:
    entry = ChannelEntry(id=1, name=type, type=type, models=models, **fields)
    return resolve(entry, CATALOG)


def listing(**prices: str | None) -> Script:
    rows = [
        {"id": f"org/{name}", "pricing": {"prompt": price, "completion": price}}
        for name, price in prices.items()
    ]
    return Script(json.dumps({"data": rows}).encode())


class Desk:
    """A book of which the test has the clock and the providers' lists."""

    def __init__(self, *scripts: Script) -> None:
        self.now = NOON
        self.site = Site(*scripts)
        self.book = PriceBook(now=lambda: self.now, is_loopback=lambda url: "127.0.0.1" in url)
        self.book.lists = self.site.lists
        self.site.lists.changed = self.book.forget

    def fetch(self, channel: Channel) -> None:
        self.site.lists.configure([channel])
        self.site.now += 3600
        self.site.round()

    def price(self, channel: Channel, model: str) -> Price | None:
        return self.book.price(channel, channel.upstream_model(model), model)

    def source(self, channel: Channel, model: str) -> str | None:
        price = self.price(channel, model)
        return None if price is None else price.source


def test_the_operators_price_then_the_providers_then_the_shipped_one() -> None:
    desk = Desk(listing(a="0.000001"))
    mine = channel("openrouter", prices={"org/mine": OWN})
    desk.fetch(mine)
    assert desk.source(mine, "org/mine") == "operator"
    assert desk.source(mine, "org/a") == "provider"
    shipped = desk.source(mine, "anthropic/claude-sonnet-4.5")
    assert shipped is not None
    assert shipped.startswith("genai-prices ")
    assert desk.source(mine, "org/nobody-knows") is None


def test_an_operators_star_is_for_every_other_model() -> None:
    desk = Desk()
    mine = channel("openai", prices={"gpt-4o": OWN, "*": {"input": 9}})
    assert desk.price(mine, "GPT-4O") == mine.prices["gpt-4o"]
    assert desk.price(mine, "gpt-4o-mini") == mine.prices["*"]


def test_an_alias_is_priced_as_what_it_stands_for_unless_it_has_its_own() -> None:
    desk = Desk()
    mine = channel(
        "openai", aliases={"fast": "gpt-4o-mini", "smart": "gpt-4o"}, prices={"smart": OWN}
    )
    assert desk.price(mine, "fast") == desk.price(channel("openai"), "gpt-4o-mini")
    assert desk.source(mine, "smart") == "operator"


@pytest.mark.parametrize(
    ("type", "fields", "is_local"),
    [
        ("ollama", {}, True),
        ("demo", {}, True),
        ("openai", {"base_url": "http://127.0.0.1:8000/v1"}, True),
        ("openai", {"base_url": "http://localhost:8000/v1"}, True),
        ("openai", {"base_url": "http://[::1]:8000/v1"}, True),
        ("vllm", {"base_url": "http://gpu-box:8000/v1"}, False),
        ("openrouter", {"base_url": "http://127.0.0.1:8000/v1"}, False),  # a way to who sells
    ],
)
def test_what_this_machine_serves_costs_nothing(
    type: str, fields: dict[str, Any], is_local: bool
) -> None:
    book = price_book()
    price = book.price(channel(type, **fields), "some-model", "some-model")
    assert (price is not None and price.free and price.source == "local") is is_local
    own = channel(type, prices={"some-model": OWN}, **fields)
    assert book.price(own, "some-model", "some-model") == own.prices["some-model"]


@pytest.mark.row("S4-52")
def test_a_changed_list_changes_the_price_and_the_day() -> None:
    desk = Desk(listing(a="0.000001"), listing(a="0.000002"), listing(b="0.000001"))
    one = channel("openrouter", "org/a")  # names its models: the list is fetched for the prices
    assert desk.source(one, "org/a") is None
    days = iter(["2026-11-20", "2026-11-21", "2026-11-22"])
    desk.site.lists._today = lambda: next(days)
    for usd, day in ((1, "2026-11-20"), (2, "2026-11-21")):
        desk.fetch(one)
        assert desk.price(one, "org/a") == Price(
            rates=Rates(input=usd * NANO, output=usd * NANO), source="provider", as_of=day
        )
    desk.fetch(one)
    assert desk.price(one, "org/a") is None


def test_a_list_that_is_fetched_for_its_prices_does_not_say_where_requests_go() -> None:
    desk = Desk(listing(a="0.000001"))
    one = channel("openrouter", "org/a", "org/b")
    desk.fetch(one)
    assert desk.site.lists.lists(one, "org/a") is None
    assert desk.site.lists.lists(one, "org/b") is None


def test_without_a_price_list_a_channel_that_names_its_models_is_not_asked_for_them() -> None:
    desk = Desk()
    desk.fetch(channel("openai", "gpt-4o"))
    assert desk.site.urls == []


def test_a_list_that_cannot_be_fetched_leaves_the_prices_as_they_were() -> None:
    desk = Desk(listing(a="0.000001"), Script(b"oops", status=500))
    one = channel("openrouter", "org/a")
    desk.fetch(one)
    before = desk.price(one, "org/a")
    desk.fetch(one)
    assert before is not None
    assert desk.price(one, "org/a") == before


def test_prices_that_cannot_be_used_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(*[listing(a="0.000001", b=None, c="-1")] * 2)
    one = channel("openrouter")
    with caplog.at_level(logging.WARNING):
        desk.fetch(one)
        desk.fetch(one)
    told = [record.getMessage() for record in caplog.records if "prices" in record.getMessage()]
    assert len(told) == 1
    assert "2 models" in told[0]
    assert "'org/b'" in told[0]
    assert desk.source(one, "org/a") == "provider"
    assert desk.source(one, "org/b") is None


@pytest.mark.parametrize("ending", ["floor", "nitro", "FLOOR"])
def test_an_ending_that_only_routes_costs_what_the_model_costs(ending: str) -> None:
    desk = Desk(listing(a="0.000001"))
    one = channel("openrouter")
    desk.fetch(one)
    assert desk.price(one, f"ORG/a:{ending}") == desk.price(one, "org/a")
    assert desk.price(one, "org/a:free") is None


def test_hugging_faces_endings_choose_the_host() -> None:
    hosts = [
        {"provider": "dear", "status": "live", "pricing": {"input": 2, "output": 9}},
        {"provider": "cheap", "status": "live", "pricing": {"input": 1, "output": 3}},
    ]
    desk = Desk(Script(json.dumps({"data": [{"id": "org/a", "providers": hosts}]}).encode()))
    one = channel("huggingface")
    desk.fetch(one)

    def outputs(*endings: str) -> list[int]:
        prices = [desk.price(one, f"org/a{ending}") for ending in endings]
        return [-1 if price is None else price.rates.output // NANO for price in prices]

    assert outputs("", ":fastest", ":preferred", ":dear") == [9, 9, 9, 9]
    assert outputs(":cheap", ":cheapest", ":another") == [3, 3, -1]


def test_a_price_is_remembered_and_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def shipped(provider: str, model: str, now: float) -> None:
        asked.append(model)

    monkeypatch.setattr(price_data, "shipped_price", shipped)
    desk = Desk()
    one = channel("openai")
    for _ in range(3):
        assert desk.price(one, "m") is None
    assert asked == ["m"]
    for number in range(MAX_REMEMBERED + 100):
        desk.price(one, f"model-{number}")
    assert len(desk.book._remembered) == MAX_REMEMBERED


def test_a_changed_channel_has_its_new_price_and_the_old_one_keeps_its_own() -> None:
    desk = Desk()
    old = channel("openai", prices={"m": {"input": 1}})
    new = channel("openai", prices={"m": {"input": 2}})
    for _ in range(2):  # requests under way still have the channel they began with
        assert desk.price(old, "m") == old.prices["m"]
        assert desk.price(new, "m") == new.prices["m"]


def test_a_price_by_the_hour_changes_with_it() -> None:
    desk = Desk()
    one = channel("deepseek")
    by_night = desk.price(one, "deepseek-v4-pro")
    desk.now += 18.5 * 3600  # 6:30 of the next day (UTC)
    by_day = desk.price(one, "deepseek-v4-pro")
    assert by_night is not None
    assert by_day is not None
    assert by_day.rates.input > by_night.rates.input


def test_the_cheapest_channel_goes_first_and_the_unknown_price_last() -> None:
    channels = (
        channel("vllm", "m", base_url="http://gpu-box:8000/v1"),
        channel("openai", "m", aliases={"m": "gpt-4o"}),
        channel("gemini", "m", aliases={"m": "gemini-2.5-flash"}),
        channel("ollama", "m"),
    )
    channels = tuple(replace(one, id=id) for id, one in enumerate(channels, start=1))
    table = RoutingTable(
        channels,
        strategies=Strategies(default="lowest_price"),
        price_of=price_book().typical,
    )
    for _ in range(4):  # whosever turn it is
        names = [option.channel.name for option in table.order("m", 0.0).options]
        assert names == ["ollama", "gemini", "openai", "vllm"]


def test_who_needs_the_shipped_prices() -> None:
    book = price_book()
    assert book.needs_data([channel("openai")])
    assert not book.needs_data([])
    assert not book.needs_data([channel("ollama"), channel("openai", enabled=False)])
    assert not book.needs_data([channel("openai", prices={"*": OWN})])


def test_starting_does_not_load_the_shipped_prices_and_the_first_request_waits_for_them() -> None:
    program = (
        "import sys, threading\n"
        "from dragoman.cli.wiring import price_book\n"
        "from dragoman.server.run import run_server\n"
        "from dragoman.config.channels import resolve\n"
        "from dragoman.config.schema import ChannelEntry\n"
        "from dragoman.providers.catalog import load_catalog\n"
        "channel = resolve(ChannelEntry(id=1, name='a', type='openai'), load_catalog())\n"
        "book = price_book()\n"
        "print('genai_prices' in sys.modules, 'pydantic' in sys.modules)\n"
        "loading = threading.Thread(target=book.load)\n"
        "loading.start()\n"
        "print(book.price(channel, 'gpt-4o', 'gpt-4o') is not None)\n"
        "loading.join()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False", "True"]


def test_many_threads_may_load_at_once() -> None:
    book = price_book()
    threads = [threading.Thread(target=book.load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert book.is_loaded
