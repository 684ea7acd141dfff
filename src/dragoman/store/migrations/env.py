"""Run by Alembic; the connection is handed in by ``store.schema.upgrade``."""

from __future__ import annotations

from alembic import context

from dragoman.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
