"""Users, and what keys have of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_FIRST = ("default", "anonymous")


def upgrade() -> None:
    """Make users; let every key belong to the first, and have limits, budget and metadata."""
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("folded_name", sa.String(600), nullable=False),
        sa.Column("email", sa.String(320), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("prepaid", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("budget", sa.JSON(), nullable=False),
        sa.Column("trial", sa.JSON(none_as_null=True)),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("folded_name", name="uq_users_folded_name"),
        sqlite_autoincrement=True,
    )
    # One by one and without ids: so they become 1 and 2, and the next one is 3 on every database.
    for name in _FIRST:
        op.execute(
            sa.text(
                "INSERT INTO users (name, folded_name, email, limits, budget, metadata, created_at) "
                "VALUES (:name, :name, '', '{}', '{}', '{}', 0)"
            ).bindparams(name=name)
        )
    op.add_column(
        "keys", sa.Column("user_id", sa.Integer(), nullable=False, server_default=sa.text("1"))
    )
    for name in ("limits", "budget", "metadata"):
        op.add_column(
            "keys", sa.Column(name, sa.JSON(), nullable=False, server_default=sa.text("'{}'"))
        )


def downgrade() -> None:
    """Remove them."""
    for name in ("metadata", "budget", "limits", "user_id"):
        op.drop_column("keys", name)
    op.drop_table("users")
