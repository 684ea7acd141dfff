"""Service accounts as Google knows them, and its token endpoint's judgement of a signed assertion.

Written from RFC 7515, 7519 and 7523 and Google's page on server-to-server OAuth, on ``cryptography``
alone: it shares no code with what makes the assertions.
"""

from __future__ import annotations

import base64
import functools
import itertools
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
SKEW_SECONDS = 60


class Refused(Exception):
    """The token endpoint says no: ``error`` and ``error_description``."""


@functools.cache
def _key(number: int) -> rsa.RSAPrivateKey:
    """Making one takes a while, so tests share them."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Account:
    """A service account. ``project`` is where it was made; it may use ``projects``."""

    name: str
    number: int = 0
    project: str = ""
    projects: tuple[str, ...] = ()
    revoked: bool = False

    def __post_init__(self) -> None:
        self.project = self.project or f"{self.name}-project"
        self.projects = (self.project, *self.projects)

    @property
    def email(self) -> str:
        """Its name with Google."""
        return f"{self.name}@{self.project}.iam.gserviceaccount.com"

    @property
    def key_id(self) -> str:
        """The id of its one key."""
        return f"{self.name}-key-id"

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        """What its signatures are checked with."""
        return _key(self.number).public_key()

    @property
    def private_key(self) -> str:
        """In PEM, as it stands in the JSON."""
        return (
            _key(self.number)
            .private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            .decode()
        )

    def document(self, token_uri: str) -> dict[str, Any]:
        """The JSON that Google gives an operator."""
        return {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": self.key_id,
            "private_key": self.private_key,
            "client_email": self.email,
            "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
        }

    def json(self, token_uri: str) -> str:
        """``document`` as text with line breaks, as Google's console saves it."""
        return json.dumps(self.document(token_uri), indent=2)


@dataclass
class Tokens:
    """The token endpoint: who has an account, and which tokens were given."""

    audience: str
    accounts: dict[str, Account] = field(default_factory=dict)
    lifetime: float = 3600.0
    exchanges: list[str] = field(default_factory=list)
    _given: dict[str, tuple[Account, float]] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def add(self, *accounts: Account) -> None:
        """Let these accounts have tokens."""
        self.accounts |= {account.email: account for account in accounts}

    def exchange(self, content_type: str, body: bytes) -> dict[str, Any]:
        """The answer to a request for a token. Raises Refused."""
        if content_type.partition(";")[0] != "application/x-www-form-urlencoded":
            raise Refused("invalid_request", "Not a form.")
        form = parse_qs(body.decode(), strict_parsing=True)
        if form.keys() != {"grant_type", "assertion"} or form["grant_type"] != [GRANT]:
            raise Refused("unsupported_grant_type", f"Invalid grant_type: {sorted(form)}")
        account = self._verified(form["assertion"][0])
        self.exchanges.append(account.name)
        token = f"ya29.{account.name}-{next(self._numbers)}"
        self._given[token] = (account, time.time() + self.lifetime)
        return {"access_token": token, "expires_in": int(self.lifetime), "token_type": "Bearer"}

    def whose(self, authorization: str) -> Account | None:
        """The account of a bearer token that is good."""
        scheme, _, token = authorization.partition(" ")
        account, until = self._given.get(token, (None, 0.0))
        good = scheme == "Bearer" and account is not None and not account.revoked
        return account if good and time.time() < until else None

    def forget(self) -> None:
        """No token given so far is good any more."""
        self._given.clear()

    def _verified(self, assertion: str) -> Account:
        try:
            head, payload, signature = assertion.split(".")
            header, claims = json.loads(_decoded(head)), json.loads(_decoded(payload))
        except ValueError:
            raise Refused("invalid_request", "Malformed JWT.") from None
        account = self.accounts.get(claims.get("iss"))
        if account is None or account.revoked:
            raise Refused("invalid_grant", "Invalid grant: account not found")
        if header != {"typ": "JWT", "alg": "RS256", "kid": account.key_id}:
            raise Refused("invalid_grant", f"Invalid JWT header: {header}")
        try:
            account.public_key.verify(
                _decoded(signature),
                f"{head}.{payload}".encode(),
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
        except InvalidSignature:
            raise Refused("invalid_grant", "Invalid JWT Signature.") from None
        if claims.keys() != {"iss", "scope", "aud", "iat", "exp"}:
            raise Refused("invalid_grant", f"Invalid claims: {sorted(claims)}")
        if claims["aud"] != self.audience:
            raise Refused("invalid_grant", "Invalid JWT: Failed audience check.")
        if claims["scope"] != SCOPE:
            raise Refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        now, issued, expires = time.time(), claims["iat"], claims["exp"]
        if not (isinstance(issued, int) and isinstance(expires, int)):
            raise Refused("invalid_grant", "Invalid JWT: times must be whole numbers.")
        if issued > now + SKEW_SECONDS or expires < now or not 0 < expires - issued <= 3600:
            raise Refused(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
                "timeframe.",
            )
        return account


def _decoded(segment: str) -> bytes:
    if "=" in segment:
        raise ValueError("padding is left out in a JWT")
    return base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
