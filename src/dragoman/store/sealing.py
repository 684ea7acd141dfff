"""Secrets at rest: one secret key, from which everything else is derived by label.

The key comes from ``DRAGOMAN_SECRET_KEY`` or from ``secret.key`` in the data directory, made at the
first start. Whoever has the database without the key has no credential and cannot recognise a
virtual key.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dragoman.store.errors import SecretKeyError

ENVIRONMENT_VARIABLE = "DRAGOMAN_SECRET_KEY"
FILE_NAME = "secret.key"
NEW_FILE_NAME = "secret.key.new"
"""The key that a rotation brings into use; it stays if the rotation is cut off."""
KEY_CHECK = "secret_key_check"
"""The name under which a database keeps ``check_value``."""
_KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = b"\x01"
_MIN_PASSPHRASE = 16
# A passphrase can be guessed offline, so each guess must cost something (16 MiB, some 50 ms). The
# salt is fixed because the key must come out the same for every database that shares the phrase.
_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": _KEY_BYTES}
_SALT = b"dragoman secret key, format 1"


def derive(secret_key: bytes, label: str) -> bytes:
    """A key of its own for each purpose; one cannot be had from another."""
    return hmac.digest(secret_key, label.encode(), "sha256")


def check_value(secret_key: bytes) -> bytes:
    """What tells a database's secret key from others, and nothing about it."""
    return derive(secret_key, "check")


class SealedBox:
    """AES-256-GCM. ``place`` binds a sealed value to its row, so that one cannot be moved."""

    __slots__ = ("_cipher",)

    def __init__(self, secret_key: bytes) -> None:
        self._cipher = AESGCM(derive(secret_key, "secrets at rest"))

    def seal(self, plain: bytes, place: str) -> bytes:
        """Encrypt under a fresh nonce."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, plain, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """Decrypt. Raises SecretKeyError for another key, another place or a damaged value."""
        nonce = sealed[1 : 1 + _NONCE_BYTES]
        try:
            if sealed[:1] != _FORMAT:
                raise InvalidTag
            return self._cipher.decrypt(nonce, sealed[1 + _NONCE_BYTES :], place.encode())
        except (InvalidTag, ValueError):
            raise SecretKeyError(
                f"A sealed value ({place}) cannot be read: it is damaged, or was sealed with "
                "another secret key."
            ) from None


def load_secret_key(from_environment: str | None, data_dir: Path, *, may_create: bool) -> bytes:
    """The secret key's 32 bytes.

    ``may_create`` is false once a database exists: a new key could not read it. Raises
    SecretKeyError.
    """
    if from_environment:
        return secret_key_of(from_environment)
    path = data_dir / FILE_NAME
    if not path.exists():
        if not may_create:
            raise SecretKeyError(
                f"The secret key of this database is missing. Put {FILE_NAME} back into {data_dir}, "
                f"or set {ENVIRONMENT_VARIABLE} as it was when the database was made."
            )
        _create(path)
    return _read(path)


def make_secret_key() -> bytes:
    """A new one."""
    return secrets.token_bytes(_KEY_BYTES)


def stage_secret_key(data_dir: Path, key: bytes) -> None:
    """Write a key beside the one in use, for a database that is about to be given it. Raises
    SecretKeyError."""
    path = data_dir / NEW_FILE_NAME
    try:
        os.replace(_write_aside(path, key), path)
        _sync_folder(data_dir)
    except OSError as error:
        raise SecretKeyError(
            f"{path} cannot be written: {error.strerror}. Nothing was changed."
        ) from None


def staged_secret_key(data_dir: Path) -> bytes | None:
    """The key of a rotation that is under way or was cut off; None if there is none."""
    path = data_dir / NEW_FILE_NAME
    return _read(path) if path.exists() else None


def adopt_staged_key(data_dir: Path) -> None:
    """Put the staged key in the place of the other, for a database that has it now. Raises
    SecretKeyError."""
    path = data_dir / FILE_NAME
    try:
        os.replace(data_dir / NEW_FILE_NAME, path)
        _sync_folder(data_dir)
    except OSError as error:
        raise SecretKeyError(
            f"{path} cannot be replaced: {error.strerror}. Rename {NEW_FILE_NAME} to {FILE_NAME}: "
            "the database has the new key."
        ) from None


def secret_key_of(text: str) -> bytes:
    """The secret key that a variable's text means: 32 bytes in base64, or a passphrase. Raises
    SecretKeyError."""
    with contextlib.suppress(binascii.Error, ValueError):
        key = base64.b64decode(text.strip(), validate=True)
        if len(key) == _KEY_BYTES:
            return key
    if len(text) < _MIN_PASSPHRASE:
        raise SecretKeyError(
            f"{ENVIRONMENT_VARIABLE} is too short: give {_KEY_BYTES} bytes in base64 "
            f"(openssl rand -base64 {_KEY_BYTES}) or at least {_MIN_PASSPHRASE} characters."
        )
    return hashlib.scrypt(text.encode(), salt=_SALT, **_SCRYPT)


def _create(path: Path) -> None:
    """Write a new key so that of two processes starting at once both end up with the same whole
    file: write aside, then link, which fails if the other was first."""
    aside = _write_aside(path, make_secret_key())
    try:
        os.link(aside, path)
    except FileExistsError:
        pass
    except OSError:  # some file systems (FAT, some network volumes) know no links
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _write_aside(path: Path, key: bytes) -> Path:
    """A file beside ``path`` that holds the key, safe on the disk and for its owner's eyes only."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(key) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return aside


def _read(path: Path) -> bytes:
    try:
        key = base64.b64decode(path.read_bytes(), validate=False)
    except (OSError, binascii.Error) as error:
        raise SecretKeyError(f"{path} cannot be read: {error}.") from None
    if len(key) != _KEY_BYTES:
        raise SecretKeyError(f"{path} does not hold a secret key ({_KEY_BYTES} bytes in base64).")
    return key


def _sync_folder(folder: Path) -> None:
    """Have a rename survive a power failure."""
    if os.name == "nt":  # where a folder cannot be opened, and renames are journalled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
