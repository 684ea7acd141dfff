"""The live state of every channel: places, circuits, benches, response times.

It outlives changes of the configuration: a channel that is edited keeps its requests under way, and
one whose priority changed is not forgiven an outage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set

from dragoman.canonical.errors import GatewayError
from dragoman.canonical.secret import Secret
from dragoman.routing.channel import Channel
from dragoman.routing.circuit import CONSECUTIVE_FAILURES, Circuit
from dragoman.routing.concurrency import Limiter
from dragoman.routing.cooldown import EVERY_MODEL, Cooldowns
from dragoman.routing.state import Bench, CredentialState, LaneState
from dragoman.routing.verdict import Verdict, judge

CREDENTIAL_BENCH_SECONDS = 300.0
"""How long a refused credential is left alone; the operator may have paid the bill by then."""
MODEL_BENCH_SECONDS = 300.0
_LATENCY_WEIGHT = 0.2
_LATENCY_LASTS = 60.0

Told = Callable[[Channel, str], None]
"""Hears of a change in a channel's health that an operator should see: (channel, what)."""


class Credential:
    """One of a channel's credentials with its health; ``number`` counts from 1, 0 stands for a
    channel without any."""

    __slots__ = ("circuit", "cooldowns", "number", "secret")

    def __init__(self, secret: Secret | None, number: int) -> None:
        self.secret = secret
        self.number = number
        self.circuit = Circuit()
        self.cooldowns = Cooldowns()

    def obstacle(self, model: str, now: float) -> str | None:
        """Why a request for ``model`` should rather go elsewhere; None if nothing is wrong."""
        seconds, reason = self.cooldowns.left(model, now)
        if seconds:
            return f"{reason}, for {seconds:.0f} s more"
        if not self.circuit.allows(now):
            seconds = self.circuit.opens_again(now)
            return f"circuit open for {seconds:.0f} s more" if seconds else "being probed"
        return None

    def well(self, now: float) -> bool:
        """Nothing is wrong with it as a whole."""
        return self.circuit.closed and not self.cooldowns.left(EVERY_MODEL, now)[0]

    def rest(self, model: str, now: float) -> float:
        """Seconds until it is worth another try."""
        return max(self.cooldowns.left(model, now)[0], self.circuit.opens_again(now))


class Lane:
    """One channel's live state. All times are monotonic seconds."""

    def __init__(self, channel: Channel, told: Told) -> None:
        self.channel = channel
        self.limiter = Limiter(channel)
        self.credentials = _credentials(channel, ())
        self.requests = 0
        self.errors = 0
        self.last_error = ""
        self._told = told
        self._turn = 0
        self._failed_in_a_row = 0
        self._latency: float | None = None
        self._measured = 0.0

    def configure(self, channel: Channel) -> None:
        """Take over a changed channel; what was learned of another address is forgotten."""
        before, self.channel = self.channel, channel
        if channel == before:
            return
        moved = (channel.endpoints, channel.proxy_url) != (before.endpoints, before.proxy_url)
        kept: Iterable[Credential] = () if moved else self.credentials
        self.credentials = _credentials(channel, kept)
        if moved:
            self._latency = None
            self._failed_in_a_row = 0
            self.limiter.forget()
        if _asking(channel) != _asking(before):
            for credential in self.credentials:
                credential.cooldowns.forgive()
        self.limiter.configure(channel)

    def next_credential(
        self,
        among: Sequence[Credential],
        model: str,
        now: float,
        tried: Set[Credential],
        first: int | None = None,
    ) -> tuple[Credential | None, str]:
        """(one of ``among`` that nothing is wrong with, "") or (None, why there is none).

        They take turns, which ``used`` counts, unless the channel's quirk ``credentials_in_turn`` is
        false: then the first that is well is used. ``first`` (a number) goes before, if it is well.
        ``tried`` are left out.
        """
        count = len(among)
        start = self._turn if self.channel.quirks.get("credentials_in_turn", True) else 0
        if first is not None:
            start = next((i for i, one in enumerate(among) if one.number == first), start)
        why = ""
        for step in range(count):
            credential = among[(start + step) % count]
            if credential in tried:
                continue
            obstacle = credential.obstacle(model, now)
            if obstacle is None:
                return credential, ""
            why = obstacle if count == 1 else f"credential {credential.number}: {obstacle}"
        return None, why or "tried already"

    def used(self, credential: Credential) -> None:
        """A request goes out with ``credential``: it is the next one's turn."""
        if credential.number:
            self._turn = credential.number % len(self.credentials)

    def latency(self, now: float) -> float | None:
        """Smoothed seconds to the first content; None if not measured within the last minute."""
        if self._latency is None or now - self._measured > _LATENCY_LASTS:
            return None
        return self._latency

    def responded(self, seconds: float, now: float) -> None:
        """The first content of an answer came after ``seconds``."""
        known = self.latency(now)
        self._latency = seconds if known is None else known + _LATENCY_WEIGHT * (seconds - known)
        self._measured = now

    def settle(
        self,
        credential: Credential,
        model: str,
        error: GatewayError | None,
        *,
        seconds: float,
        now: float,
        began: float | None = None,
    ) -> Verdict:
        """Draw the conclusions from an attempt at ``model`` whose answer took ``seconds`` to come, and
        which began at ``began`` if that was longer ago."""
        verdict = judge(error)
        if verdict is Verdict.UNTOUCHED:
            return verdict
        self.requests += 1
        self.errors += error is not None
        if not self.has(credential):
            return verdict
        began = now - seconds if began is None else began
        if verdict is not Verdict.FAILURE:
            self._failed_in_a_row = 0
        if error is None:
            self.works(credential, now)
            credential.cooldowns.recovered(model, began)
            self.limiter.sample(seconds, error=False, now=now)
            return verdict
        self.last_error = error.message
        self._conclude(verdict, credential, model, error, began=began, now=now)
        if verdict in (Verdict.RATE_LIMITED, Verdict.FAILURE):
            self.limiter.sample(seconds, error=True, now=now)
        elif verdict is Verdict.ALIVE:
            self.limiter.sample(seconds, error=False, now=now)
        return verdict

    def has(self, credential: Credential) -> bool:
        """Whether ``credential`` is still in use: what is learned of one that was replaced, or of the
        address before, says nothing about the channel as it is now."""
        return credential in self.credentials

    def works(self, credential: Credential, now: float) -> None:
        """``credential`` was answered. If its circuit was not closed the address was perhaps dead for
        all of them, and they need not wait any longer to find out."""
        if not credential.circuit.closed:
            for one in self.credentials:
                one.circuit.half_open(now)
        credential.circuit.succeeded(now)

    def exhausted(self, credential: Credential, model: str, seconds: float, now: float) -> None:
        """The upstream's headers say that it will take nothing more for ``seconds``."""
        credential.cooldowns.bench(model, seconds, now, "rate limit used up", stated=True)

    def probed(self, credential: Credential, error: GatewayError | None, now: float) -> None:
        """Draw the conclusions from a check that was no client's request.

        That the upstream lists its models proves the credential; whether it answers again is for
        the next request to find out, which need not wait any longer.
        """
        if error is None:
            if not credential.well(now):
                self._told(self.channel, f"{_which(self, credential)} is worth another try")
            credential.circuit.half_open(now)
            credential.cooldowns.recovered(EVERY_MODEL, now)
        elif judge(error) is Verdict.FAILURE:
            credential.circuit.failed(now)
        elif judge(error) is Verdict.CREDENTIAL:
            self._refused(credential, error, now)

    def reset(self) -> None:
        """End every bench and close every circuit."""
        self._failed_in_a_row = 0
        for credential in self.credentials:
            credential.circuit.reset()
            credential.cooldowns.reset()

    def _conclude(
        self,
        verdict: Verdict,
        credential: Credential,
        model: str,
        error: GatewayError,
        *,
        began: float,
        now: float,
    ) -> None:
        cooldowns = credential.cooldowns
        match verdict:
            case Verdict.FAILURE:
                self._failed(credential, error, now)
            case Verdict.CREDENTIAL:
                self._refused(credential, error, now)
            case Verdict.RATE_LIMITED:
                reason = "rate limited"
                known = cooldowns.benched(model, reason, now)
                seconds = cooldowns.refused(model, error.retry_after, now, reason, began)
                if not known:
                    which = _which(self, credential)
                    what = f"{which} is rate limited for '{model[:100]}', {seconds:.0f} s"
                    self._told(self.channel, what)
            case Verdict.MODEL_MISSING | Verdict.MISCONFIGURED:
                self.works(credential, now)
                for one in self.credentials:
                    one.cooldowns.bench(model, MODEL_BENCH_SECONDS, now, verdict.value)
            case Verdict.LOADING:
                self.works(credential, now)
                for one in self.credentials:
                    one.cooldowns.bench(model, error.retry_after or 0.0, now, verdict.value)
            case Verdict.NO_ACCESS:
                self.works(credential, now)
                cooldowns.bench(model, MODEL_BENCH_SECONDS, now, "no access to the model")
            case _:
                self.works(credential, now)

    def _failed(self, credential: Credential, error: GatewayError, now: float) -> None:
        was_closed = credential.circuit.closed
        opened = credential.circuit.failed(now)
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= CONSECUTIVE_FAILURES:
            opened = True
            for one in self.credentials:  # a dead address is dead for all of them
                one.circuit.trip(now)
        if was_closed and opened:
            self._told(self.channel, f"failing; left alone for 30 s ({error.message})")
        if error.retry_after:
            credential.cooldowns.bench(
                EVERY_MODEL, error.retry_after, now, "overloaded", stated=True
            )

    def _refused(self, credential: Credential, error: GatewayError, now: float) -> None:
        reason = "credential refused"
        known = credential.cooldowns.benched(EVERY_MODEL, reason, now)
        credential.cooldowns.bench(EVERY_MODEL, CREDENTIAL_BENCH_SECONDS, now, reason)
        if not known:
            which = _which(self, credential)
            self._told(self.channel, f"{which} is refused by the provider ({error.message})")

    def snapshot(self, now: float) -> LaneState:
        """What an operator may see of it."""
        limiter = self.limiter
        return LaneState(
            channel_id=self.channel.id,
            name=self.channel.name,
            enabled=self.channel.enabled,
            priority=self.channel.priority,
            mode="adaptive" if limiter.adaptive else "fixed",
            current_limit=limiter.limit,
            in_flight=limiter.in_flight,
            waiting=limiter.waiting,
            avg_response_time=round(limiter.mean_seconds, 3),
            error_rate=round(limiter.error_rate, 4),
            sample_count=limiter.samples,
            total_requests=self.requests,
            total_errors=self.errors,
            time_to_first_content=self.latency(now),
            last_error=self.last_error,
            credentials=[
                CredentialState(
                    number=one.number,
                    circuit=one.circuit.state(now),
                    opens_again=round(one.circuit.opens_again(now), 1),
                    benches=[
                        Bench(model=model, seconds=round(seconds, 1), reason=reason)
                        for model, seconds, reason in one.cooldowns.listed(now)
                    ],
                )
                for one in self.credentials
            ],
        )


class Fleet:
    """Every lane by its channel's id."""

    def __init__(self, told: Told = lambda channel, what: None) -> None:
        self._lanes: dict[int, Lane] = {}
        self._told = told

    def configure(self, channels: Iterable[Channel]) -> None:
        """Take over a new configuration; lanes of channels that are gone are forgotten, though
        requests under way keep theirs."""
        before = self._lanes
        self._lanes = {}
        for channel in channels:
            lane = before.get(channel.id)
            if lane is None:
                lane = Lane(channel, self._told)
            else:
                lane.configure(channel)
            self._lanes[channel.id] = lane

    def lane(self, channel_id: int) -> Lane:
        """One lane. Raises KeyError."""
        return self._lanes[channel_id]

    def lanes(self) -> list[Lane]:
        """All of them, in the order of the configuration."""
        return list(self._lanes.values())

    def snapshot(self, now: float) -> list[LaneState]:
        """What an operator may see of all."""
        return [lane.snapshot(now) for lane in self._lanes.values()]


def _credentials(channel: Channel, known: Iterable[Credential]) -> list[Credential]:
    """One Credential each; those whose secret is known keep their health."""
    if not channel.credentials:
        return [next((one for one in known if one.secret is None), Credential(None, 0))]
    by_secret = {one.secret: one for one in known}  # each once, should a secret be listed twice
    listed = []
    for number, secret in enumerate(channel.credentials, start=1):
        credential = by_secret.pop(secret, None) or Credential(secret, number)
        credential.number = number
        listed.append(credential)
    return listed


def _asking(channel: Channel) -> tuple[object, ...]:
    """What decides how a model is asked for: who changes it has perhaps mended it."""
    return channel.models, channel.aliases, channel.headers, channel.quirks, channel.drops


def _which(lane: Lane, credential: Credential) -> str:
    return "the credential" if len(lane.credentials) < 2 else f"credential {credential.number}"
