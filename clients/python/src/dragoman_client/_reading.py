"""From the bytes of an answer to values whose types are certain."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

from dragoman_client.errors import STATUSES, ApiError, BrokenAnswer, class_of

_MOST_SHOWN = 200
_REQUEST_ID = "x-request-id"
_COST = "dragoman-cost-nano-usd"


class Reply(NamedTuple):
    """A whole HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str:
        """The gateway's id for the request, or empty."""
        return self.headers.get(_REQUEST_ID, "")

    @property
    def cost_nano_usd(self) -> int | None:
        """What was charged, if the gateway says so."""
        text = self.headers.get(_COST, "")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


class Node:
    """A JSON value and where it stands in the answer. Whatever is not as expected raises BrokenAnswer."""

    __slots__ = ("_path", "_reply", "value")

    def __init__(self, value: Any, path: str, reply: Reply) -> None:
        self.value = value
        self._path = path
        self._reply = reply

    def at(self, name: str) -> Node:
        """A member that must be there."""
        if not isinstance(self.value, dict) or name not in self.value:
            raise self.broken(f"has no {name!r}")
        return Node(self.value[name], f"{self._path}.{name}".lstrip("."), self._reply)

    def maybe(self, name: str) -> Node | None:
        """A member that may be missing or null."""
        if not isinstance(self.value, dict):
            raise self.broken("is no object")
        return None if self.value.get(name) is None else self.at(name)

    def __iter__(self) -> Iterator[Node]:
        if not isinstance(self.value, list):
            raise self.broken("is no list")
        for place, one in enumerate(self.value):
            yield Node(one, f"{self._path}.{place}".lstrip("."), self._reply)

    def only(self) -> Node:
        """The one item of a list that has one, or the first of more."""
        for first in self:
            return first
        raise self.broken("is an empty list")

    def text(self) -> str:
        """A string."""
        if isinstance(self.value, str):
            return self.value
        raise self.broken("is no string")

    def whole(self) -> int:
        """A whole number."""
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return self.value
        raise self.broken("is no whole number")

    def number(self) -> float:
        """Any number that a float can hold."""
        if isinstance(self.value, int | float | Decimal) and not isinstance(self.value, bool):
            with contextlib.suppress(OverflowError):
                number = float(self.value)
                if math.isfinite(number):
                    return number
        raise self.broken("is no number")

    def exact(self) -> Decimal:
        """Any number, as it was written; the answer must have been opened as ``exact``."""
        if isinstance(self.value, int | Decimal) and not isinstance(self.value, bool):
            return Decimal(self.value)
        raise self.broken("is no number")

    def truth(self) -> bool:
        """True or false."""
        if isinstance(self.value, bool):
            return self.value
        raise self.broken("is neither true nor false")

    def texts(self) -> list[str]:
        """A list of strings."""
        return [one.text() for one in self]

    def broken(self, what: str) -> BrokenAnswer:
        """The error for a value that ``what`` ("is no date")."""
        where = f"'{self._path}'" if self._path else "it"
        return BrokenAnswer(
            f"The answer is not what the documents say: {where} {what}.",
            status=self._reply.status,
            request_id=self._reply.request_id,
        )


def read_json(reply: Reply, *, exact: bool = False) -> Node:
    """An answer's JSON; ``exact`` keeps its fractions as decimal numbers. Raises BrokenAnswer."""
    try:
        value = _loads(reply.body, exact)
    except (ValueError, RecursionError):
        shown = reply.body[:_MOST_SHOWN].decode("utf-8", "replace")
        raise BrokenAnswer(
            f"The answer is not JSON. Is the base URL a gateway's? It begins: {shown!r}",
            status=reply.status,
            request_id=reply.request_id,
        ) from None
    return Node(value, "", reply)


def error_of(reply: Reply, retry_after: float | None) -> ApiError:
    """The exception for an answer that is a failure, whoever wrote it."""
    try:
        body = _loads(reply.body, exact=False)
    except (ValueError, RecursionError):
        body = None
    message, error_type, details = _said(body)
    if not message:
        message = " ".join(reply.body[:_MOST_SHOWN].decode("utf-8", "replace").split())
    names = {status: name for name, status in STATUSES.items()}
    return class_of(reply.status)(
        message or "no reason was given",
        status=reply.status,
        error_type=error_type or names.get(reply.status, "Error"),
        details=details,
        request_id=reply.request_id,
        retry_after=retry_after,
    )


def error_in_stream(body: Mapping[str, Any], request_id: str) -> ApiError:
    """The exception for an error that came when a stream had begun: its type tells the status."""
    message, error_type, details = _said(body)
    status = STATUSES.get(error_type, 500)
    return class_of(status)(
        message or "no reason was given",
        status=status,
        error_type=error_type or "InternalServerError",
        details=details,
        request_id=request_id,
    )


def _said(body: Any) -> tuple[str, str, str]:
    """Message, type and details of an error: the gateway's, or OpenAI's, which nests them."""
    if not isinstance(body, dict):
        return "", "", ""
    error = body.get("error")
    if isinstance(error, dict):
        return _text(error.get("message")), _text(error.get("type")), ""
    return _text(error), _text(body.get("error_type")), _text(body.get("message"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _loads(body: bytes, exact: bool) -> Any:
    return json.loads(body, parse_float=Decimal if exact else float, parse_constant=_no_number)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
