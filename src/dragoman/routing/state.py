"""What an operator may see of a channel's live state."""

from __future__ import annotations

import msgspec


class Bench(msgspec.Struct, kw_only=True, frozen=True):
    """A bench that holds; an empty ``model`` means all."""

    model: str
    seconds: float
    reason: str


class CredentialState(msgspec.Struct, kw_only=True, frozen=True):
    """A credential's health; ``number`` counts from 1, 0 for a channel without credentials."""

    number: int
    circuit: str
    opens_again: float
    benches: list[Bench]

    @property
    def well(self) -> bool:
        """Nothing is wrong with it as a whole."""
        return self.circuit == "closed" and not any(bench.model == "" for bench in self.benches)


class LaneState(msgspec.Struct, kw_only=True, frozen=True):
    """A channel's statistics and health. Times are seconds."""

    channel_id: int
    name: str
    enabled: bool
    priority: int
    mode: str
    current_limit: int
    in_flight: int
    waiting: int
    avg_response_time: float
    error_rate: float
    sample_count: int
    total_requests: int
    total_errors: int
    time_to_first_content: float | None
    last_error: str
    credentials: list[CredentialState]

    @property
    def healthy(self) -> bool:
        """Whether at least one of its credentials is well."""
        return any(credential.well for credential in self.credentials)
