"""The tables. Every change here needs a migration; a test compares the two.

SQLite makes a fresh database from here, PostgreSQL by the migrations: they also say what only it has.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
    false,
    text,
    true,
)

from dragoman.store.append_only import triggers

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)


def _by_bytes(length: int) -> String:
    """Text that sorts by its bytes, on PostgreSQL too, where else the locale decides."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


# Users are never removed, because the ledger names them. ``folded_name`` is the name without regard to
# case, by Python's rules: each database has others.
users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("folded_name", String(600), nullable=False, unique=True),
    Column("email", String(320), nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    Column("prepaid", Boolean, nullable=False, server_default=false()),
    Column("limits", JSON, nullable=False),
    Column("budget", JSON, nullable=False),
    Column("trial", JSON(none_as_null=True)),
    Column("metadata", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    sqlite_autoincrement=True,
)

# Ids are never used twice (sqlite_autoincrement): a key limited to channel 3 must not come to mean
# whatever channel is made after the third one was removed.
keys = Table(
    "keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("hint", String(16), nullable=False),
    Column("allowed_channels", JSON, nullable=False),
    Column("allowed_models", JSON, nullable=False),
    Column("strict", Boolean, nullable=False, server_default=false()),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    Column("admin", Boolean, nullable=False, server_default=false()),
    Column("user_id", Integer, nullable=False, server_default=text("1")),
    Column("limits", JSON, nullable=False, server_default=text("'{}'")),
    Column("budget", JSON, nullable=False, server_default=text("'{}'")),
    Column("metadata", JSON, nullable=False, server_default=text("'{}'")),
    Column("created_at", Float, nullable=False),
    Column("last_used_at", Float),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    sqlite_autoincrement=True,
)
# The name of a revoked key is free again. (The migration says so to PostgreSQL; to do it here as well
# would import that dialect at every start.)
live_name = keys.c.revoked_at.is_(None)
Index("uq_keys_live_name", keys.c.name, unique=True, sqlite_where=live_name)

channels = Table(
    "channels",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("document", JSON, nullable=False),
    Column("sealed", LargeBinary),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    sqlite_autoincrement=True,
)

settings = Table(
    "settings",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("value", JSON, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# Who changed what, and when. Rows are added and never touched again: the database itself sees to it.
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("via", String(20), nullable=False),
    Column("address", String(100), nullable=False),
    Column("action", String(50), nullable=False),
    Column("target", String(300), nullable=False),
    Column("changes", JSON, nullable=False),
    sqlite_autoincrement=True,
)
for _statement in triggers("sqlite", "audit"):
    event.listen(
        audit,
        "after_create",
        DDL(_statement).execute_if(dialect="sqlite"),  # type: ignore[no-untyped-call]
    )

# The request log. ``number`` is the order of writing, ``id`` that of time; the columns between them
# and ``document`` are copies of what it holds, to search by. Only transcripts are sealed.
requests = Table(
    "requests",
    metadata,
    Column("number", Integer().with_variant(BigInteger(), "postgresql"), primary_key=True),
    Column("id", _by_bytes(64), nullable=False, unique=True),
    Column("started_at", Float, nullable=False),
    Column("key_id", String(200), nullable=False),
    Column("key_name", String(200), nullable=False),
    Column("channel", String(200)),
    Column("model", String(200), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("status", Integer, nullable=False),
    Column("duration_ms", Float, nullable=False),
    Column("document", Text, nullable=False),
    Column("sealed", LargeBinary),
    sqlite_autoincrement=True,
)
for _searched in ("key_name", "channel", "model", "outcome"):
    Index(None, requests.c[_searched], requests.c.id)

# Requests with an Idempotency-Key. ``size`` is that of the sealed answer, if there is one.
idempotency = Table(
    "idempotency",
    metadata,
    Column("scope", LargeBinary(32), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("state", String(16), nullable=False),
    Column("size", Integer, nullable=False),
    Column("sealed", LargeBinary),
)
Index(None, idempotency.c["at"], idempotency.c["size"])


# They are on this metadata: whoever has it shall have them.
from dragoman.store import ledger_tables  # noqa: E402, F401
