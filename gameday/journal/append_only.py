"""Why: a trail that the database itself keeps from being changed is changed by nobody in passing.

Triggers on the audit's table, in SQLite and in PostgreSQL. Whoever owns the database can drop them:
that is noticed by the chain, in ``audit``.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

LOCK: Final = 711_354_125
"""PostgreSQL's advisory lock of whoever writes the audit trail; any number that nobody else locks by."""

_SQLITE: Final = (
    """CREATE TRIGGER IF NOT EXISTS audit_unchanged BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
    """CREATE TRIGGER IF NOT EXISTS audit_undeleted BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
    # INSERT OR REPLACE deletes without asking the trigger above.
    """CREATE TRIGGER IF NOT EXISTS audit_appended BEFORE INSERT ON audit
    WHEN NEW.number <> (SELECT COALESCE(MAX(number), 0) + 1 FROM audit)
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
)

_POSTGRESQL: Final = (
    """CREATE OR REPLACE FUNCTION gameday_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$""",
    """CREATE TRIGGER audit_unchanged BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION gameday_audit_refuse()""",
)
_POSTGRESQL_KNOWS: Final = (
    "SELECT 1 FROM pg_trigger WHERE tgname = 'audit_unchanged' AND tgrelid = 'audit'::regclass"
)


def protect_audit(connection: Connection) -> None:
    """Have the database refuse to change or delete what stands in the audit trail."""
    if connection.dialect.name == "sqlite":
        for statement in _SQLITE:
            connection.exec_driver_sql(statement)
    elif connection.dialect.name == "postgresql":
        if connection.exec_driver_sql(_POSTGRESQL_KNOWS).first():
            return
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        if not connection.exec_driver_sql(_POSTGRESQL_KNOWS).first():
            for statement in _POSTGRESQL:
                connection.exec_driver_sql(statement)
