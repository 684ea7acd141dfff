"""Virtual keys: making, recognising, finding."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.errors import Unauthorized
from dragoman.governance.keys import (
    KeyRing,
    VirtualKey,
    digest,
    find_key,
    generate,
    hint,
    weakness,
)
from dragoman.governance.users import User

PEPPER = b"p" * 32
KEY = "sk-gw-" + "k3Y0" * 12
NOW = 1_000_000.0


def kept(text: str = KEY, pepper: bytes = PEPPER, **fields: object) -> VirtualKey:
    values = {"id": "1", "name": "laptop", "digest": digest(text, pepper), **fields}
    return VirtualKey(**values)


def refusal(ring: KeyRing, key: str | None, now: float = NOW) -> Unauthorized:
    with pytest.raises(Unauthorized) as caught:
        ring.authenticate(key, now)
    return caught.value


@pytest.mark.row("S2-61")
def test_a_generated_key_has_the_documented_form() -> None:
    choice = random.Random(7).choice
    keys = {generate(choice) for _ in range(50)}
    assert len(keys) == 50
    assert all(re.fullmatch(r"sk-gw-[A-Za-z0-9]{48}", key) for key in keys)


def test_only_a_digest_is_kept() -> None:
    key = kept(hint=hint(KEY))
    assert KEY not in repr(key)
    assert key.hint == KEY[:10]
    assert len(key.digest) == 32
    assert digest(KEY, PEPPER) != digest(KEY, b"q" * 32)


def test_the_hint_of_a_short_key_gives_little_away() -> None:
    assert hint("12345678") == "12"


@pytest.mark.row("S2-62", "S2-63")
def test_a_known_key_brings_its_restrictions() -> None:
    ring = KeyRing(
        [kept(allowed_channels=("OpenAI", "7"), allowed_models=("gpt-4o",), strict=True)], PEPPER
    )
    principal = ring.authenticate(KEY, NOW)
    assert principal.name == "laptop"
    assert principal.strict
    assert principal.may_use_channel(7, "other")
    assert not principal.may_use_channel(8, "other")
    assert principal.may_use_model("GPT-4o")
    assert not principal.may_use_model("gpt-4o-mini")


def test_each_refusal_says_what_is_wrong_and_never_the_key() -> None:
    strange = "sk-gw-kéy-with-an-accent"
    cases: list[tuple[KeyRing, str | None, str]] = [
        (KeyRing([], PEPPER), None, "No API key"),
        (KeyRing([], PEPPER), "", "No API key"),
        (KeyRing([], PEPPER), strange, "malformed"),
        (KeyRing([], PEPPER), "two words", "malformed"),
        (KeyRing([], PEPPER), "x" * 10_000, "malformed"),
        (KeyRing([], PEPPER), KEY, "unknown"),
        (KeyRing([kept()], b"q" * 32), KEY, "unknown"),
        (KeyRing([], PEPPER), "sk-ant-api03-abcdefgh", "provider's own key"),
        (KeyRing([kept(enabled=False)], PEPPER), KEY, "disabled"),
        (KeyRing([kept(expires_at=NOW)], PEPPER), KEY, "expired"),
        (KeyRing([kept(revoked_at=NOW - 1)], PEPPER), KEY, "revoked"),
    ]
    for ring, key, word in cases:
        error = refusal(ring, key)
        assert word in error.message
        assert error.status == 401
        if key:
            assert key not in error.message


def test_a_key_is_good_until_the_moment_it_expires() -> None:
    ring = KeyRing([kept(expires_at=NOW)], PEPPER)
    assert ring.authenticate(KEY, NOW - 0.001).key_id == "1"
    assert ring.usable(NOW - 0.001) == 1
    assert ring.usable(NOW) == 0


def test_keys_that_share_a_beginning_are_not_confused() -> None:
    other = KEY[:-1] + "z"
    ring = KeyRing([kept(), kept(other, id="2", name="desktop")], PEPPER)
    assert ring.authenticate(other, NOW).name == "desktop"
    assert ring.authenticate(KEY, NOW).name == "laptop"
    assert "unknown" in refusal(ring, KEY[:-1] + "y").message


def test_of_two_entries_for_one_key_the_first_counts() -> None:
    ring = KeyRing([kept(id="file-1"), kept(id="2", enabled=False)], PEPPER)
    assert ring.authenticate(KEY, NOW).key_id == "file-1"
    assert len(ring) == 1


@given(st.text(max_size=80))
def test_no_other_text_is_ever_accepted(text: str) -> None:
    ring = KeyRing([kept()], PEPPER)
    if text != KEY:
        refusal(ring, text)


BEARER = (b"authorization", b"Bearer one")
BARE = (b"authorization", b"sk-bare")
X_API_KEY = (b"x-api-key", b"two")
GOOGLE = (b"x-goog-api-key", b"three")


@pytest.mark.row("S2-66", "S2-67", "S2-68", "S3-7")
@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ([BEARER], b"", "one"),
        ([(b"authorization", b"bearer   one ")], b"", "one"),
        ([BARE], b"", "sk-bare"),
        ([X_API_KEY], b"", "two"),
        ([GOOGLE], b"", "three"),
        ([], b"key=four", "four"),
        ([], b"alt=sse&key=a%2Bb%20c+d", "a+b c d"),
        ([], b"monkey=x&key=", None),
        ([], b"monkey=x", None),
        ([GOOGLE, X_API_KEY, BEARER], b"key=four", "one"),
        ([GOOGLE, X_API_KEY], b"key=four", "two"),
        ([GOOGLE], b"key=four", "three"),
        ([(b"authorization", b"Basic dXNlcjpwYXNz"), X_API_KEY], b"", "two"),
        ([(b"authorization", b"Bearer "), X_API_KEY], b"", "two"),
        ([(b"authorization", b""), (b"x-api-key", b" "), GOOGLE], b"", "three"),
        ([(b"host", b"x")], b"", None),
        ([(b"x-api-key", b"first"), (b"x-api-key", b"second")], b"", "first"),
    ],
)
def test_where_a_key_is_found(
    headers: list[tuple[bytes, bytes]], query: bytes, expected: str | None
) -> None:
    assert find_key(headers, query) == expected


@given(st.lists(st.tuples(st.sampled_from([b"authorization", b"x-api-key"]), st.binary())))
def test_hostile_headers_never_raise(headers: list[tuple[bytes, bytes]]) -> None:
    key = find_key(headers, b"key=%ff%zz")
    refusal(KeyRing([], PEPPER), key)


@pytest.mark.row("S1-5")
@pytest.mark.parametrize(
    "key",
    [
        "123456",
        "sk-1234",
        "changeme",
        "changeme-please",
        "your-api-key",
        "your_secure_api_key_here",
        "sk-gw-...",
        "***",
        "<your key>",
        "tiny7",
        "aaaaaaaaaaaa",
        "with space",
        "x" * 600,
        "tab\tinside-it",
        "ünicode-key-here",
    ],
)
def test_keys_that_everybody_knows_guard_nothing(key: str) -> None:
    reason = weakness(key)
    assert reason is not None
    assert key not in reason


@pytest.mark.parametrize("key", [KEY, "hunter2-but-longer", "a1b2c3d4"])
def test_keys_of_the_operators_own_are_accepted(key: str) -> None:
    assert weakness(key) is None


def test_a_disabled_user_s_keys_are_refused_whatever_they_say() -> None:
    users = [User(id=3, name="bob", enabled=False), User(id=4, name="eve")]
    other = KEY[:-1] + "z"
    keys = [kept(user_id=3), kept(other, id="2", name="desktop", user_id=4)]
    ring = KeyRing(keys, PEPPER, users)
    assert "user" in refusal(ring, KEY).message
    assert ring.authenticate(other, NOW).user_id == 4
    assert ring.usable(NOW) == 1
    assert [ring.is_disabled(user_id) for user_id in (3, 4, 5)] == [True, False, False]
    assert KeyRing(keys, PEPPER).usable(NOW) == 2
