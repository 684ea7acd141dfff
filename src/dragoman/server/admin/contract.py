"""What the admin API asks of whoever keeps the configuration (``runtime``).

Documents are plain JSON objects with the field names of the configuration file. Secrets never leave:
a mask stands where one is set. Every change is checked, written, audited and in force before the
call returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

import msgspec

from dragoman.governance.record import Filter as Filter  # noqa: PLC0414 - part of this interface
from dragoman.governance.record import RequestRecord

if TYPE_CHECKING:
    from dragoman.server.admin.accounts import Accounts

Document = dict[str, Any]

MASK = "***"
"""What stands for a secret that is set; sent back, it means: as it is."""


class Actor(msgspec.Struct, kw_only=True, frozen=True):
    """Who makes a change: an admin key's name, how it came (``key``, ``session``, ``cli``), and the
    address it came from."""

    name: str
    via: str
    address: str = ""


class ChangeRefused(Exception):
    """A change is not valid. ``problems`` are (dotted path, message) pairs, never empty."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{path}: {text}" if path else text for path, text in problems))
        self.problems = problems


class NoSuchEntry(Exception):
    """There is no channel, key or request of that id."""


class NameIsTaken(Exception):
    """Another channel or key has the name."""


class NotEditable(Exception):
    """The entry comes from the environment or a flag, which only its owner can change."""


class Storage(Exception):
    """The database or the configuration file cannot be written; nothing was changed."""


class Administration(Interface):
    """Every method may raise Storage."""

    @property
    def accounts(self) -> Accounts:
        """Users and the books."""
        ...

    async def channels(self) -> list[Document]:
        """Every channel in force: its fields, and ``source`` (``database``, ``file``, ``environment``
        or, of the demonstration, ``demo``), ``editable``, ``has_api_key``. ``protocols`` is what it
        speaks (name → base URL), whether written down or the provider's usual."""
        ...

    async def channel(self, channel_id: int) -> Document:
        """One of them. Raises NoSuchEntry."""
        ...

    async def add_channel(self, fields: Mapping[str, Any], actor: Actor) -> Document:
        """Make a channel; ``name`` and ``type`` are needed. Raises ChangeRefused, NameIsTaken."""
        ...

    async def change_channel(
        self, channel_id: int, changes: Mapping[str, Any], actor: Actor
    ) -> Document:
        """Change the given fields; null resets one to its default, MASK leaves a secret as it is. In
        ``api_keys`` it keeps the one of its place, and null takes the one of its place out. A field
        that comes back as ``channel`` shows it stays. Keys that are limited to the channel follow its
        new name. Raises NoSuchEntry, NotEditable, ChangeRefused, NameIsTaken."""
        ...

    async def remove_channel(self, channel_id: int, actor: Actor) -> None:
        """Raises NoSuchEntry, NotEditable, and ChangeRefused if a token of the configuration file is
        limited to it."""
        ...

    async def keys(self) -> list[Document]:
        """Every virtual key: ``id``, ``name``, ``hint``, ``enabled``, ``admin``, ``allowed_channels``,
        ``allowed_models``, ``strict``, ``user`` (its name), ``limits``, ``budget``, ``metadata``,
        ``created_at``, ``last_used_at``, ``expires_at``, ``revoked_at`` (ISO 8601 or null), ``source``,
        ``editable``."""
        ...

    async def add_key(self, fields: Mapping[str, Any], actor: Actor) -> tuple[str, Document]:
        """Make a key; its text (shown once) and its document. ``fields`` are the editable ones, and
        ``key`` for a text of one's own. Raises ChangeRefused, NameIsTaken."""
        ...

    async def change_key(self, key_id: str, changes: Mapping[str, Any], actor: Actor) -> Document:
        """Change ``name``, ``enabled``, ``allowed_channels``, ``allowed_models``, ``strict``,
        ``admin``, ``expires_at``, ``user``, ``limits``, ``budget`` or ``metadata``. Raises as
        change_channel."""
        ...

    async def revoke_key(self, key_id: str, actor: Actor) -> None:
        """End a key for good; a token of the configuration file is taken out of it. Raises NoSuchEntry,
        NotEditable."""
        ...

    async def settings(self) -> Document:
        """``values`` (every setting), ``sources`` (setting → ``default``, ``file``, ``database``,
        ``environment``, ``flag``) and ``needs_restart`` (settings changed since the start that wait
        for one)."""
        ...

    async def change_settings(self, changes: Mapping[str, Any], actor: Actor) -> Document:
        """Change settings; null resets one, and what comes back as shown stays. Raises ChangeRefused,
        NotEditable for a setting that the environment or a flag fixes."""
        ...

    async def audit(self, limit: int, before: int | None) -> list[Document]:
        """What was changed, newest first: ``id``, ``at`` (ISO 8601), ``actor``, ``via``, ``address``,
        ``action`` (``channel.add`` …), ``target``, ``changes`` (field → [before, after], secrets
        masked)."""
        ...

    async def note_sign_in(self, actor: Actor, *, accepted: bool) -> None:
        """Put a sign-in, or a refused one, into the audit."""
        ...

    async def requests(self, wanted: Filter) -> Sequence[RequestRecord]:
        """The request log, without transcripts."""
        ...

    async def request(self, request_id: str) -> RequestRecord:
        """One request, with its transcript if kept. Raises NoSuchEntry."""
        ...

    def providers(self) -> list[Document]:
        """The catalogue: ``id``, ``title``, ``aliases``, ``protocols``, ``key_page``,
        ``key_required``, ``models``."""
        ...
