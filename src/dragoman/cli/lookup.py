"""Finding channels, keys and users by what a person calls them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dragoman.cli.output import CommandFailed
from dragoman.config.problems import suggestion

if TYPE_CHECKING:
    from dragoman.config.assemble import Sourced
    from dragoman.governance.keys import VirtualKey
    from dragoman.governance.users import User
    from dragoman.runtime import Runtime


def find_channel(runtime: Runtime, name_or_id: str) -> Sourced:
    """The channel of this name or id. Raises CommandFailed with the nearest name."""
    for one in runtime.assembly.channels:
        if name_or_id in (one.entry.name, str(one.entry.id)):
            return one
    known = [one.entry.name for one in runtime.assembly.channels]
    hint = suggestion(name_or_id, known) if known else "; there are none (dragoman channels add)"
    raise CommandFailed(f"No channel has the name or id {name_or_id!r}{hint}")


def find_key(runtime: Runtime, name_or_id: str) -> VirtualKey:
    """The live key of this name or id. Raises CommandFailed with the nearest name."""
    live = [key for key in runtime.assembly.keys if key.revoked_at is None]
    for key in live:
        if name_or_id in (key.id, key.name):
            return key
    hint = suggestion(name_or_id, [key.name for key in live])
    raise CommandFailed(f"No live key has the name or id {name_or_id!r}{hint}")


def find_user(runtime: Runtime, name_or_id: str) -> User:
    """The user of this name (in whatever case) or id. Raises CommandFailed with the nearest name."""
    users = runtime.state.users
    for user in users:
        if name_or_id.casefold() in (user.name.casefold(), str(user.id)):
            return user
    hint = suggestion(name_or_id, [user.name for user in users])
    raise CommandFailed(f"No user has the name or id {name_or_id!r}{hint}")


def check_channels(runtime: Runtime, wanted: Sequence[str]) -> tuple[str, ...]:
    """The same, each of which is known. Raises CommandFailed."""
    return tuple(find_channel(runtime, name).entry.name for name in wanted)
