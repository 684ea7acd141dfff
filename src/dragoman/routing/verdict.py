"""What an attempt's outcome says about the channel that was tried.

::

    outcome                               verdict        circuit   limiter   otherwise
    answered                              SUCCESS        success   sample
    400, 413, 422 …: the request is bad   ALIVE          success   sample
    404 for the model                     MODEL_MISSING  success   -         model benched here
    the channel is set up wrongly for it  MISCONFIGURED  success   -         model benched here
    403                                   NO_ACCESS      success   -         model benched for the credential
    401, 402, quota used up               CREDENTIAL     -         -         credential benched
    429                                   RATE_LIMITED   -         error     model cooled for the credential
    503: the model is being loaded        LOADING        success   -         model cooled here for that time
    500, 502, 503, 504, 529               FAILURE        failure   error     cooled if it says how long
    refused, TLS, proxy, timeout          FAILURE        failure   error
    broken or truncated answer            FAILURE        failure   error
    nothing was sent (strict mode)        UNTOUCHED      -         -
    the client left                       UNTOUCHED      -         -
"""

from __future__ import annotations

from enum import Enum

from dragoman.canonical.errors import (
    GatewayError,
    UpstreamError,
    UpstreamLoading,
    UpstreamMisconfigured,
    UpstreamModelMissing,
    UpstreamRateLimited,
    UpstreamRefusedCredential,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)

DISCONNECTED = "upstream_disconnected"
"""Error code of a connection that the upstream closed without an answer. It happens now and then to a
kept-alive one just as it is used, so a request's first is excused."""


class Verdict(Enum):
    """See the table above; the value is what the request log shows."""

    SUCCESS = "success"
    ALIVE = "request rejected"
    MODEL_MISSING = "model missing"
    MISCONFIGURED = "set up wrongly"
    NO_ACCESS = "no access"
    CREDENTIAL = "credential refused"
    RATE_LIMITED = "rate limited"
    LOADING = "loading the model"
    FAILURE = "failure"
    UNTOUCHED = "no judgement"


def judge(error: GatewayError | None) -> Verdict:
    """The verdict on an attempt that ended with ``error``, None if it was answered."""
    match error:
        case None:
            return Verdict.SUCCESS
        case UpstreamModelMissing():
            return Verdict.MODEL_MISSING
        case UpstreamMisconfigured():
            return Verdict.MISCONFIGURED
        case UpstreamRejected():
            return Verdict.ALIVE
        case UpstreamRefusedCredential(upstream_status=403):
            return Verdict.NO_ACCESS
        case UpstreamRefusedCredential():
            return Verdict.CREDENTIAL
        case UpstreamRateLimited():
            return Verdict.RATE_LIMITED
        case UpstreamLoading():
            return Verdict.LOADING
        case UpstreamError():
            return Verdict.FAILURE
        case _:
            return Verdict.UNTOUCHED


def another_may_help(error: GatewayError) -> bool:
    """Whether another candidate may succeed where this one failed.

    A request that one upstream rejects is rejected by all; a field that one protocol cannot express
    (strict mode) another may.
    """
    return not isinstance(error, UpstreamError) or error.fallback


def may_repeat(error: GatewayError) -> bool:
    """Whether the same candidate may succeed a moment later.

    Not after a timeout: the client has waited long enough. Not after a broken answer: it was made,
    and billed, and would come out the same.
    """
    if isinstance(error, UpstreamUnreachable | UpstreamRateLimited | UpstreamLoading):
        return True
    return (
        judge(error) is Verdict.FAILURE
        and not isinstance(error, UpstreamTimeout)
        and isinstance(error, UpstreamError)
        and error.upstream_status is not None
        and error.upstream_status >= 500
    )
