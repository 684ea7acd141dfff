"""Who is asked for a model that no channel states."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.canonical.errors import UpstreamLoading, UpstreamOverloaded, UpstreamRateLimited
from dragoman.routing.channel import Channel
from dragoman.routing.plan import LONGEST_REPEAT_WAIT, Plan
from dragoman.routing.select import RoutingTable
from tests.routing.support import Site, channel

LLAMA = "meta-llama/Llama-2-7b-chat-hf"


def open_to_all(id: int, *patterns: str, **fields: Any) -> Channel:
    return channel(id, models=(), model_patterns=patterns, **fields)


def order(*channels: Channel, model: str = LLAMA, **lists: bool | None) -> list[list[int]]:
    """The tiers: channels' ids together where their turns are; ``lists`` by channel name."""
    table = RoutingTable(channels, lists=lambda channel, model: lists.get(channel.name))
    options = table.order(model, 0.0).options
    tiers: list[list[int]] = [[] for _ in range(1 + max(option.tier for option in options))]
    for option in options:
        tiers[option.tier].append(option.channel.id)
    return [sorted(tier) for tier in tiers]


def test_patterns_stand_in_for_a_list_that_is_not_known() -> None:
    hub, maker = open_to_all(1, "*/*"), open_to_all(2, "gpt-*", "o[0-9]*")
    assert order(hub, maker) == [[1], [2]]
    for model in ("gpt-4o", "GPT-4o", "o3-mini"):
        assert order(hub, maker, model=model) == [[2], [1]]
    assert order(hub, maker, model="neither") == [[1, 2]]


def test_a_list_says_more_than_patterns() -> None:
    hub, maker = open_to_all(1, "*/*"), open_to_all(2, "gpt-*")
    assert order(hub, maker, c2=True) == [[2], [1]] == order(hub, maker, c1=False, c2=True)


def test_among_those_that_do_not_list_it_the_like_of_it_counts() -> None:
    """A router takes more than it lists."""
    hub, maker = open_to_all(1, "*/*"), open_to_all(2, "gpt-*")
    assert order(maker, hub, c1=False, c2=False) == [[1], [2]]


def test_of_equal_priority_those_that_surely_have_it_come_first() -> None:
    unknown, listing, stating = open_to_all(1), open_to_all(2), channel(3, models=(LLAMA,))
    assert order(unknown, listing, stating, c2=True) == [[2, 3], [1]]
    alias = open_to_all(4, "gpt-*", aliases={LLAMA: "gpt-4o"})
    assert order(unknown, alias) == [[4], [1]]


def test_priority_counts_before_certainty_but_not_before_a_no() -> None:
    unknown = open_to_all(1, priority=1)
    listing = open_to_all(2, priority=2)
    assert order(unknown, listing, c2=True) == [[1], [2]]
    assert order(unknown, listing, c1=False, c2=True) == [[2], [1]]


def test_an_alias_is_judged_by_what_it_stands_for() -> None:
    one = open_to_all(1, "gpt-*", aliases={"fast": "gpt-4o", "other": "claude-x"})
    assert (one.suits("fast"), one.suits("other")) == (True, False)
    assert open_to_all(2).suits("m") is None


def wait(site: Site, error: Exception) -> float | None:
    plan: Plan = site.plan()
    slot = site.pick(plan)
    assert slot is not None
    site.fail(plan, slot, error)  # type: ignore[arg-type]
    return plan.repeat(slot, error, lambda: 0.0)  # type: ignore[arg-type]


@pytest.mark.row("S3-33")
def test_a_model_that_is_being_loaded_is_waited_for_as_long_as_its_provider_may_take() -> None:
    def loading(seconds: float) -> UpstreamLoading:
        return UpstreamLoading("loading", upstream_status=503, retry_after=seconds)

    assert wait(Site(channel(loading_seconds=60.0)), loading(45.0)) == 45.0
    assert wait(Site(channel(loading_seconds=60.0)), loading(61.0)) is None
    assert wait(Site(channel()), loading(LONGEST_REPEAT_WAIT)) == LONGEST_REPEAT_WAIT
    assert wait(Site(channel()), loading(LONGEST_REPEAT_WAIT + 1)) is None
    limited = UpstreamRateLimited("slow down", upstream_status=429, retry_after=45.0)
    assert wait(Site(channel(loading_seconds=60.0)), limited) is None
    busy = UpstreamOverloaded("busy", upstream_status=503, retry_after=45.0)
    assert wait(Site(channel(loading_seconds=60.0)), busy) is None


@pytest.mark.row("S3-33")
def test_a_model_that_is_being_loaded_says_nothing_about_the_others() -> None:
    site = Site(
        channel(1, models=(), keys=("a", "b")), channel(2, models=("cold", "warm"), priority=2)
    )
    loading = UpstreamLoading("loading", upstream_status=503, retry_after=20.0)
    for _ in range(10):
        plan = site.plan("cold")
        while (slot := site.pick(plan)) is not None and slot.channel.id == 1:
            site.fail(plan, slot, loading)
        assert slot is not None
        slot.close(None, site.now)
    assert site.answer("warm") == 1
    assert site.answer("cold") == 2
    site.now += 20.0
    assert site.answer("cold") == 1
