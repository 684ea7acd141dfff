"""Who a virtual key acts for."""

from __future__ import annotations

import msgspec

from dragoman.governance.users import ANONYMOUS_USER_ID, DEFAULT_USER_ID


class Principal(msgspec.Struct, kw_only=True, frozen=True):
    """An authenticated caller, who acts for the user ``user_id``. Empty tuples mean no restriction;
    channel names and ids may be mixed in ``allowed_channels`` (ids as decimal text). An ``admin`` may
    administer, and do nothing else."""

    key_id: str
    name: str
    allowed_channels: tuple[str, ...] = ()
    allowed_models: tuple[str, ...] = ()
    strict: bool = False
    admin: bool = False
    user_id: int = DEFAULT_USER_ID

    def may_use_model(self, model: str) -> bool:
        """Whether ``model`` is among the allowed ones, without regard to case."""
        if not self.allowed_models:
            return True
        wanted = model.casefold()
        return any(wanted == name.casefold() for name in self.allowed_models)

    def may_use_channel(self, channel_id: int, name: str) -> bool:
        """Whether the channel is among the allowed ones."""
        return (
            not self.allowed_channels
            or str(channel_id) in self.allowed_channels
            or name in self.allowed_channels
        )


ANONYMOUS = Principal(key_id="anonymous", name="anonymous", user_id=ANONYMOUS_USER_ID)
