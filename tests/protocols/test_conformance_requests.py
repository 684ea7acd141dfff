"""Every protocol: nothing a request says is lost in silence, and what was said once stays said."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.request import Request
from dragoman.protocols.base import ModelProfile, Target
from tests.protocols.conformance import (
    ALL_NAMES,
    PROFILE,
    REQUEST,
    UPSTREAM_ONLY,
    every_protocol,
    every_upstream,
    load,
)
from tests.protocols.fidelity import parse, read_back, unaccounted
from tests.protocols.strategies import requests

# A request is drawn from many small choices; fewer of them cover the same ground.
requests_cost_more = settings(max_examples=max(20, settings().max_examples * 2 // 3))


@every_protocol
@requests_cost_more
@given(request=requests())
def test_every_field_survives_or_is_noted(name: str, request: Request) -> None:
    protocol = load(name)
    encoded = protocol.encode_request(request, PROFILE)
    again = read_back(protocol, encoded, request)
    assert unaccounted(request, again, encoded.notes, name) == [], encoded.body.decode()


@every_protocol
@requests_cost_more
@given(request=requests())
def test_encoding_twice_changes_nothing_more(name: str, request: Request) -> None:
    protocol = load(name)
    once = read_back(protocol, protocol.encode_request(request, PROFILE), request)
    twice = read_back(protocol, protocol.encode_request(once, PROFILE), once)
    assert twice == once


@every_upstream
@requests_cost_more
@given(request=requests())
def test_encoding_leaves_the_request_alone(name: str, request: Request) -> None:
    """The same request may be encoded for the next candidate."""
    protocol = load(name)
    first = protocol.encode_request(request, PROFILE)
    second = protocol.encode_request(request, PROFILE)
    assert first.body == second.body
    assert first.notes == second.notes


@every_protocol
@requests_cost_more
@given(request=requests())
def test_what_the_provider_refuses_is_dropped_with_a_note(name: str, request: Request) -> None:
    protocol = load(name)
    fields = ("temperature", "top_p", "seed", "stop", "user")
    profile = ModelProfile(
        provider=PROFILE.provider, model="m", max_output_tokens=4096, drops=frozenset(fields)
    )
    encoded = protocol.encode_request(request, profile)
    again = read_back(protocol, encoded, request)
    noted = {note.path for note in encoded.notes}
    for field in fields:
        assert getattr(again.settings, field) is None
        if getattr(request.settings, field) is not None:
            assert f"settings.{field}" in noted


@every_protocol
@requests_cost_more
@given(request=requests())
def test_repeating_changes_the_model_and_nothing_else(name: str, request: Request) -> None:
    """Same-protocol forwarding: the body is the client's own, but for the model."""
    protocol = load(name)
    encoded = protocol.encode_request(request, PROFILE)
    parsed = parse(protocol, encoded, request)
    repeated = protocol.repeat_request(parsed, ModelProfile(provider="p", model="renamed"))
    again = read_back(protocol, repeated, Request(model="renamed", messages=request.messages))
    once = protocol.decode_request(parsed)
    again.model = once.model
    again.stream = once.stream
    again.stream_options = once.stream_options
    assert again == once


@every_protocol
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"{}"])
def test_what_is_no_request_is_refused(name: str, body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        load(name).parse_request(body, Target(model="m"))


@every_protocol
def test_a_request_without_a_model_is_refused(name: str) -> None:
    protocol = load(name)
    encoded = protocol.encode_request(REQUEST, ModelProfile(model=""))
    body = encoded.body.replace(b'"model":"m"', b'"model":""')
    with pytest.raises(InvalidRequest) as caught:
        protocol.parse_request(body, Target(model=""))
    assert caught.value.param == "model"


@every_upstream
def test_endpoints_are_paths(name: str) -> None:
    protocol = load(name)
    for stream in (False, True):
        path = protocol.endpoint("some/model name", stream)
        assert path.startswith("/")
        assert " " not in path
    assert protocol.name == name
    assert protocol.credential_header == protocol.credential_header.lower()


def test_the_protocols_without_clients_say_so() -> None:
    assert {name for name in ALL_NAMES if not load(name).client_side} == UPSTREAM_ONLY


@pytest.mark.parametrize("name", sorted(UPSTREAM_ONLY))
def test_a_client_of_a_protocol_without_clients_is_told(name: str) -> None:
    protocol = load(name)
    with pytest.raises(InvalidRequest, match="upstreams only"):
        protocol.parse_request(b"{}", Target(model="m"))
    with pytest.raises(InvalidRequest, match="upstreams only"):
        protocol.stream_encoder(REQUEST)
