"""``logprobsResult`` ⇄ OpenAI's list of tokens with their alternatives."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from dragoman.canonical.parts import Json
from dragoman.protocols.gemini_generate.types import LogprobsCandidate, LogprobsResult


def read_logprobs(result: LogprobsResult) -> list[Json]:
    """The wire's two parallel lists → one. Google's numeric ``token_id`` stays beside the token."""
    entries: list[Json] = []
    for chosen, top in zip_longest(result.chosen_candidates or (), result.top_candidates or ()):
        entry = _token(chosen or LogprobsCandidate())
        entry["top_logprobs"] = [_token(one) for one in (top.candidates if top else None) or ()]
        entries.append(entry)
    return entries


def write_logprobs(entries: list[Json]) -> dict[str, Json]:
    """The reverse; what is no OpenAI entry is left out."""
    known = [entry for entry in entries if isinstance(entry, dict)]
    result: dict[str, Json] = {"chosenCandidates": [_candidate(entry) for entry in known]}
    if any(entry.get("top_logprobs") for entry in known):
        result["topCandidates"] = [
            {
                "candidates": [
                    _candidate(one)
                    for one in entry.get("top_logprobs") or ()
                    if isinstance(one, dict)
                ]
            }
            for entry in known
        ]
    return result


def _token(candidate: LogprobsCandidate) -> dict[str, Any]:
    token = candidate.token or ""
    entry: dict[str, Any] = {
        "token": token,
        "logprob": candidate.log_probability or 0.0,
        "bytes": list(token.encode()),
    }
    if candidate.token_id is not None:
        entry["token_id"] = candidate.token_id
    return entry


def _candidate(entry: dict[str, Json]) -> dict[str, Json]:
    candidate = {"token": entry.get("token"), "logProbability": entry.get("logprob")}
    if "token_id" in entry:
        candidate["tokenId"] = entry["token_id"]
    return candidate
