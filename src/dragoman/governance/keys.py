"""Virtual keys: making them, recognising them, finding them in a request.

A key is ``sk-gw-`` and 48 letters or digits (285 bits). It is shown once; what is kept is its
HMAC-SHA256 under the server's pepper, so a stolen table opens nothing and cannot be searched for
guesses. Lookup is by the whole digest, never by a part of the key: a cache keyed by the first
characters of a token once let callers in as each other (CVE-2026-35030).
"""

from __future__ import annotations

import hmac
import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from dragoman.canonical.errors import Unauthorized
from dragoman.governance.principal import Principal
from dragoman.governance.users import DEFAULT_USER_ID, NO_BUDGET, NO_LIMITS, Budget, Limits, User

KEY_PREFIX = "sk-gw-"
_ALPHABET = string.ascii_letters + string.digits
_RANDOM_CHARACTERS = 48
_HINT_LENGTH = 10
MIN_LENGTH = 8
MAX_LENGTH = 512

_KNOWN_DEFAULTS = frozenset(
    {"123456", "12345678", "123456789", "1234567890", "sk-1234", "sk-123456", "password", "letmein"}
)
_PLACEHOLDER_STARTS = ("your-", "your_", "your ", "<", "changeme", "change-me", "change_me")
_FOREIGN_STARTS = ("sk-ant-", "sk-proj-", "sk-or-", "AIza", "hf_", "gsk_", "xai-")


class VirtualKey(msgspec.Struct, kw_only=True, frozen=True):
    """What is kept of a key. Times are seconds since 1970; ``hint`` is its first ten characters.

    ``enabled`` is a switch, ``revoked_at`` is final. Empty restrictions allow everything. An
    ``admin`` key opens the administration and nothing else. ``user_id`` says whose it is; the key's own
    ``limits`` and ``budget`` count beside its user's. ``metadata`` is the operator's.
    """

    id: str
    name: str
    digest: bytes
    hint: str = ""
    allowed_channels: tuple[str, ...] = ()
    allowed_models: tuple[str, ...] = ()
    strict: bool = False
    admin: bool = False
    enabled: bool = True
    user_id: int = DEFAULT_USER_ID
    limits: Limits = NO_LIMITS
    budget: Budget = NO_BUDGET
    metadata: Mapping[str, Any] = {}
    created_at: float = 0.0
    last_used_at: float | None = None
    expires_at: float | None = None
    revoked_at: float | None = None

    def refusal(self, now: float) -> str | None:
        """Why the key may not be used at ``now``; None if it may."""
        if self.revoked_at is not None:
            return "This API key was revoked."
        if not self.enabled:
            return "This API key is disabled."
        if self.expires_at is not None and now >= self.expires_at:
            return "This API key has expired."
        return None


def generate(choice: Callable[[str], str]) -> str:
    """A new key; ``choice`` picks one character of a text unpredictably (``secrets.choice``)."""
    return KEY_PREFIX + "".join(choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))


def digest(key: str, pepper: bytes) -> bytes:
    """The key's HMAC-SHA256, by which it is kept and found."""
    return hmac.digest(pepper, key.encode(), "sha256")


def hint(key: str) -> str:
    """Enough of a key to recognise it by; a short hand-made one shows only its start."""
    return key[: min(_HINT_LENGTH, len(key) // 3)]


def weakness(key: str) -> str | None:
    """Why ``key`` must not guard a gateway, as the end of a sentence; None if it may."""
    if key.strip("*") == "" or key.endswith("..."):
        return "is a placeholder, not a key"
    folded = key.casefold()
    if folded in _KNOWN_DEFAULTS or folded.startswith(_PLACEHOLDER_STARTS):
        return "is an example that everybody knows"
    if len(key) < MIN_LENGTH:
        return f"is shorter than {MIN_LENGTH} characters"
    if len(key) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} characters"
    if not _well_formed(key):
        return "holds a space, a control character or a letter outside ASCII"
    if len(set(key)) < 4:
        return "repeats the same few characters"
    return None


class KeyRing:
    """An immutable snapshot of every key, rebuilt when one changes."""

    __slots__ = ("_disabled", "_entries", "_keyed")

    def __init__(
        self, keys: Iterable[VirtualKey], pepper: bytes, users: Iterable[User] = ()
    ) -> None:
        """Of two entries for the same key the first counts. ``users`` are there for those of them that
        are disabled."""
        self._disabled = frozenset(user.id for user in users if not user.enabled)
        # Copying it is quicker than digest(), which also lets other threads have the interpreter.
        self._keyed = hmac.new(pepper, digestmod="sha256")
        self._entries: dict[bytes, tuple[VirtualKey, Principal]] = {}
        for key in keys:
            self._entries.setdefault(key.digest, (key, _principal(key)))

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def keys(self) -> tuple[VirtualKey, ...]:
        """Every key."""
        return tuple(key for key, _ in self._entries.values())

    def usable(self, now: float) -> int:
        """How many keys clients could use at ``now``; admin keys are not for them."""
        return sum(
            key.refusal(now) is None and not key.admin and not self.is_disabled(key.user_id)
            for key, _ in self._entries.values()
        )

    def authenticate(self, key: str | None, now: float) -> Principal:
        """Who ``key`` acts for. Raises Unauthorized, which never repeats the key."""
        if not key:
            raise Unauthorized(
                "No API key was sent. Put one of this gateway's keys into the header "
                "'Authorization: Bearer …', 'x-api-key' or 'x-goog-api-key'.",
                code="missing_api_key",
            )
        if not _well_formed(key):
            raise Unauthorized("The API key is malformed: it holds a space or a strange character.")
        principal = self.recall(self.digest_of(key), now)
        if principal is None:
            raise Unauthorized(_unknown(key))
        return principal

    def recall(self, wanted: bytes, now: float) -> Principal | None:
        """Who the key with that digest acts for, None if there is none. Raises Unauthorized if the
        key may not be used at ``now``."""
        entry = self._entries.get(wanted)
        if entry is None or not hmac.compare_digest(entry[0].digest, wanted):
            return None
        known, principal = entry
        if (refusal := known.refusal(now)) is not None:
            raise Unauthorized(refusal)
        if self.is_disabled(known.user_id):
            raise Unauthorized("The user whom this API key belongs to is disabled.")
        return principal

    def is_disabled(self, user_id: int) -> bool:
        """Whether the user's keys are refused, whatever they say themselves."""
        return user_id in self._disabled

    def could_be_new(self, key: str) -> bool:
        """Whether ``key`` may be one that was made since this ring was: it is none of these."""
        return _well_formed(key) and self.digest_of(key) not in self._entries

    def digest_of(self, key: str) -> bytes:
        """The digest by which ``recall`` knows ``key`` again."""
        keyed = self._keyed.copy()
        keyed.update(key.encode())
        return keyed.digest()


def find_key(headers: Iterable[tuple[bytes, bytes]], query: bytes = b"") -> str | None:
    """The key a request carries: ``Authorization`` (with ``Bearer`` or bare), ``x-api-key``,
    ``x-goog-api-key``, ``?key=``; the first of these that is not empty wins.

    ``headers`` are an ASGI scope's: raw pairs with lower-case names. ``query`` is the raw query.
    """
    api_key = google_key = b""
    for name, value in headers:
        if name == b"authorization":
            if key := _credentials(value):
                return key.decode("latin-1")
        elif name == b"x-api-key":
            api_key = api_key or value.strip()
        elif name == b"x-goog-api-key":
            google_key = google_key or value.strip()
    if key := api_key or google_key:
        return key.decode("latin-1")
    return _query_key(query) if b"key=" in query else None


def _credentials(authorization: bytes) -> bytes:
    """The key in an Authorization header; empty for another scheme (``Basic …``)."""
    scheme, _, rest = authorization.strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return rest.strip()
    return b"" if rest else scheme


def _query_key(query: bytes) -> str | None:
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        if name == b"key" and value:
            return unquote_to_bytes(value.replace(b"+", b" ")).decode("latin-1")
    return None


def _well_formed(key: str) -> bool:
    return len(key) <= MAX_LENGTH and key.isascii() and key.isprintable() and " " not in key


def _unknown(key: str) -> str:
    if key.startswith(_FOREIGN_STARTS):
        return (
            "This looks like a provider's own key. The gateway wants one of its own keys "
            f"({KEY_PREFIX}…); it keeps the provider's to itself."
        )
    return "The API key is unknown to this gateway."


def _principal(key: VirtualKey) -> Principal:
    return Principal(
        key_id=key.id,
        name=key.name,
        allowed_channels=key.allowed_channels,
        allowed_models=key.allowed_models,
        strict=key.strict,
        admin=key.admin,
        user_id=key.user_id,
    )
