"""The tables. Every change here needs a migration; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    JSON,
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
    true,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
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
    Column("created_at", Float, nullable=False),
    Column("last_used_at", Float),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    sqlite_autoincrement=True,
)
# The name of a revoked key is free again. (Another database needs its own ``…_where`` beside
# SQLite's; to name PostgreSQL's here would import that dialect at every start.)
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
for _verb in ("update", "delete"):
    event.listen(
        audit,
        "after_create",
        DDL(  # type: ignore[no-untyped-call]
            f"CREATE TRIGGER audit_no_{_verb} BEFORE {_verb.upper()} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
        ).execute_if(dialect="sqlite"),
    )

# The request log. ``number`` is the order of writing, ``id`` that of time; the columns between them
# and ``document`` are copies of what it holds, to search by. Only transcripts are sealed.
requests = Table(
    "requests",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", String(64), nullable=False, unique=True),
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
