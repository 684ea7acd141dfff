"""Checks of single values. Each takes a decoded JSON value and gives the one the gateway works with,
or raises Refusal.

What was written is not repeated in a message unless it is a number or a name that must be known: it
may be a secret that strayed into the wrong field.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import SplitResult, urlsplit

from dragoman.canonical.secret import Secret
from dragoman.config.problems import Findings, Refusal, suggestion
from dragoman.engine.guard import read_allowed
from dragoman.engine.proxies import read_proxy

Check = Callable[[Any], Any]

MASK = "***"
"""What an export without secrets writes in a secret's place."""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_FRAMING_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection"})


def kind(value: Any) -> str:
    """A value's kind in words."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            if not _finite(value):
                return "a number that is not finite"
            return str(value) if abs(value) < 1e15 else "so large a number"
        case str():
            return "text" if value else "empty text"
        case list():
            return "a list"
        case _:
            return "an object"


def boolean(value: Any) -> bool:
    """true or false; not 1, not "true"."""
    if not isinstance(value, bool):
        raise Refusal(f"must be true or false, not {kind(value)}")
    return value


def whole(minimum: int, maximum: int) -> Check:
    """An integer within the bounds."""

    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise Refusal(f"must be a whole number from {minimum} to {maximum}, not {kind(value)}")
        return value

    return check


def number(minimum: float, maximum: float) -> Check:
    """A finite number within the bounds."""
    words = f"from {minimum:g} to {maximum:g}"
    return _number(lambda value: minimum <= value <= maximum, words)


def between(minimum: float, maximum: float) -> Check:
    """A finite number within the bounds and not on them."""
    words = f"above {minimum:g} and below {maximum:g}"
    return _number(lambda value: minimum < value < maximum, words)


def positive(maximum: float) -> Check:
    """A finite number above zero."""
    return _number(lambda value: 0 < value <= maximum, f"above 0 and up to {maximum:g}")


def _number(fits: Callable[[float], bool], words: str) -> Check:
    def check(value: Any) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not _finite(value) or not fits(value):
            raise Refusal(f"must be a number {words}, not {kind(value)}")
        return float(value)

    return check


def text(value: Any) -> str:
    """Text that says something, without control characters; outer spaces are cut."""
    if not isinstance(value, str):
        raise Refusal(f"must be text, not {kind(value)}")
    words = value.strip()
    if not words:
        raise Refusal("must not be empty")
    if len(words) > 200:
        raise Refusal("is longer than 200 characters")
    if not words.isprintable():
        raise Refusal("must not hold control characters or line breaks")
    return words


def label(value: Any) -> str:
    """A name a person gives; digits alone could be taken for an id."""
    name = text(value)
    if name.isdecimal():
        raise Refusal("must not be digits only: it could be taken for an id")
    return name


def one_of(*choices: str) -> Check:
    """One of a few words, in any case."""

    def check(value: Any) -> str:
        word = str(value).strip().lower()
        if word not in choices:
            raise Refusal(f"must be one of {', '.join(choices)}")
        return word

    return check


def known_name(known: Iterable[str], what: str) -> Check:
    """A name out of ``known``; any other is answered with the nearest."""
    choices = frozenset(known)

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise Refusal(f"must be text, not {kind(value)}")
        if value not in choices:
            raise Refusal(f"{what} {value[:40]!r} is unknown{suggestion(value, choices)}")
        return value

    return check


def nullable(check: Check) -> Check:
    """null, or what ``check`` accepts."""
    return lambda value: None if value is None else check(value)


def blank_or(check: Check, *, blank: tuple[Any, ...] = (None, ""), then: Any = None) -> Check:
    """``then`` for a blank value (of that very type), else what ``check`` gives."""

    def either(value: Any) -> Any:
        if any(value == one and type(value) is type(one) for one in blank):
            return then
        return check(value)

    return either


def listed(check: Check) -> Check:
    """A list, each item of which ``check`` accepts; repeated items count once."""

    def check_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Refusal(f"must be a list, not {kind(value)}")
        findings = Findings()
        items = [findings.check(index, check, item) for index, item in enumerate(value)]
        findings.refuse()
        return tuple(dict.fromkeys(items))

    return check_all


_list_of_names = listed(text)


def names(value: Any) -> tuple[str, ...]:
    """A list of names, or the same as text with commas between."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    checked: tuple[str, ...] = _list_of_names(value)
    return checked


def mapping(check: Check, check_name: Check = text) -> Check:
    """An object, whose every name and value is checked."""

    def check_all(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Refusal(f"must be an object, not {kind(value)}")
        findings = Findings()
        items = {
            findings.check(name, check_name, name): findings.check(name, check, item)
            for name, item in value.items()
        }
        findings.refuse()
        return items

    return check_all


def header_name(value: Any) -> str:
    """An HTTP header's name, in lower case; not one that frames the message."""
    if not isinstance(value, str) or not _HEADER_NAME.fullmatch(value):
        raise Refusal("is not a header name")
    if value.lower() in _FRAMING_HEADERS:
        raise Refusal("is set by the gateway itself and cannot be given")
    return value.lower()


def json_value(value: Any) -> Any:
    """Any JSON with finite numbers."""
    match value:
        case dict():
            return mapping(json_value)(value)
        case list():
            findings = Findings()
            items = [findings.check(index, json_value, item) for index, item in enumerate(value)]
            findings.refuse()
            return items
        case float() if not _finite(value):
            raise Refusal("must be a finite number")
        case str() if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise Refusal("must be text that can be written: it holds half of a surrogate pair")
    return value


def secret(value: Any) -> Secret:
    """A credential that can travel in a header."""
    if not isinstance(value, str):
        raise Refusal(f"must be text, not {kind(value)}")
    value = value.strip(" ")
    if not value:
        raise Refusal("must not be empty")
    if value == MASK:
        raise Refusal(
            f"is the placeholder {MASK!r} of an export without secrets: put the real value here, "
            "or export with --with-secrets"
        )
    if not value.isprintable() or not value.isascii():
        raise Refusal("must not hold control characters or letters outside ASCII")
    return Secret(value)


def credential(value: Any) -> Secret:
    """A provider's credential: a secret, or a JSON object that is one (a Google service account), which
    comes out on one line."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return secret(value)
    try:
        # Not strict: line breaks within its texts may have been made real ones on the way.
        document = json.JSONDecoder(strict=False).decode(value.strip())
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Refusal(f"begins like JSON, but is not valid: {error.msg} at {place}") from None
    except RecursionError:
        raise Refusal("is JSON that is nested too deeply") from None
    return secret(json.dumps(document, separators=(",", ":")))


def host(value: Any) -> str:
    """A host name or address to listen on."""
    if not isinstance(value, str) or not _HOST.fullmatch(value.strip()):
        raise Refusal("must be a host name or an IP address")
    return value.strip()


def base_url(value: Any) -> str:
    """An http(s) URL to put paths below; a closing slash is cut."""
    parts = _split(value, "http", "https")
    if parts.username is not None or parts.password is not None:
        raise Refusal("must not hold a user or password; credentials go into 'api_key'")
    if parts.query or parts.fragment:
        raise Refusal("must not hold a query ('?…') or a fragment ('#…')")
    return str(value).strip().rstrip("/")


def token_url(value: Any) -> str:
    """Where refresh tokens are sent: https, but for a server on this machine."""
    parts = _split(value, "http", "https")
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise Refusal("must begin with https://: a refresh token is sent there")
    if parts.username is not None or parts.password is not None:
        raise Refusal("must not hold a user or password; 'client_secret' is for that")
    if parts.fragment:
        raise Refusal("must not hold a fragment ('#…')")
    return str(value).strip()


def proxy_url(value: Any) -> Secret:
    """An HTTP or SOCKS 5 proxy, perhaps with user and password: a secret."""
    credential = secret(value)
    _split(credential.reveal(), "http", "https", "socks5", "socks5h")
    try:
        read_proxy(credential)
    except ValueError as error:
        raise Refusal(str(error)) from None
    return credential


def origin(value: Any) -> str:
    """A web origin, or ``*`` for all."""
    if value == "*":
        return "*"
    parts = _split(value, "http", "https")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        raise Refusal("must be scheme and host only, such as https://app.example.com")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def private_url(value: Any) -> str:
    """A host, an address or a network that clients may have files fetched from."""
    entry = text(value)
    try:
        read_allowed(entry)
    except ValueError as error:
        raise Refusal(str(error)) from None
    return entry


def moment(value: Any) -> float:
    """A date or a time as in ISO 8601 (UTC if it names no zone), as seconds since 1970."""
    try:
        when = datetime.datetime.fromisoformat(value)
        if when.tzinfo is None:
            when = when.replace(tzinfo=datetime.UTC)
        return when.timestamp()
    except (TypeError, ValueError, OverflowError):
        raise Refusal("must be a date or time such as 2027-01-31T00:00:00Z") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(value: Any, *schemes: str) -> SplitResult:
    if not isinstance(value, str):
        raise Refusal(f"must be a URL, not {kind(value)}")
    value = value.strip()
    if not value.isprintable() or not value.isascii() or " " in value:
        raise Refusal("must not hold spaces, control characters or letters outside ASCII")
    try:
        parts: SplitResult = urlsplit(value)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise Refusal("is not a valid URL") from None
    if parts.scheme not in schemes:
        words = " or ".join(f"{scheme}://" for scheme in schemes)
        raise Refusal(f"must begin with {words}")
    if not port_is_valid or not _HOST.fullmatch(parts.hostname or ""):
        raise Refusal("names no valid host")
    return parts


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer too long for a float
        return True
