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
        return _from_text(from_environment)
    path = data_dir / FILE_NAME
    if not path.exists():
        if not may_create:
            raise SecretKeyError(
                f"The secret key of this database is missing. Put {FILE_NAME} back into {data_dir}, "
                f"or set {ENVIRONMENT_VARIABLE} as it was when the database was made."
            )
        _create(path)
    try:
        key = base64.b64decode(path.read_bytes(), validate=False)
    except (OSError, binascii.Error) as error:
        raise SecretKeyError(f"{path} cannot be read: {error}.") from None
    if len(key) != _KEY_BYTES:
        raise SecretKeyError(f"{path} does not hold a secret key ({_KEY_BYTES} bytes in base64).")
    return key


def _from_text(text: str) -> bytes:
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
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(_KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(aside, path)
    except FileExistsError:
        pass
    except OSError:  # some file systems (FAT, some network volumes) know no links
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
