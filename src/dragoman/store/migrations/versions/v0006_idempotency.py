"""Requests with an Idempotency-Key, and their answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make their table."""
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.LargeBinary(32), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("scope", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_at", "idempotency", ["at", "size"])


def downgrade() -> None:
    """Remove it."""
    op.drop_table("idempotency")
