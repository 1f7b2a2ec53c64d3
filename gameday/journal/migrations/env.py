"""Alembic runs this: it gets an open connection and leaves its transaction to whoever opened it."""

from __future__ import annotations

from alembic import context

from gameday.journal.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
