"""The ledger."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from dragoman.store.append_only import triggers

revision = "0005"
down_revision = "0004"

_BUCKETS = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "input_audio",
    "input_image",
    "output",
    "reasoning",
    "output_audio",
    "output_image",
)
_MEASURES = ("requests", "errors", "input", "cached", "output", "cost", "unpriced", "estimated")


def upgrade() -> None:
    """Make its tables, protect what is booked, and make what its listings search by."""
    op.create_table(
        "entries",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False
        ),
        _text("id"),
        _text("kind", 20),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        *map(_text, ("key_id", "key_name", "operation", "protocol", "model", "response_model")),
        sa.Column("channel_id", sa.Integer()),
        *map(_text, ("channel", "provider")),
        _text("outcome", 20),
        *(sa.Column(bucket, sa.BigInteger()) for bucket in _BUCKETS),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("cost", sa.BigInteger()),
        _text("price_source"),
        _text("price_date", 40),
        sa.Column("request_ms", sa.Float(), nullable=False),
        sa.Column("trial", sa.Boolean(), nullable=False),
        _text("actor"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_entries"),
        sa.UniqueConstraint("id", name="uq_entries_id"),
    )
    for column in ("user_id", "key_id", "kind"):
        op.create_index(f"ix_entries_{column}", "entries", [column, "at", "number"])
    op.create_index("ix_entries_at", "entries", ["at", "number"])
    _table("legs", _big("number"), _int("leg"), _text("account", 100), _big("amount"), key=2)
    for table in ("entries", "legs"):
        for statement in triggers(op.get_bind().dialect.name, table):
            op.execute(statement)
    _table("accounts", _text("name", 100), _big("balance"), key=1)
    _table("account_hours", _text("account", 100), _big("hour"), _big("amount"), key=2)
    for table, moment in (("usage_hours", "hour"), ("usage_days", "day")):
        _table(
            table,
            _big(moment),
            _int("user_id"),
            *map(_text, ("key_id", "model", "channel", "provider")),
            sa.Column("trial", sa.Boolean(), nullable=False),
            _text("kind", 20),
            *map(_big, _MEASURES),
            key=8,
        )


def downgrade() -> None:
    """Remove them."""
    for table in ("usage_days", "usage_hours", "account_hours", "accounts", "legs", "entries"):
        op.drop_table(table)


def _table(name: str, *columns: sa.Column[Any], key: int) -> None:
    """A table whose first ``key`` columns are its primary key."""
    names = [column.name for column in columns[:key]]
    op.create_table(
        name,
        *columns,
        sa.PrimaryKeyConstraint(*names, name=f"pk_{name}"),
        sqlite_with_rowid=False,
    )


def _text(name: str, letters: int = 200) -> sa.Column[Any]:
    return sa.Column(name, sa.String(letters), nullable=False)


def _big(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False, autoincrement=False)


def _int(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=False, autoincrement=False)
