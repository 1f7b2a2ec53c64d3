"""Why: the journal's tables stand in one place, portable between SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

metadata = MetaData()


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware moment: SQLite forgets the zone, so it is UTC on the way in and out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store in UTC."""
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Give back in UTC."""
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


runs = Table(
    "runs",
    metadata,
    Column("run", String(63), primary_key=True),
    Column("flow_run", String(36), index=True),
    Column("experiment", String(40), nullable=False, index=True),
    Column("environment", String(40), nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("verdict", String(16)),
    Column("summary", Text),
    Column("plan", JSON),
    Column("digest", String(64)),
    Column("report", Text),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", ForeignKey("runs.run"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(24), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JSON, nullable=False),
    Index("events_of_run", "run", "id"),
)

observations = Table(
    "observations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", ForeignKey("runs.run"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("stage", String(40), nullable=False),
    Column("signal", String(63), nullable=False),
    Column("service", String(63), nullable=False),
    Column("value", Float),
    Column("unknown", Text),
    Column("state", String(16), nullable=False),
    Index("observations_of_run", "run", "signal", "at"),
)

faults = Table(
    "faults",
    metadata,
    Column("run", ForeignKey("runs.run"), primary_key=True),
    Column("name", String(253), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("namespace", String(63), nullable=False),
    Column("stage", String(40), nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("injected_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("pods", JSON, nullable=False),
    Column("proof", Text, nullable=False),
)
