"""Alembic's scripts. A new one: ``versions/v0002_what_it_does.py``, and ``schema.NEWEST`` with it."""
