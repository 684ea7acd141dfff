"""What an Idempotency-Key stands for, and what is kept of the answer it once had.

The contract is Stripe's (docs.stripe.com/api/idempotent_requests) and that of the IETF's draft
(draft-ietf-httpapi-idempotency-key-header): the same key and the same request get the same answer, the
same key and another request are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from dragoman.canonical.errors import InvalidRequest

HEADER = "Idempotency-Key"
MAX_LETTERS = 255


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """An answer as it was sent; ``headers`` are those worth sending again."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def size(self) -> int:
        """The bytes it takes, about."""
        return len(self.body) + sum(len(name) + len(text) for name, text in self.headers.items())


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A request with an Idempotency-Key. ``scope`` is what the key is unique in, ``fingerprint`` what
    makes two requests the same (SHA-256 both); ``at`` is Unix time."""

    scope: bytes
    fingerprint: bytes
    request_id: str
    at: float


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """The request that has claimed a key before. ``answered`` is None if its answer cannot be sent
    again: ``is_open`` if it never was noted how it ended, else because it was too much to keep."""

    fingerprint: bytes
    request_id: str
    is_open: bool = False
    answered: Answered | None = None


def key_of(given: Sequence[str]) -> str:
    """The key that the header's values give. Raises InvalidRequest unless it is one value of 1 to 255
    visible ASCII characters."""
    key = given[0].strip() if given else ""
    if len(given) != 1 or not 0 < len(key) <= MAX_LETTERS:
        raise InvalidRequest(
            f"{HEADER}: give one value of 1 to {MAX_LETTERS} characters, a UUID for example.",
            param=HEADER,
        )
    if not all("!" <= letter <= "~" for letter in key):
        raise InvalidRequest(f"{HEADER}: only visible ASCII characters are allowed.", param=HEADER)
    return key


def scope_of(key_id: str, operation: str, key: str) -> bytes:
    """What the client's ``key`` is unique in: the virtual key and the operation."""
    return _digest(key_id.encode(), operation.encode(), key.encode())


def fingerprint_of(path: str, query: bytes, body: bytes) -> bytes:
    """What makes two requests the same."""
    return _digest(path.encode(), query, body)


def _digest(*parts: bytes) -> bytes:
    """SHA-256 over the parts and their lengths, so that none can be taken for a piece of another."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8))
        sha.update(part)
    return sha.digest()
