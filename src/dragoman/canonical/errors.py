"""Everything that can go wrong, as one tree.

::

    GatewayError                      status  retryable  may_have_billed
    ├── ClientError                   the client's doing; another channel would say the same
    │   ├── InvalidRequest            400     no         no
    │   │   └── NotTranslatable       400     no         no     strict mode: a field would be dropped
    │   ├── Unauthorized              401     no         no
    │   ├── CreditExhausted           402     no         no     never looks retryable
    │   ├── Forbidden                 403     no         no
    │   ├── NotFound                  404     no         no
    │   │   ├── ModelNotFound         404     no         no
    │   │   └── RouteNotFound         404     no         no
    │   ├── MethodNotAllowed          405     no         no
    │   ├── RequestInFlight           409     yes        no     its Idempotency-Key is at work
    │   ├── AnswerLost                409     no         yes    charged, but cannot be sent again
    │   ├── RequestTooLarge           413     no         no
    │   ├── UnsupportedEncoding       415     no         no
    │   ├── IdempotencyKeyReused      422     no         no
    │   ├── UpgradeRequired           426     no         no
    │   ├── RateLimited               429     yes        no     our own limit
    │   └── HeadersTooLarge           431     no         no
    ├── UpstreamError                 a channel's doing; another channel may do better
    │   ├── UpstreamRejected          4xx     no         no     it judged the request itself
    │   │   ├── UpstreamModelMissing  404     no         no     but another channel may have it
    │   │   └── UpstreamMisconfigured 400     no         no     the channel is set up wrongly for it
    │   ├── UpstreamRefusedCredential 502     yes        no     its key, not the client's, is wrong
    │   ├── UpstreamRateLimited       429     yes        no
    │   ├── UpstreamOverloaded        503     yes        no
    │   │   └── UpstreamLoading       503     yes        no     only the model that was asked for
    │   ├── UpstreamFailed            502     yes        maybe
    │   ├── UpstreamUnreachable       502     yes        no     connect, TLS or proxy failure
    │   ├── UpstreamTimeout           504     yes        maybe
    │   └── UpstreamBroken            502     yes        maybe  bad or truncated answer
    └── Unavailable                   503     yes        no     no channel, draining, our own stores
        └── NotConfigured             503     no         no     until the operator has set it up

``retryable`` is what the client is told; whether the gateway itself tries another channel is
``fallback``. ``param`` is the dotted path of the field at fault. Messages reach the client: they name
what to mend and never carry a secret or an upstream's raw body.
"""

from __future__ import annotations

import re
from typing import ClassVar

_TOKEN = re.compile(r"[\w*+/=-]{16,}")


class GatewayError(Exception):
    """Base of the tree. Protocols encode it through ``status``, ``kind`` and ``code``."""

    status: int = 500
    kind: ClassVar[str] = "internal"
    default_code: ClassVar[str | None] = None
    retryable: bool = False
    fallback: ClassVar[bool] = False
    may_have_billed: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        """``retry_after`` is in seconds; ``status`` overrides the class's own. ``headers`` may be
        added to what the protocol sends with it."""
        super().__init__(message)
        self.headers: dict[str, str] = {}
        self.message = message
        self.param = param
        self.code = code if code is not None else self.default_code
        self.retry_after = retry_after
        if status is not None:
            self.status = status


class ClientError(GatewayError):
    """The client can mend it."""

    status = 400
    kind = "invalid_request"


class InvalidRequest(ClientError):
    """Malformed body or a value that no upstream could accept."""


class NotTranslatable(InvalidRequest):
    """Strict mode: the chosen upstream cannot express what the request says."""

    default_code = "not_translatable"


class Unauthorized(ClientError):
    status = 401
    kind = "authentication"
    default_code = "invalid_api_key"


class CreditExhausted(ClientError):
    status = 402
    kind = "credit_exhausted"
    default_code = "insufficient_quota"


class Forbidden(ClientError):
    status = 403
    kind = "permission"


class NotFound(ClientError):
    status = 404
    kind = "not_found"


class ModelNotFound(NotFound):
    default_code = "model_not_found"


class RouteNotFound(NotFound):
    default_code = "route_not_found"


class MethodNotAllowed(ClientError):
    status = 405
    default_code = "method_not_allowed"


class RequestInFlight(ClientError):
    """A request with the same Idempotency-Key is being answered: its answer can be had in a while."""

    status = 409
    default_code = "idempotency_key_in_use"
    retryable = True


class AnswerLost(ClientError):
    """A request with the same Idempotency-Key was served, and its answer cannot be sent again; serving
    it anew would charge for it twice."""

    status = 409
    default_code = "idempotent_answer_lost"
    may_have_billed = True


class RequestTooLarge(ClientError):
    status = 413
    kind = "too_large"
    default_code = "request_too_large"


class UnsupportedEncoding(ClientError):
    status = 415
    default_code = "unsupported_encoding"


class IdempotencyKeyReused(ClientError):
    """The Idempotency-Key stands for a request that says something else."""

    status = 422
    default_code = "idempotency_key_reused"


class UpgradeRequired(ClientError):
    status = 426
    default_code = "upgrade_required"


class RateLimited(ClientError):
    status = 429
    kind = "rate_limit"
    default_code = "rate_limit_exceeded"
    retryable = True


class HeadersTooLarge(ClientError):
    status = 431
    kind = "too_large"
    default_code = "headers_too_large"


class UpstreamError(GatewayError):
    """A channel failed. ``upstream_status`` is the HTTP status it answered, None if it never did."""

    status = 502
    kind = "upstream"
    retryable = True
    fallback = True

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        upstream_status: int | None = None,
    ) -> None:
        super().__init__(message, param=param, code=code, status=status, retry_after=retry_after)
        self.upstream_status = upstream_status


class UpstreamRejected(UpstreamError):
    """The upstream judged the request itself (400, 404, 413, 422 …): its status is passed on."""

    status = 400
    kind = "invalid_request"
    retryable = False
    fallback = False


class UpstreamModelMissing(UpstreamRejected):
    """The channel does not have the model; another may."""

    status = 404
    kind = "not_found"
    default_code = "model_not_found"
    fallback = True


class UpstreamMisconfigured(UpstreamRejected):
    """What the channel's configuration says of the upstream is not so: the operator's to mend, and no
    reason why another channel should fail."""

    default_code = "channel_misconfigured"
    fallback = True


class UpstreamRefusedCredential(UpstreamError):
    """The channel's own credential is wrong, out of credit or lacks the right. The client's key is
    fine, so this is never 401 to the client.

    Servers are known to quote the key they refuse, so whatever looks like one is taken out.
    """

    default_code = "upstream_credential"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        upstream_status: int | None = None,
    ) -> None:
        super().__init__(
            _TOKEN.sub("***", message),
            param=param,
            code=code,
            status=status,
            retry_after=retry_after,
            upstream_status=upstream_status,
        )


class UpstreamRateLimited(UpstreamError):
    status = 429
    kind = "rate_limit"
    default_code = "rate_limit_exceeded"


class UpstreamOverloaded(UpstreamError):
    status = 503
    kind = "overloaded"


class UpstreamLoading(UpstreamOverloaded):
    """The upstream is loading the model and says how long that takes (``retry_after``); its other
    models are as well as ever."""

    default_code = "model_loading"


class UpstreamFailed(UpstreamError):
    may_have_billed = True


class UpstreamUnreachable(UpstreamError):
    default_code = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    status = 504
    kind = "timeout"
    default_code = "upstream_timeout"
    may_have_billed = True


class UpstreamBroken(UpstreamError):
    """The answer was no valid answer: bad JSON, bad framing, an end without a terminal marker."""

    default_code = "upstream_broken"
    may_have_billed = True


class Unavailable(GatewayError):
    """Nothing can serve this now; it is the gateway's own state, never the client's key."""

    status = 503
    kind = "overloaded"
    retryable = True


class NotConfigured(Unavailable):
    """What is asked for needs a credential or a channel that the operator has not given."""

    default_code = "provider_not_configured"
    retryable = False


def from_upstream_status(
    status: int, message: str, *, code: str | None = None, retry_after: float | None = None
) -> UpstreamError:
    """Choose the error for an upstream's HTTP ``status``.

    Protocols call this after reading their own error body, and override it where a code says more
    than the status (OpenAI's 429 ``insufficient_quota`` is a credential matter, for example).
    """
    if status in (401, 402, 403):
        return UpstreamRefusedCredential(message, upstream_status=status)
    if status == 404:
        return UpstreamModelMissing(message, upstream_status=status, code=code)
    if status in (408, 504, 524):
        return UpstreamTimeout(message, upstream_status=status)
    if status == 429:
        return UpstreamRateLimited(
            message, upstream_status=status, code=code, retry_after=retry_after
        )
    if status in (503, 529):
        return UpstreamOverloaded(message, upstream_status=status, retry_after=retry_after)
    if 400 <= status < 500:
        return UpstreamRejected(message, status=status, upstream_status=status, code=code)
    return UpstreamFailed(message, upstream_status=status, retry_after=retry_after)
