"""What can go wrong, as one tree.

::

    DragomanError
    ├── NoAnswer              the gateway could not be reached, or an answer broke off
    │   └── TimedOut          it took longer than the client's timeout
    ├── BrokenAnswer          an answer that is not what the documents say
    └── ApiError              the gateway's own error
        ├── BadRequest        400, and every other 4xx that has no class here
        ├── Unauthorized      401
        ├── PaymentRequired   402, never tried again
        ├── Forbidden         403
        ├── NotFound          404
        ├── Conflict          409
        ├── TooManyRequests   429
        └── ServerError       500 and above
"""

from __future__ import annotations


class DragomanError(Exception):
    """Base of the tree. What is not known is None, or empty."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        error_type: str = "",
        details: str = "",
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        """``status`` is HTTP's; ``error_type`` is the gateway's name for it (``TooManyRequests``).
        ``message`` says what is wrong, ``details`` where: the field at fault, a code. ``request_id`` is
        what the operator finds in the log. ``retry_after`` is in seconds."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.error_type = error_type
        self.details = details
        self.request_id = request_id
        self.retry_after = retry_after


class NoAnswer(DragomanError):
    """The gateway could not be reached, or an answer broke off."""


class TimedOut(NoAnswer):
    """Nothing came for as long as the client waits."""


class BrokenAnswer(DragomanError):
    """An answer that is not what the documents say: something else may stand at the base URL."""


class ApiError(DragomanError):
    """The gateway's own error. ``status`` is always there."""

    def __str__(self) -> str:
        about = f" ({self.details})" if self.details else ""
        return f"{self.status} {self.error_type}: {self.message}{about}"


class BadRequest(ApiError):
    """400, and every other 4xx without a class of its own."""


class Unauthorized(ApiError):
    """401: the key is wrong."""


class PaymentRequired(ApiError):
    """402: no credit is left, or a budget is used up."""


class Forbidden(ApiError):
    """403: the key may not do that."""


class NotFound(ApiError):
    """404: no such model or path."""


class Conflict(ApiError):
    """409: a request with the same Idempotency-Key is being answered, or its answer is lost."""


class TooManyRequests(ApiError):
    """429: ``retry_after`` says for how long."""


class ServerError(ApiError):
    """500 and above: the gateway's or its upstream's doing."""


STATUSES = {
    "BadRequest": 400,
    "Unauthorized": 401,
    "PaymentRequired": 402,
    "Forbidden": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "RequestTimeout": 408,
    "Conflict": 409,
    "PayloadTooLarge": 413,
    "UnsupportedMediaType": 415,
    "UnprocessableEntity": 422,
    "TooManyRequests": 429,
    "InternalServerError": 500,
    "BadGateway": 502,
    "ServiceUnavailable": 503,
    "GatewayTimeout": 504,
}
"""The types of the gateway's errors. In a stream, which has begun with 200, they are all there is."""

_CLASSES: dict[int, type[ApiError]] = {
    401: Unauthorized,
    402: PaymentRequired,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: TooManyRequests,
}


def class_of(status: int) -> type[ApiError]:
    """The class for an HTTP status that means failure."""
    if status >= 500:
        return ServerError
    return _CLASSES.get(status, BadRequest if status >= 400 else ApiError)
