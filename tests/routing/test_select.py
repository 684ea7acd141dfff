"""Which channel is asked first."""

import pytest

from dragoman.canonical.errors import Forbidden, ModelNotFound, Unavailable
from dragoman.routing.channel import Channel, Endpoint
from dragoman.routing.select import Order, RoutingTable


def channel(
    id: int,
    *,
    priority: int = 1,
    enabled: bool = True,
    models: tuple[str, ...] = ("m",),
    aliases: dict[str, str] | None = None,
) -> Channel:
    return Channel(
        id=id,
        name=f"c{id}",
        provider="custom",
        endpoints=(Endpoint("openai_chat", "http://x.test"),),
        priority=priority,
        enabled=enabled,
        models=models,
        aliases=aliases or {},
    )


def ids(order: Order) -> list[int]:
    return [option.channel.id for option in order.options]


@pytest.mark.row("S2-38")
def test_lower_priority_number_first() -> None:
    table = RoutingTable((channel(1, priority=5), channel(2, priority=1), channel(3, priority=3)))
    assert ids(table.order("m", 0.0)) == [2, 3, 1]


@pytest.mark.row("S2-44")
def test_round_robin_within_a_priority() -> None:
    table = RoutingTable((channel(1), channel(2), channel(3, priority=2)))
    firsts = [ids(table.order("m", 0.0)) for _ in range(4)]
    assert firsts == [[1, 2, 3], [2, 1, 3], [1, 2, 3], [2, 1, 3]]


@pytest.mark.row("S2-37")
def test_no_models_means_all() -> None:
    assert ids(RoutingTable((channel(1, models=()),)).order("anything", 0.0)) == [1]


def test_names_are_compared_without_case_and_sent_in_the_channels_spelling() -> None:
    one = channel(1, models=("GPT-5",))
    assert ids(RoutingTable((one,)).order("gpt-5", 0.0)) == [1]
    assert one.upstream_model("gpt-5") == "GPT-5"


def test_alias_gives_the_upstream_name() -> None:
    one = channel(1, models=(), aliases={"fast": "vendor/model-9"})
    assert one.upstream_model("fast") == one.upstream_model("FAST") == "vendor/model-9"
    assert one.upstream_model("other") == "other"


@pytest.mark.row("S2-39")
def test_disabled_channels_are_left_out() -> None:
    table = RoutingTable((channel(1, enabled=False), channel(2)))
    assert ids(table.order("m", 0.0)) == [2]
    with pytest.raises(Unavailable):
        RoutingTable((channel(1, enabled=False),)).order("m", 0.0)


@pytest.mark.row("S2-62")
def test_restriction_to_channels() -> None:
    table = RoutingTable((channel(1), channel(2)))
    assert ids(table.order("m", 0.0, lambda c: c.id == 2)) == [2]
    with pytest.raises(Forbidden):
        table.order("m", 0.0, lambda c: False)


@pytest.mark.row("S3-26")
def test_unknown_model_lists_the_nearest() -> None:
    table = RoutingTable((channel(1, models=("gpt-4o", "gpt-4o-mini", "claude-5")),))
    with pytest.raises(ModelNotFound, match="gpt-4o") as caught:
        table.order("gpt-4", 0.0)
    assert caught.value.status == 404
    with pytest.raises(ModelNotFound, match="no channel is configured"):
        RoutingTable(()).order("gpt-4", 0.0)


def test_memory_of_model_names_is_bounded() -> None:
    table = RoutingTable((channel(1, models=()),))
    for number in range(10_000):
        table.order(f"model-{number}", 0.0)
    assert len(table._tiers) <= 4096
