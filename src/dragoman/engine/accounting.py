"""Admission and settlement: what a request may use, and what it has cost.

``admit`` looks at everything first and then takes everything, without a wait in between: of 200 requests
at once on an account that can pay for ten, ten are admitted. What is taken is given back by ``settle`` or
``release``, exactly once, whatever happens. Both leave their line in the journal before the request's
last byte leaves.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from dragoman.canonical.errors import GatewayError
from dragoman.canonical.usage import Usage
from dragoman.engine.accounting_stats import AccountingStats
from dragoman.engine.admission_errors import (
    books_closed,
    no_price,
    out_of_budget,
    out_of_credit,
    rate_limited,
    too_large_for_limit,
    trial_over,
    trial_used_up,
)
from dragoman.engine.bookings import amount_of, failed, not_booked, served
from dragoman.engine.books import Journal, JournalFull, NoJournal
from dragoman.engine.journey import Attempt
from dragoman.engine.limit_headers import limit_headers
from dragoman.engine.parties import Parties, Party, UserParty
from dragoman.engine.records import Trace
from dragoman.engine.stay import Demand, PriceOf, Stay
from dragoman.governance.keys import VirtualKey
from dragoman.governance.ledger import (
    OPERATOR,
    Entry,
    Hold,
    Released,
    Settled,
    credit_of,
    moved,
    trial_of,
)
from dragoman.governance.limits import SECOND
from dragoman.governance.price import Price, Rates, at_most
from dragoman.governance.principal import Principal
from dragoman.governance.purse import TrialUse
from dragoman.governance.standing import Standing
from dragoman.governance.users import NO_LIMITS, Limits, User
from dragoman.routing.channel import Channel
from dragoman.routing.plan import Plan
from dragoman.routing.select import Option

logger = logging.getLogger("dragoman.accounting")

OUTPUT_HELD = 4096
"""Output tokens that money is held for when the client does not bound them. More than that is an
overrun, which the account pays as far as it can."""
OUTPUT_COUNTED = 256
"""Output tokens that token limits are charged with at first, when the client does not bound them."""
_ALERT_SECONDS = 3600.0


class Accounting:
    """One per process, used on the event loop."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        journal: Journal | None = None,
        price_of: PriceOf = lambda channel, upstream, public: None,
    ) -> None:
        """``clock`` gives monotonic seconds, ``wall`` Unix time."""
        self.parties = Parties()
        self.journal: Journal = journal or NoJournal()
        self.unpriced = 0
        self.balances_known = True
        self._clock = clock
        self._wall = wall
        self._price_of = price_of
        self._unpriced = "auto"
        self._stated: Price | None = None
        self._alerted: dict[tuple[int, str], float] = {}
        self._refusals: dict[str, int] = {}
        self._holds = 0
        self._absorbed = 0

    def configure(
        self,
        users: Iterable[User],
        keys: Iterable[VirtualKey],
        *,
        limits: Limits = NO_LIMITS,
        unpriced: str = "auto",
        unpriced_price: Rates | None = None,
    ) -> None:
        """Take a changed configuration over. ``unpriced`` is as in the settings."""
        self.parties.configure(users, keys, limits)
        self._unpriced = unpriced
        self._stated = None
        if unpriced == "estimate" and unpriced_price is not None:
            self._stated = Price(rates=unpriced_price, source="stated")

    def restore(self, standing: Standing, *, first: bool = False) -> None:
        """Take over what the tables say."""
        self.parties.restore(standing, self._wall(), first=first)
        self.balances_known = True

    def admit(self, demand: Demand, principal: Principal, plan: Plan) -> Stay:
        """Let a request in, or raise what it lacks (429, 402, 403, 503). Candidates that may not be
        used for want of a price are taken out of ``plan``."""
        key, user = self.parties.of(principal)
        now = self._wall()
        stay = Stay(
            demand, principal, key, user, price_of=self._price_of, at=now, stated=self._stated
        )
        stay.trial = self._trial(user, stay.at)
        moment = self._check_rates(stay)
        if demand.charged:
            self._check_money(stay, plan)
            self._hold(stay)
        for party in (key, user, self.parties.gateway):
            party.meter.enter(stay.tokens, moment)
        return stay

    @contextlib.contextmanager
    def visit(self, principal: Principal) -> Iterator[None]:
        """Let in a request that asks nothing of a model: it counts as a request and costs nothing, so
        that whoever is out of money, or whose trial is over, may ask for the bill. Raises
        RateLimited."""
        parties = (*self.parties.of(principal), self.parties.gateway)
        now = self._check_meters(parties, 0)
        for party in parties:
            party.meter.enter(0, now)
        try:
            yield
        finally:
            for party in parties:
                party.meter.leave(0)

    def price(self, channel: Channel, model: str) -> Price | None:
        """What a request for ``model`` (its public name) is charged by at ``channel`` now; None if
        nobody knows."""
        return self._price_of(channel, channel.upstream_model(model), model) or self._stated

    def settle(self, stay: Stay, trace: Trace, usage: Usage, outcome: str) -> int | None:
        """Book an answer that ``usage`` was spent on; its cost in nano-USD, None if unpriced."""
        attempts = trace.journey.attempts
        price = stay.price_at(attempts[-1])
        amount = amount_of(usage, price)
        if amount is None:
            self._alert(attempts[-1])
        payable = amount or 0
        # As the user is now: an account that has become prepaid meanwhile is not overdrawn, either.
        if stay.trial is None and stay.user.user.prepaid:
            own = stay.nano if stay.prepaid else 0
            payable = stay.user.account.payable(payable, own)
        now = self._wall()
        entries = failed(stay, trace, attempts[:-1], now)
        entries += served(
            stay, trace, usage, price, amount, outcome=outcome, payable=payable, now=now
        )
        self._give_back(stay, usage.total, amount or 0, served=True)
        self._write(Settled(stay.demand.request_id, tuple(entries)), entries)
        stay.cost, stay.settled = amount, True
        return amount

    def release(self, stay: Stay, trace: Trace) -> None:
        """Nothing was delivered: the client pays nothing. What failed attempts cost is the
        operator's."""
        charged = stay.demand.charged
        entries = failed(stay, trace, trace.journey.attempts, self._wall()) if charged else []
        self._give_back(stay, 0, 0, served=False)
        if not charged:
            return
        request_id = stay.demand.request_id
        line = Settled(request_id, tuple(entries)) if entries else Released(request_id)
        self._write(line, entries)

    def abandon(self, stay: Stay) -> None:
        """Give everything back of a request that cannot be ended otherwise, because of a defect."""
        if stay.open:
            self._give_back(stay, 0, 0, served=False)
        if stay.demand.charged:
            self.journal.append(Released(stay.demand.request_id))

    def headers(self, principal: Principal, *, anthropic: bool) -> dict[str, str]:
        """How the principal's limits stand, for response headers."""
        key, user = self.parties.of(principal)
        parties = (key, user, self.parties.gateway)
        meters = [party.meter for party in parties if party.meter.limited]
        if not meters:
            return {}
        return limit_headers(meters, self.now(), self._wall(), anthropic=anthropic)

    def now(self) -> int:
        """Monotonic nanoseconds, as limits count."""
        return int(self._clock() * SECOND)

    def live(self, user_id: int) -> tuple[int, int] | None:
        """(balance, held) of a user's credit account at this moment, in nano-USD, with what is not in
        the tables yet; None if that is not known."""
        user = self.parties.users.get(user_id)
        if user is None or not self.balances_known:
            return None
        return user.account.balance, user.account.held

    def stats(self) -> AccountingStats:
        """For ``/metrics``."""
        accounts = [user.account for user in self.parties.users.values()]
        prepaid = [user.account for user in self.parties.users.values() if user.user.prepaid]
        return AccountingStats(
            refused=dict(self._refusals),
            holds=self._holds,
            held=sum(account.held for account in accounts),
            balances=sum(account.balance for account in accounts),
            exhausted=sum(account.available <= 0 for account in prepaid),
            unpriced=self.unpriced,
            absorbed=self._absorbed,
            journal_lines=self.journal.behind,
            journal_bytes=self.journal.size,
            journal_room=not self.journal.full,
            books_known=self.balances_known,
        )

    def _refused(self, kind: str, error: GatewayError) -> GatewayError:
        self._refusals[kind] = self._refusals.get(kind, 0) + 1
        return error

    def _trial(self, user: UserParty, now: float) -> TrialUse | None:
        """The trial that pays for a request; None if the account does."""
        trial = user.trial
        if trial is None:
            return None
        if not trial.ended(now):
            return trial
        if user.user.prepaid and user.account.available > 0:
            return None
        raise self._refused("trial", trial_over(trial))

    def _check_rates(self, stay: Stay) -> int:
        """The present time, as limits count; sets ``stay.tokens``. Raises RateLimited."""
        parties = (stay.key, stay.user, self.parties.gateway)
        fewest = [party.meter.fewest_tokens for party in parties]
        limits = [limit for limit in fewest if limit is not None]
        if stay.demand.charged and limits:
            most = min(limits)
            read = stay.input_tokens
            if read > most:
                raise self._refused("tokens", too_large_for_limit(read, most))
            stay.tokens = min(most, read + stay.demand.output(OUTPUT_COUNTED))
        return self._check_meters(parties, stay.tokens)

    def _check_meters(self, parties: Sequence[Party], tokens: int) -> int:
        """The present time, as limits count. Raises RateLimited."""
        now = self.now()
        for party in parties:
            refusal = party.meter.refusal(tokens, now)
            if refusal is not None:
                raise self._refused(refusal.kind, rate_limited(party.scope, refusal))
        return now

    def _check_money(self, stay: Stay, plan: Plan) -> None:
        """Raise CreditExhausted, RateLimited (a trial) or NotConfigured (no price); sets
        ``stay.nano``."""
        user, trial = stay.user, stay.trial
        paid = trial is not None and trial.trial.nano_usd is not None
        paid = paid or (trial is None and stay.prepaid)
        paid = paid or stay.key.budgets.limited or user.budgets.limited
        self._exclude_unpriced(stay, plan, paid=paid)
        if not paid and trial is None:
            return
        if not self.balances_known:
            raise self._refused("books", books_closed("its accounts cannot be read"))
        read = stay.input_tokens
        written = stay.demand.output(OUTPUT_HELD)
        if paid:
            stay.nano = max(self._dearest(stay, one, read, written) for one in plan.options)
        for party in (stay.key, user):
            found = party.budgets.refusal(stay.nano, stay.at) if stay.nano else None
            if found is not None:
                raise self._refused("budget", out_of_budget(party.scope, *found))
        if trial is not None:
            what = trial.exceeded(stay.nano, read)
            if what is not None:
                if not (stay.prepaid and user.account.available > 0):
                    raise self._refused("trial", trial_used_up(trial, what))
                stay.trial = trial = None
                stay.nano = max(self._dearest(stay, one, read, written) for one in plan.options)
        if trial is None and stay.prepaid and stay.nano > max(0, user.account.available):
            raise self._refused("credit", out_of_credit(stay.nano, max(0, user.account.available)))

    def _dearest(self, stay: Stay, option: Option, read: int, written: int) -> int:
        channel = option.channel
        price = stay.price(channel, channel.upstream_model(option.model), option.model)
        return 0 if price is None else at_most(read, written, price)

    def _exclude_unpriced(self, stay: Stay, plan: Plan, *, paid: bool) -> None:
        """Take out candidates without a price where one is needed. Raises NotConfigured if none is
        left."""
        must = self._unpriced == "block" or (self._unpriced == "auto" and paid)
        if not must:
            return
        model = ""
        for option in tuple(plan.options):
            channel, model = option.channel, option.model
            if stay.price(channel, channel.upstream_model(option.model), option.model) is None:
                plan.exclude(channel, "has no price for the model")
        if not plan.options:
            raise self._refused("price", no_price(model))

    def _hold(self, stay: Stay) -> None:
        """Take the money, and say so in the journal. Raises Unavailable if that cannot be written."""
        user = stay.user
        user_id = user.user.id
        account = ""
        if stay.trial is not None:
            account = trial_of(user_id)
        elif stay.prepaid:
            account = credit_of(user_id)
        line = Hold(
            stay.demand.request_id, stay.at, user_id, stay.principal.key_id, account, stay.nano
        )
        try:
            self.journal.admit(line)
        except JournalFull as full:
            raise self._refused("books", books_closed(str(full))) from None
        self._holds += 1
        stay.key.budgets.hold(stay.nano)
        user.budgets.hold(stay.nano)
        if stay.trial is not None:
            # Tokens are held beside the money, so that a trial cannot be overdrawn at once either.
            stay.trial.enter(stay.nano, stay.input_tokens)
        elif stay.prepaid:
            user.account.hold(stay.nano)

    def _give_back(self, stay: Stay, used_tokens: int, amount: int, *, served: bool) -> None:
        """End everything that ``admit`` took. Exactly once."""
        assert stay.open, "a stay ends once"
        stay.open = False
        for party in (stay.key, stay.user, self.parties.gateway):
            party.meter.leave(used_tokens - stay.tokens)
        if not stay.demand.charged:
            return
        self._holds -= 1
        user = stay.user
        for budgets in (stay.key.budgets, user.budgets):
            budgets.release(stay.nano)
            if amount:
                budgets.spend(amount, self._wall())
        if stay.trial is not None:
            stay.trial.leave(stay.nano, stay.input_tokens, used_tokens, served=served)
        elif stay.prepaid:
            user.account.release(stay.nano)

    def _write(self, line: Settled | Released, entries: Iterable[Entry]) -> None:
        """Journal a line, and bring the accounts in memory to it."""
        try:
            self.journal.append(line)
        except ValueError:  # its client has been answered, or is about to be: nothing may stop that
            logger.exception("request %s cannot be booked as it is: %r", line.id, entries)
            notes = [not_booked(entry) for entry in entries]
            self.journal.append(Settled(line.id, tuple(notes)))
            return
        sums = moved(tuple(entries))
        self.parties.journaled(sums)
        for account, nano in sums.items():
            kind, _, owner = account.partition(":")
            if account == OPERATOR:
                self._absorbed -= nano
            if not owner or (user := self.parties.users.get(int(owner))) is None:
                continue
            if kind == "credit":
                user.account.balance += nano
            elif kind == "trial" and user.trial is not None:
                user.trial.money.balance += nano

    def _alert(self, attempt: Attempt) -> None:
        """Tell the operator of a model without a price, once an hour."""
        self.unpriced += 1
        known = (attempt.channel.id, attempt.upstream_model)
        now = self._clock()
        told = self._alerted.get(known)
        if told is not None and now - told < _ALERT_SECONDS:
            return
        if len(self._alerted) > 1_000:  # clients choose the names
            self._alerted.clear()
        self._alerted[known] = now
        logger.warning(
            "UNPRICED: %r at channel %r was served, and nobody says what it costs; state it with "
            "'dragoman prices set'",
            attempt.upstream_model[:100],
            attempt.channel.name,
        )
