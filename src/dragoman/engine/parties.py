"""Keys and users as admission sees them: live limits, budgets, accounts, kept over changes of the
configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dragoman.governance.keys import VirtualKey
from dragoman.governance.ledger import credit_of, trial_of
from dragoman.governance.limits import Meter
from dragoman.governance.principal import Principal
from dragoman.governance.purse import Account, Budgets, TrialUse
from dragoman.governance.standing import Standing
from dragoman.governance.users import (
    ANONYMOUS_USER_ID,
    DEFAULT_USER_ID,
    NO_BUDGET,
    NO_LIMITS,
    Limits,
    User,
)


class Party:
    """A key, a user or the whole gateway (``scope``): what it may use, and what it has used."""

    __slots__ = ("budgets", "meter", "scope")

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.meter = Meter(NO_LIMITS)
        self.budgets = Budgets(NO_BUDGET)


class UserParty(Party):
    """A user, with a credit account and perhaps a trial."""

    __slots__ = ("account", "trial", "user")

    def __init__(self, user: User) -> None:
        super().__init__("user")
        self.user = user
        self.account = Account()
        self.trial: TrialUse | None = None

    def configure(self, user: User) -> None:
        """Take changes over."""
        self.user = user
        self.meter.configure(user.limits)
        self.budgets.configure(user.budget)
        if user.trial is None:
            self.trial = None
        elif self.trial is None or self.trial.trial != user.trial:
            # Another trial begins with nothing used; requests under way end in the one before.
            self.trial = TrialUse(user.trial)


class Parties:
    """Everybody who is known. ``undrained`` is what the journal holds and the tables do not yet:
    account → nano-USD."""

    def __init__(self) -> None:
        self.gateway = Party("gateway")
        self.users: dict[int, UserParty] = {}
        self.keys: dict[str, Party] = {}
        self.undrained: dict[str, int] = {}
        self.configure((), (), NO_LIMITS)

    def configure(self, users: Iterable[User], keys: Iterable[VirtualKey], limits: Limits) -> None:
        """Take a changed configuration over: ``limits`` are the gateway's own."""
        self.gateway.meter.configure(limits)
        known = {user.id: user for user in users}
        for user_id, name in ((DEFAULT_USER_ID, "default"), (ANONYMOUS_USER_ID, "anonymous")):
            known.setdefault(user_id, User(id=user_id, name=name))
        for user in known.values():
            party = self.users.get(user.id)
            if party is None:
                party = self.users[user.id] = UserParty(user)
            party.configure(user)
        present = set()
        for key in keys:
            present.add(key.id)
            one = self.keys.get(key.id)
            if one is None:
                one = self.keys[key.id] = Party("key")
            one.meter.configure(key.limits)
            one.budgets.configure(key.budget)
        for gone in self.keys.keys() - present:
            del self.keys[gone]

    def of(self, principal: Principal) -> tuple[Party, UserParty]:
        """Key and user of a principal. One that is not known, such as the anonymous key, is made: it
        has no limits of its own."""
        key = self.keys.get(principal.key_id)
        if key is None:
            key = self.keys[principal.key_id] = Party("key")
        user = self.users.get(principal.user_id)
        if user is None:
            user = self.users[principal.user_id] = UserParty(
                User(id=principal.user_id, name=str(principal.user_id))
            )
        return key, user

    def restore(self, standing: Standing, now: float, *, first: bool) -> None:
        """Take over what the tables say. What is spent of budgets is taken ``first`` only: later this
        process alone adds to it."""
        if first:
            for user_id, spent in standing.users.items():
                if (user := self.users.get(user_id)) is not None:
                    user.budgets.restore((spent.day, spent.week, spent.month, spent.total), now)
            for key_id, spent in standing.keys.items():
                if (key := self.keys.get(key_id)) is not None:
                    key.budgets.restore((spent.day, spent.week, spent.month, spent.total), now)
        for user_id, party in self.users.items():
            party.account.balance = self._balance(standing, credit_of(user_id))
            if (trial := party.trial) is not None:
                trial.money.balance = self._balance(standing, trial_of(user_id))
                used = standing.trials.get(user_id)
                if used is not None and (first or not trial.requests):
                    trial.tokens, trial.requests = used.tokens, used.requests

    def used_limits(self, now: int) -> dict[str, dict[str, int]]:
        """What of the limits is used up, for a later process: who → limit → nanoseconds."""
        used = {name: party.meter.used(now) for name, party in self._named()}
        return {name: one for name, one in used.items() if one}

    def restore_limits(self, used: Mapping[str, Mapping[str, int]], now: int) -> None:
        """Take over what ``used_limits`` said in an earlier process."""
        for name, party in self._named():
            party.meter.restore(used.get(name, {}), now)

    def _named(self) -> Iterator[tuple[str, Party]]:
        yield "gateway", self.gateway
        for user_id, user in self.users.items():
            yield f"user {user_id}", user
        for key_id, key in self.keys.items():
            yield f"key {key_id}", key

    def journaled(self, moved: Mapping[str, int]) -> None:
        """So much more is in the journal and not in the tables."""
        for account, nano in moved.items():
            if ":" in account:  # nobody looks at the others before they are in the tables
                self.undrained[account] = self.undrained.get(account, 0) + nano

    def drained(self, moved: Mapping[str, int]) -> None:
        """So much of what was journaled has reached the tables."""
        self.journaled({account: -nano for account, nano in moved.items()})

    def take_undrained(self) -> dict[str, int]:
        """Everything that was journaled so far is about to reach the tables; ``journaled`` puts it
        back if it does not."""
        taken, self.undrained = self.undrained, {}
        return taken

    def forget_spending(self) -> None:
        """Everything that was spent so far will be among what ``restore`` tells first."""
        for party in (*self.users.values(), *self.keys.values()):
            party.budgets.forget()

    def _balance(self, standing: Standing, account: str) -> int:
        return standing.balances.get(account, 0) + self.undrained.get(account, 0)
