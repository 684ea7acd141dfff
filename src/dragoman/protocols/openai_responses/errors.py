"""Errors of the Responses API: OpenAI's error object, plus the codes that only its ``response.failed``
and ``error`` events use.

Source: ``openai.types.responses.response_error``, ``response_error_event``,
``responses_server_event.ResponseWsError``.
"""

from __future__ import annotations

from typing import Any

from dragoman.canonical.errors import GatewayError, UpstreamError, UpstreamFailed
from dragoman.protocols.openai_shared import errors as shared

_TYPE_OF_CODE = {
    "server_is_overloaded": "overloaded_error",
    "slow_down": "overloaded_error",
    "vector_store_timeout": "timeout",
    "invalid_prompt": "invalid_request_error",
    "bio_policy": "invalid_request_error",
    "cyber_policy": "invalid_request_error",
    "misalignment_policy_violation": "invalid_request_error",
    "data_residency_mismatch": "invalid_request_error",
    "empty_image_file": "invalid_request_error",
    "failed_to_download_image": "invalid_request_error",
    "unsupported_image_media_type": "invalid_request_error",
}
"""The error type that says how to take a code; codes about images are all the client's doing."""

_CODE_OF_KIND = {
    "rate_limit": "rate_limit_exceeded",
    "credit_exhausted": "insufficient_quota",
    "overloaded": "server_is_overloaded",
    "invalid_request": "invalid_prompt",
    "too_large": "context_length_exceeded",
}
"""Codes that clients of ``response.failed`` act upon (Codex does); all else is ``server_error``."""


def failure(error: Any) -> UpstreamError:
    """The error that an upstream's error object in an answer or stream stands for."""
    if isinstance(error, dict) and isinstance(code := error.get("code"), str):
        kind = _TYPE_OF_CODE.get(code)
        if kind is None and (code.startswith(("invalid_", "image_"))):
            kind = "invalid_request_error"
        if kind is not None:
            error = {**error, "type": kind, "code": code}
    return shared.error_in({"error": error or True}) or UpstreamFailed("The upstream failed.")


def failed_object(error: GatewayError) -> dict[str, Any]:
    """The ``error`` of a failed response."""
    code = error.code
    if code is None or code.startswith("upstream_"):  # our own words; the API's list is closed
        code = _CODE_OF_KIND.get(error.kind, "server_error")
    return {"code": code, "message": error.message}


def error_event(error: GatewayError, sequence_number: int) -> dict[str, Any]:
    """The ``error`` event.

    The flat fields are the API's; the nested object is the one that the Python and Node SDKs raise
    at (``openai._streaming``): they pass the flat form on as if it were any other event.
    """
    nested = shared.error_object(error)
    return {
        "type": "error",
        "code": nested["code"],
        "message": nested["message"],
        "param": nested["param"],
        "sequence_number": sequence_number,
        "error": nested,
    }
