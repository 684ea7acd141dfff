"""The background check of channels that are not well."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.canonical.errors import UpstreamFailed, UpstreamRefusedCredential, UpstreamUnreachable
from dragoman.canonical.secret import Secret
from dragoman.engine.opening import Openings
from dragoman.engine.prober import Prober
from dragoman.protocols.registry import protocols
from dragoman.routing.channel import Channel, Endpoint
from dragoman.routing.fleet import Fleet, Lane
from tests.engine.scripted import Script, ScriptedTransport

MODELS = Script(b'{"object":"list","data":[]}')
REFUSED = Script(b'{"error":{"message":"no such key"}}', status=401)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def fleet_of(*credentials: str, enabled: bool = True) -> Fleet:
    fleet = Fleet()
    fleet.configure(
        [
            Channel(
                id=1,
                name="one",
                provider="custom",
                endpoints=(Endpoint("openai_chat", "http://up.test/v1"),),
                credentials=tuple(Secret(text) for text in credentials),
                enabled=enabled,
            )
        ]
    )
    return fleet


def fail(lane: Lane, error: Exception, clock: Clock, times: int = 5, credential: int = 0) -> None:
    for _ in range(times):
        lane.settle(lane.credentials[credential], "m", error, seconds=0.1, now=clock.now)  # type: ignore[arg-type]


def check(fleet: Fleet, clock: Clock, *scripts: Script) -> ScriptedTransport:
    transport = ScriptedTransport(scripts)
    prober = Prober(fleet, protocols=protocols(), openings=Openings(transport), clock=clock)
    asyncio.run(prober.round())
    return transport


def test_channels_that_are_well_are_left_alone() -> None:
    fleet = fleet_of("key-a")
    assert check(fleet, Clock()).requests == []


def test_a_check_that_succeeds_lets_the_next_request_find_out() -> None:
    clock, fleet = Clock(), fleet_of("key-a")
    lane = fleet.lane(1)
    fail(lane, UpstreamFailed("down", upstream_status=500), clock)
    circuit = lane.credentials[0].circuit
    assert not circuit.allows(clock.now)
    transport = check(fleet, clock, MODELS)
    assert transport.requests[0].url == "http://up.test/v1/models"
    assert transport.requests[0].headers["authorization"] == "Bearer key-a"
    assert circuit.state(clock.now) == "half-open", "listing models is not answering"
    assert circuit.allows(clock.now)


def test_a_check_that_fails_keeps_the_circuit_open_for_longer() -> None:
    clock, fleet = Clock(), fleet_of("key-a")
    lane = fleet.lane(1)
    fail(lane, UpstreamUnreachable("refused"), clock)
    clock.now += 25
    check(fleet, clock, Script(refuse=UpstreamUnreachable("refused")))
    clock.now += 10  # 35 s after it opened
    assert not lane.credentials[0].circuit.allows(clock.now)


def test_a_mended_credential_is_found_out() -> None:
    clock, fleet = Clock(), fleet_of("key-a", "key-b")
    lane = fleet.lane(1)
    fail(lane, UpstreamRefusedCredential("no", upstream_status=401), clock, 1, credential=1)
    assert [one.well(clock.now) for one in lane.credentials] == [True, False]
    transport = check(fleet, clock, MODELS)
    assert transport.requests[0].headers["authorization"] == "Bearer key-b"
    assert lane.credentials[1].well(clock.now)


def test_a_credential_that_is_still_refused_stays_benched() -> None:
    clock, fleet = Clock(), fleet_of("key-a")
    lane = fleet.lane(1)
    fail(lane, UpstreamRefusedCredential("no", upstream_status=401), clock, 1)
    check(fleet, clock, REFUSED)
    clock.now += 299
    assert not lane.credentials[0].well(clock.now)


@pytest.mark.parametrize("enabled", [True, False])
def test_switched_off_channels_are_not_checked(enabled: bool) -> None:
    clock, fleet = Clock(), fleet_of("key-a", enabled=enabled)
    fail(fleet.lane(1), UpstreamUnreachable("refused"), clock)
    assert len(check(fleet, clock, MODELS).requests) == enabled
