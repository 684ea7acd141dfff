"""The users by name and by id, for tokens that name one."""

from __future__ import annotations

from collections.abc import Iterable

from dragoman.config.problems import Refusal, suggestion
from dragoman.governance.users import ANONYMOUS_USER_ID, DEFAULT_USER_ID, User

_BUILT_IN = (
    User(id=DEFAULT_USER_ID, name="default"),
    User(id=ANONYMOUS_USER_ID, name="anonymous"),
)


class Roster:
    """An immutable snapshot of every user's name."""

    __slots__ = ("_ids", "_names")

    def __init__(self, users: Iterable[User] = _BUILT_IN) -> None:
        self._names = {user.id: user.name for user in users}
        self._ids = {name.casefold(): user_id for user_id, name in self._names.items()}

    def name_of(self, user_id: int) -> str:
        """The user's name; of one that is not known (yet), the number."""
        return self._names.get(user_id, str(user_id))

    def id_of(self, name: str) -> int:
        """The id of the user of that name, in whatever case. Raises Refusal with the nearest name."""
        if (user_id := self._ids.get(name.casefold())) is None:
            hint = suggestion(name, self._names.values())
            raise Refusal(
                f"the user {name[:40]!r} is unknown{hint} (to make one: dragoman users create NAME)"
            )
        return user_id

    def of_field(self, name: str) -> int:
        """As ``id_of``, for a field that is called ``user``."""
        try:
            return self.id_of(name)
        except Refusal as refusal:
            raise Refusal(*(problem.below("user") for problem in refusal.problems)) from None
