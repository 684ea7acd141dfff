"""Secrets at rest."""

from __future__ import annotations

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dragoman.store.errors import SecretKeyError
from dragoman.store.sealing import FILE_NAME, SealedBox, derive, load_secret_key

KEY = bytes(range(32))


def test_what_is_sealed_comes_back() -> None:
    box = SealedBox(KEY)
    sealed = box.seal(b"sk-canary", "channels/1")
    assert b"sk-canary" not in sealed
    assert box.open(sealed, "channels/1") == b"sk-canary"


def test_the_same_secret_never_seals_the_same_twice() -> None:
    box = SealedBox(KEY)
    assert box.seal(b"x", "a") != box.seal(b"x", "a")


def test_another_key_another_place_or_damage_is_refused() -> None:
    sealed = SealedBox(KEY).seal(b"sk-canary", "channels/1")
    damaged = sealed[:-1] + bytes([sealed[-1] ^ 1])
    cases = [
        (SealedBox(b"o" * 32), sealed, "channels/1"),
        (SealedBox(KEY), sealed, "channels/2"),
        (SealedBox(KEY), damaged, "channels/1"),
        (SealedBox(KEY), b"\x02" + sealed[1:], "channels/1"),
        (SealedBox(KEY), sealed[:20], "channels/1"),
        (SealedBox(KEY), b"", "channels/1"),
    ]
    for box, value, place in cases:
        with pytest.raises(SecretKeyError) as caught:
            box.open(value, place)
        assert "canary" not in str(caught.value)


def test_each_purpose_has_a_key_of_its_own() -> None:
    assert derive(KEY, "virtual keys") != derive(KEY, "secrets at rest") != KEY


def test_a_key_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    first = load_secret_key(None, tmp_path, may_create=True)
    assert len(first) == 32
    assert load_secret_key(None, tmp_path, may_create=False) == first
    assert load_secret_key("", tmp_path, may_create=True) == first
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_starts_at_the_same_moment_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_secret_key(None, tmp_path, may_create=True), range(32)))
    assert len(keys) == 1


def test_a_missing_key_is_not_replaced_beside_a_database(tmp_path: Path) -> None:
    with pytest.raises(SecretKeyError, match=r"Put secret\.key back"):
        load_secret_key(None, tmp_path, may_create=False)
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize("content", [b"", b"too short", b"\xff\xfe", base64.b64encode(b"x" * 31)])
def test_a_spoilt_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(SecretKeyError, match=FILE_NAME):
        load_secret_key(None, tmp_path, may_create=False)


def test_the_environment_gives_a_key_or_a_passphrase(tmp_path: Path) -> None:
    key = os.urandom(32)
    assert load_secret_key(base64.b64encode(key).decode(), tmp_path, may_create=True) == key
    phrase = load_secret_key("correct horse battery", tmp_path, may_create=True)
    assert len(phrase) == 32
    assert phrase == load_secret_key("correct horse battery", tmp_path, may_create=False)
    assert phrase != load_secret_key("correct horse batterz", tmp_path, may_create=False)
    assert not list(tmp_path.iterdir())


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretKeyError, match="too short") as caught:
        load_secret_key("hunter2hunter2", tmp_path, may_create=True)
    assert "hunter2" not in str(caught.value)
