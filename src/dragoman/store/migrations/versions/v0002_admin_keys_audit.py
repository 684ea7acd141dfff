"""Admin keys, and the audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dragoman.store.append_only import triggers, without_function

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Mark keys that open the administration; make the audit, which only grows."""
    op.add_column(
        "keys", sa.Column("admin", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("via", sa.String(20), nullable=False),
        sa.Column("address", sa.String(100), nullable=False),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("target", sa.String(300), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    for statement in triggers(op.get_bind().dialect.name, "audit"):
        op.execute(statement)


def downgrade() -> None:
    """Remove them."""
    op.drop_table("audit")
    for statement in without_function(op.get_bind().dialect.name):
        op.execute(statement)
    op.drop_column("keys", "admin")
