"""Tables that only grow: the database itself refuses to change or remove what stands in them."""

from __future__ import annotations

from collections.abc import Iterator

_FUNCTION = "dragoman_append_only"
_POSTGRES_FUNCTION = (
    f"CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "RAISE EXCEPTION USING ERRCODE = 'restrict_violation', "
    "MESSAGE = 'the ' || TG_TABLE_NAME || ' is append-only'; END $$"
)


def triggers(dialect: str, table: str) -> Iterator[str]:
    """The statements that protect ``table``, for a migration and for a fresh database alike.
    ``dialect`` is ``sqlite`` or ``postgresql``."""
    if dialect == "postgresql":
        yield _POSTGRES_FUNCTION
        yield (
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION {_FUNCTION}()"
        )
        yield (
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {_FUNCTION}()"
        )
        return
    for verb in ("update", "delete"):
        yield (
            f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb.upper()} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, 'the {table} is append-only'); END"
        )


def without_function(dialect: str) -> Iterator[str]:
    """The statement that forgets what the triggers called, once the last such table is gone."""
    if dialect == "postgresql":
        yield f"DROP FUNCTION IF EXISTS {_FUNCTION}()"
