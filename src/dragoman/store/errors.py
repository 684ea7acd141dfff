"""What can go wrong with the store. Every message says what to do and holds no secret."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot do what was asked; the message is meant for the operator."""


class DatabaseAway(StoreError):
    """The database cannot be reached just now; the same may be asked again later."""


class NameTaken(StoreError):
    """Another live row bears the name."""


class NoSuchRow(StoreError):
    """Nothing bears the name or id."""


class SecretKeyError(StoreError):
    """The secret key is missing, unusable, or not the one the database was written with."""


class SchemaTooNew(StoreError):
    """The database was written by a newer version of the gateway."""


class EntryRefused(StoreError):
    """The ledger cannot hold the entry with this ``id``, whatever the database does; nothing was
    booked of what came with it either."""

    def __init__(self, entry_id: str, reason: str) -> None:
        super().__init__(f"The entry {entry_id!r} cannot be booked: {reason}.")
        self.id = entry_id
