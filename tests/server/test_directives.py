"""What a request says to the gateway itself."""

from __future__ import annotations

import json

import pytest

from dragoman.server.directives import own_token, take_provider


@pytest.mark.parametrize(
    ("sent", "left", "name"),
    [
        ('{"model": "m"}', '{"model": "m"}', ""),
        ('{"model": "m", "provider": "hf"}', '{"model":"m"}', "hf"),
        ('{"provider": " hf ", "a": 1.50, "é": [1 ,2]}', '{"a":1.50,"é":[1 ,2]}', "hf"),
        ('{"provider": ""}', "{}", ""),
        ('{"provider": null}', '{"provider": null}', ""),
        ('{"provider": {"order": ["x"]}}', '{"provider": {"order": ["x"]}}', ""),
        ('{"text": "\\"provider\\": \\"hf\\""}', '{"text": "\\"provider\\": \\"hf\\""}', ""),
        ('{"a": {"provider": "hf"}}', '{"a": {"provider": "hf"}}', ""),
        ('{"a": 1, "extra_body": {"provider": "hf", "b": 2.0}}', '{"a":1,"b":2.0}', "hf"),
        ('{"extra_body": {"google": {}}}', '{"extra_body": {"google": {}}}', ""),
        (
            '{"provider": "hf", "extra_body": {"google": {}}}',
            '{"extra_body":{"google": {}}}',
            "hf",
        ),
        ('{"provider": {"order": []}, "extra_body": {"provider": "hf"}}', "{}", "hf"),
        ('{"provider": "a", "extra_body": {"provider": "b"}}', "{}", "b"),
        ('["provider"]', '["provider"]', ""),
        ('{"provider": "hf"', '{"provider": "hf"', ""),
        ('"provider"', '"provider"', ""),
    ],
)
def test_the_provider_is_taken_out(sent: str, left: str, name: str) -> None:
    body, found = take_provider(sent.encode(), [])
    assert (body.decode(), found) == (left, name)


def test_a_body_without_it_is_not_touched() -> None:
    body = b'{ "model" : "m" }'
    assert take_provider(body, [])[0] is body


def test_the_header() -> None:
    headers = [(b"dragoman-provider", b" hug ")]
    assert take_provider(b"{}", headers) == (b"{}", "hug")
    assert take_provider(b'{"provider": "groq"}', headers) == (b"{}", "groq")
    assert take_provider(b'{"provider": {}}', headers) == (b'{"provider": {}}', "hug")


def test_hostile_bodies_are_left_to_their_protocol() -> None:
    deep = b'{"provider": "x", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert take_provider(deep, [])[0] == deep
    big = json.dumps({"provider": "x" * 100_000}).encode()
    assert take_provider(big, [])[1] == "x" * 100_000


@pytest.mark.row("S0-31")
@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, None),
        ({"authorization": "Bearer hf_caller"}, "hf_caller"),
        ({"authorization": "hf_caller"}, "hf_caller"),
        ({"x-hf-authorization": "bearer  hf_caller"}, "hf_caller"),
        (
            {"authorization": "Bearer hf_other", "x-hf-authorization": "Bearer hf_caller"},
            "hf_caller",
        ),
        (
            {"authorization": "Bearer sk-gw-key", "x-hf-authorization": "Bearer hf_caller"},
            "hf_caller",
        ),
        ({"authorization": "Bearer sk-gw-key"}, None),
        ({"authorization": "Basic hf_caller"}, None),
        ({"authorization": "Bearer hf_two words"}, None),
        ({"authorization": "Bearer hf_"}, None),
        ({"x-api-key": "hf_caller"}, None),
    ],
)
def test_the_clients_own_token(headers: dict[str, str], token: str | None) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    found = own_token(raw)
    assert (found.reveal() if found else None) == token
