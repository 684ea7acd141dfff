"""Every protocol: whatever comes in, from clients or upstreams, only GatewayErrors come out."""

from __future__ import annotations

import contextlib
import json

from hypothesis import example, given
from hypothesis import strategies as st

from dragoman.canonical.collect import collect
from dragoman.canonical.errors import GatewayError, UpstreamError
from dragoman.canonical.request import Request
from dragoman.protocols.base import Protocol, Target
from tests.protocols.answer_strategies import splits
from tests.protocols.conformance import (
    ALL_NAMES,
    NAMES,
    PROFILE,
    REQUEST,
    answers,
    every_protocol,
    every_upstream,
    load,
    origin,
    stream_of,
)
from tests.protocols.mutations import damaged, spoiled
from tests.protocols.strategies import json_values, portable_requests, requests, texts

TARGET = Target(model="m", stream=False, version="2023-06-01")


def take_request(protocol: Protocol, body: bytes) -> None:
    """Read a client's body all the way; raises GatewayError at most."""
    with contextlib.suppress(GatewayError):
        parsed = protocol.parse_request(body, TARGET)
        protocol.repeat_request(parsed, PROFILE)
        request = protocol.decode_request(parsed)
        # What was accepted must be writable, for this protocol at the least.
        protocol.encode_request(request, PROFILE)


def take_stream(protocol: Protocol, chunks: list[bytes]) -> None:
    """Read an upstream's stream and write it to a client; raises GatewayError at most."""
    decoder = protocol.stream_decoder(origin(protocol))
    client = protocol if protocol.client_side else load("openai_chat")
    encoder = client.stream_encoder(REQUEST)
    with contextlib.suppress(GatewayError):
        for chunk in chunks:
            for event in decoder.feed(chunk):
                encoder.feed(event)
        collect(decoder.finish())
        encoder.finish()


@every_protocol
@given(value=json_values)
def test_any_json_as_a_request(name: str, value: object) -> None:
    take_request(load(name), json.dumps(value).encode())


@every_protocol
@given(body=st.binary(max_size=200))
@example(body=b"[" * 100_000)
@example(body=b'{"a":' * 100_000)
@example(body=b'{"model":"m","x":' + b"9" * 5_000 + b"}")
@example(body=b"\xef\xbb\xbf{}")
def test_any_bytes_as_a_request(name: str, body: bytes) -> None:
    take_request(load(name), body)


@every_protocol
@given(data=st.data(), request=requests() | portable_requests())
def test_spoiled_requests(name: str, data: st.DataObject, request: Request) -> None:
    protocol = load(name)
    body = protocol.encode_request(request, PROFILE).body
    take_request(protocol, data.draw(spoiled(body)))


@every_protocol
@given(data=st.data(), request=requests())
def test_spoiled_requests_reach_no_upstream_codec_raw(
    name: str, data: st.DataObject, request: Request
) -> None:
    """What one protocol accepts, every other can write or refuse."""
    protocol = load(name)
    body = data.draw(spoiled(protocol.encode_request(request, PROFILE).body))
    with contextlib.suppress(GatewayError):
        accepted = protocol.decode_request(protocol.parse_request(body, TARGET))
        for other in ALL_NAMES:
            with contextlib.suppress(GatewayError):
                load(other).encode_request(accepted, PROFILE)


@every_upstream
@given(value=json_values)
def test_any_json_as_an_answer(name: str, value: object) -> None:
    protocol = load(name)
    with contextlib.suppress(GatewayError):
        protocol.decode_response(json.dumps(value).encode(), origin(protocol))


@every_protocol
@given(data=st.data())
def test_spoiled_answers(name: str, data: st.DataObject) -> None:
    response = data.draw(answers(name))
    protocol = load(name)
    body = data.draw(spoiled(protocol.encode_response(response, REQUEST)))
    with contextlib.suppress(GatewayError):
        answer = protocol.decode_response(body, origin(protocol))
        protocol.encode_response(answer, REQUEST)


@every_upstream
@given(data=st.data(), body=st.binary(max_size=300))
def test_any_bytes_as_a_stream(name: str, data: st.DataObject, body: bytes) -> None:
    framed = data.draw(st.sampled_from([b"", b"data: ", b"event: x\ndata: "]))
    ending = data.draw(st.sampled_from([b"", b"\n", b"\n\n"]))
    take_stream(load(name), data.draw(splits(framed + body + ending)))


@every_upstream
@given(data=st.data(), value=json_values)
def test_any_json_as_a_stream(name: str, data: st.DataObject, value: object) -> None:
    body = json.dumps(value).encode()
    take_stream(load(name), [b"data: " + body + b"\n\n" + body + b"\n"])


@every_protocol
@given(data=st.data())
def test_spoiled_streams(name: str, data: st.DataObject) -> None:
    """One event spoiled, lost or doubled, or bytes damaged."""
    response = data.draw(answers(name))
    protocol = load(name)
    lines = stream_of(protocol, response).split(b"\n")
    at = data.draw(st.integers(0, len(lines) - 1))
    prefix, brace, body = lines[at].partition(b"{")
    match data.draw(st.sampled_from(["spoil", "lose", "double", "damage"])):
        case "spoil" if brace:
            lines[at] = prefix + data.draw(spoiled(brace + body))
        case "lose":
            del lines[at]
        case "double":
            lines.insert(at, lines[at])
        case _:
            lines[at] = data.draw(damaged(lines[at]))
    take_stream(protocol, data.draw(splits(b"\n".join(lines))))


@every_protocol
@given(data=st.data())
def test_spoiled_streams_through_the_relay(name: str, data: st.DataObject) -> None:
    response = data.draw(answers(name))
    protocol = load(name)
    body = protocol.encode_request(REQUEST, PROFILE).body
    parsed = protocol.parse_request(body, TARGET)
    relay = protocol.stream_relay(parsed, origin(protocol))
    wire = data.draw(damaged(stream_of(protocol, response)))
    with contextlib.suppress(GatewayError):
        for chunk in data.draw(splits(wire)):
            relay.feed(chunk)
        relay.finish()


HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "content-type", "x-request-id", "date"]),
    texts | st.sampled_from(["7", "-1", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT"]),
)


@every_upstream
@given(
    status=st.integers(100, 599),
    headers=HEADERS,
    body=st.binary(max_size=100) | json_values.map(lambda value: json.dumps(value).encode()),
)
@example(status=502, headers={}, body=b"<html><body>502 Bad Gateway</body></html>")
@example(status=500, headers={}, body=b'{"error":{"message":["x"],"code":{}}}')
@example(status=429, headers={"retry-after": "1e400"}, body=b'{"error":"\\ud800"}')
@example(status=400, headers={}, body=b'{"error":' * 2000)
def test_any_error_answer(name: str, status: int, headers: dict[str, str], body: bytes) -> None:
    error = load(name).decode_error(status, headers, body)
    assert isinstance(error, UpstreamError)
    assert 400 <= error.status <= 599
    assert len(error.message) < 700
    assert error.message.strip()
    assert not any(ord(character) < 32 and character != "\n" for character in error.message)
    assert error.retry_after is None or 0 <= error.retry_after < float("inf")
    # It can be passed on, to clients of any protocol.
    for other in NAMES:
        json.loads(load(other).encode_error(error, "req").body)
