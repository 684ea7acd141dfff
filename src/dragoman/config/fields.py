"""The fields of one object, checked one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.config import checks
from dragoman.config.checks import Check
from dragoman.config.problems import Findings, Refusal, suggestion


def read_fields(
    raw: Any, fields: Mapping[str, Check], required: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Check every field of an object. Raises Refusal with all that is unknown, missing or wrong."""
    if not isinstance(raw, dict):
        raise Refusal(f"must be an object, not {checks.kind(raw)}")
    findings = Findings()
    for name in required:
        if name not in raw:
            findings.add(name, "is missing")
    values = {}
    for name, value in raw.items():
        if name in fields:
            values[name] = findings.check(name, fields[name], value)
        else:
            findings.add(name, f"is not a known field{suggestion(name, fields)}")
    findings.refuse()
    return values
