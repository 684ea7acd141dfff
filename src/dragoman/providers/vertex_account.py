"""Google service accounts: reading their JSON, and having a token for one.

Sources: https://developers.google.com/identity/protocols/oauth2/service-account (the JWT's claims and
the exchange), RFC 7523 (the grant), RFC 6749 section 5 (the answers).
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import json
import re
from collections.abc import Generator
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from dragoman.canonical.errors import (
    GatewayError,
    UpstreamBroken,
    UpstreamRefusedCredential,
    from_upstream_status,
)
from dragoman.canonical.secret import Secret
from dragoman.providers.opening import Lock, Memory, Step
from dragoman.wire.http import HttpReply, HttpRequest

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
JWT_SECONDS = 3600
RENEW_SECONDS = 300
"""A token is renewed so long before its end: a request may be under way for a while."""
_REFUSAL_SECONDS = 10.0
"""Those who waited for a token that was refused do not ask for it one by one."""
_LONGEST_TOKEN = 16_384

_WORD = re.compile(r"[a-z_]{1,40}")
_REASONS = {
    "invalid_grant": "the account is deleted or disabled, its key revoked, or a clock is wrong",
    "invalid_client": "no such account",
    "unauthorized_client": "the account may not ask for a token",
    "invalid_scope": "the account may not have a token for Google Cloud",
    "access_denied": "Google denies it",
}


class AccountError(ValueError):
    """The text is no usable service account; the message says why and holds nothing of it."""


class ServiceAccount(msgspec.Struct, kw_only=True, frozen=True):
    """What is needed of a service account's JSON. ``digest`` stands for the whole of it."""

    project: str
    email: str
    key_id: str
    private_key: Secret
    token_uri: str
    digest: str


def is_account(credential: Secret) -> bool:
    """Whether a credential is a JSON object rather than a key."""
    return credential.reveal().lstrip().startswith("{")


@functools.lru_cache(maxsize=256)
def read_account(credential: Secret) -> ServiceAccount:
    """The account in a credential's JSON. Raises AccountError."""
    text = credential.reveal()
    try:
        # Not strict: a variable's value may hold the key with real line breaks in it.
        fields = json.JSONDecoder(strict=False).decode(text.strip())
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise AccountError(f"is not valid JSON: {error.msg} at {place}") from None
    except RecursionError:
        raise AccountError("is nested too deeply") from None
    if not isinstance(fields, dict):
        raise AccountError("is no JSON object")
    kind = fields.get("type")
    if kind != "service_account":
        said = f", but {kind}" if isinstance(kind, str) and _WORD.fullmatch(kind) else ""
        raise AccountError(f"is no service account{said}: its 'type' must be service_account")
    return ServiceAccount(
        project=_text(fields, "project_id", required=False),
        email=_text(fields, "client_email"),
        key_id=_text(fields, "private_key_id"),
        private_key=Secret(_text(fields, "private_key")),
        token_uri=_token_uri(_text(fields, "token_uri", required=False) or TOKEN_URI),
        digest=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
    )


def check_private_key(account: ServiceAccount) -> None:
    """Raises AccountError if the private key is none."""
    _signer(account)


def access_token(
    account: ServiceAccount, now: float, memory: Memory
) -> Generator[Step, HttpReply, tuple[Secret, bool]]:
    """(a token, whether it was in ``memory`` already). One request at a time fetches it. Raises
    GatewayError; ``now`` is Unix time."""
    name = token_name(account)
    token = memory.get(name, now)
    if token is not None:
        return token, True
    yield Lock(name)
    token = memory.get(name, now)
    if token is not None:
        return token, True
    refused = memory.get(f"{name} refused", now)
    if refused is not None:
        raise UpstreamRefusedCredential(refused, upstream_status=401)
    try:
        request = token_request(account, now)
    except AccountError as error:
        message = f"The service account cannot be used: it {error}."
        raise UpstreamRefusedCredential(message, upstream_status=401) from None
    reply = yield request
    if reply.status != 200:
        problem = _refusal(reply)
        if isinstance(problem, UpstreamRefusedCredential):
            memory.put(f"{name} refused", problem.message, until=now + _REFUSAL_SECONDS)
        raise problem
    token, seconds = _granted(reply.body)
    memory.put(name, token, until=now + max(seconds - RENEW_SECONDS, seconds / 2))
    return token, False


def token_name(account: ServiceAccount) -> str:
    """Under which name the account's token is remembered."""
    return f"vertex token {account.digest}"


def token_request(account: ServiceAccount, now: float) -> HttpRequest:
    """The exchange of a signed assertion for a token. Raises AccountError."""
    from google.auth import jwt  # noqa: PLC0415 - 20 ms, for those who use service accounts

    issued = int(now)
    claims = {
        "iss": account.email,
        "scope": SCOPE,
        "aud": account.token_uri,
        "iat": issued,
        "exp": issued + JWT_SECONDS,
    }
    assertion = jwt.encode(_signer(account), claims)  # type: ignore[no-untyped-call]
    return HttpRequest(
        method="POST",
        url=account.token_uri,
        headers={
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        },
        body=urlencode({"grant_type": GRANT, "assertion": assertion.decode("ascii")}).encode(
            "ascii"
        ),
    )


def _signer(account: ServiceAccount) -> Any:
    from google.auth import crypt  # noqa: PLC0415 - 20 ms, for those who use service accounts

    try:
        pem = account.private_key.reveal()
        return crypt.RSASigner.from_string(pem, account.key_id)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):  # nothing of the reason is shown: it may quote the key
        raise AccountError("has a 'private_key' that is no RSA key in PEM form") from None


def _text(fields: dict[str, Any], name: str, *, required: bool = True) -> str:
    value = fields.get(name)
    if isinstance(value, str) and value.strip():
        return value.strip()
    if required or value not in (None, ""):
        raise AccountError(f"has no '{name}'" if value in (None, "") else f"has a bad '{name}'")
    return ""


def _token_uri(uri: str) -> str:
    """Whoever receives the assertion can have a token for it: never in clear text to another
    machine."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        parts.port  # noqa: B018 - raises if it is no number
    except ValueError:
        raise AccountError("has a 'token_uri' that is no URL") from None
    secure = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    if not secure or not host or parts.username is not None or not uri.isprintable():
        raise AccountError("has a 'token_uri' that is no https:// address")
    return uri


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refusal(reply: HttpReply) -> GatewayError:
    """The error behind an exchange that failed. Only known words of the answer are repeated."""
    try:
        word = msgspec.json.decode(reply.body).get("error")
    except (msgspec.MsgspecError, AttributeError, RecursionError):
        word = None
    reason = _REASONS.get(word) if isinstance(word, str) else None
    if reason is not None or reply.status in (400, 401, 403):
        why = reason or f"HTTP {reply.status}"
        return UpstreamRefusedCredential(
            f"Google gives the service account no token: {why}.", upstream_status=401
        )
    return from_upstream_status(
        reply.status, f"The token for the service account is not to be had: HTTP {reply.status}."
    )


def _granted(body: bytes) -> tuple[Secret, float]:
    """(the token, for how many seconds it is good)."""
    try:
        fields = msgspec.json.decode(body)
        token, seconds = fields["access_token"], fields.get("expires_in", JWT_SECONDS)
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError, RecursionError):
        token, seconds = None, 0
    good = isinstance(token, str) and token.isascii() and token.isprintable() and token != ""
    numeric = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not good or len(token) > _LONGEST_TOKEN or not numeric or not 0 < seconds < 10**9:
        raise UpstreamBroken("The answer to the service account's assertion holds no token.")
    return Secret(token), float(seconds)
