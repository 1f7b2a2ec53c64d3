"""Why: the journal's tables stand in one place, portable between SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
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
    false,
)

metadata = MetaData()

# It only grows, and a large platform writes thousands a minute. SQLite's own are as long anyway.
_Number = BigInteger().with_variant(Integer, "sqlite")

HEAD = "0003"
"""The revision of ``migrations`` that makes these tables. A database that has it needs no migration."""


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


def _sandbox() -> Column[bool]:
    """Whether it is of the sandbox: what a twin did says nothing of how a cluster fares."""
    return Column("sandbox", Boolean, nullable=False, server_default=false())


runs = Table(
    "runs",
    metadata,
    Column("run", String(63), primary_key=True),
    Column("flow_run", String(36), index=True),
    Column("experiment", String(40), nullable=False, index=True),
    Column("environment", String(40), nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False, index=True),
    Column("ended_at", UtcDateTime),
    Column("verdict", String(16)),
    Column("summary", Text),
    Column("plan", JSON),
    Column("digest", String(64)),
    Column("report", Text),
    Column("suite", String(63), index=True),
    Column("prediction", String(63)),
    _sandbox(),
)

events = Table(
    "events",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
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
    Column("id", _Number, primary_key=True, autoincrement=True),
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

approval_requests = Table(
    "approval_requests",
    metadata,
    Column("request", String(80), primary_key=True),
    Column("subject", String(63), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("demand", String(16), nullable=False),
    Column("needed", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("approvers", JSON, nullable=False),
    Column("checklist", JSON, nullable=False),
    Column("details", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime),
)

approval_answers = Table(
    "approval_answers",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("request", ForeignKey("approval_requests.request"), nullable=False, index=True),
    Column("who", Text, nullable=False),
    Column("decision", String(16), nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("source", String(24), nullable=False),
    Column("confirmed", JSON, nullable=False),
    Column("objection", Text, nullable=False),
)

# One row a request at most: whoever is first decides what became of it.
approval_closings = Table(
    "approval_closings",
    metadata,
    Column("request", ForeignKey("approval_requests.request"), primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("run", String(63)),
)

proposals = Table(
    "proposals",
    metadata,
    Column("proposal", ForeignKey("approval_requests.request"), primary_key=True),
    Column("experiment", String(40), nullable=False, index=True),
    Column("environment", String(40), nullable=False),
    Column("duration", String(24)),
    Column("reason", Text, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("valid_until", UtcDateTime, nullable=False),
    Column("plan", JSON, nullable=False),
)

# What was worked out of a run's record once it had ended, so that nobody has to look through its
# observations again. It can be made anew at any time.
run_summaries = Table(
    "run_summaries",
    metadata,
    Column("run", ForeignKey("runs.run"), primary_key=True),
    Column("recovered_s", Float),
    Column("availability", Float),
    Column("samples", Integer, nullable=False),
    Column("interventions", Integer, nullable=False),
)

# Which service met which fault.
run_hits = Table(
    "run_hits",
    metadata,
    Column("run", ForeignKey("runs.run"), primary_key=True),
    Column("service", String(63), primary_key=True),
    Column("kind", String(40), primary_key=True),
    Column("action", String(40), primary_key=True),
    Index("hits_of_service", "service", "kind"),
)

run_recoveries = Table(
    "run_recoveries",
    metadata,
    Column("run", ForeignKey("runs.run"), primary_key=True),
    Column("stage", String(40), primary_key=True),
    Column("service", String(63), primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("took_s", Float),
)

series = Table(
    "series",
    metadata,
    Column("run", ForeignKey("runs.run"), primary_key=True),
    Column("signal", String(63), primary_key=True),
    Column("service", String(63), primary_key=True),
    Column("body", JSON, nullable=False),
)

analyses = Table(
    "analyses",
    metadata,
    Column("run", ForeignKey("runs.run"), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("body", JSON, nullable=False),
)

findings = Table(
    "findings",
    metadata,
    Column("run", ForeignKey("runs.run"), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("severity", String(16), nullable=False),
    Column("service", String(63), nullable=False),
    Column("breaks_hypothesis", Boolean, nullable=False),
    Column("body", JSON, nullable=False),
    Index("findings_by_key", "key"),
)

predictions = Table(
    "predictions",
    metadata,
    Column("prediction", String(63), primary_key=True),
    Column("experiment", String(40), nullable=False),
    Column("environment", String(40), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("body", JSON, nullable=False),
    Index("predictions_of_experiment", "experiment", "environment", "at"),
)

action_items = Table(
    "action_items",
    metadata,
    Column("item", Integer, primary_key=True, autoincrement=True),
    Column("key", String(200), nullable=False, index=True),
    Column("experiment", String(40), nullable=False),
    Column("title", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("service", String(63), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("owner", String(63), nullable=False),
    Column("assignee", Text, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("due", UtcDateTime),
    Column("closed_at", UtcDateTime),
    Column("closed_by", Text),
    Column("outcome", Text),
    _sandbox(),
)

# Every run in which an item's finding was seen; the first one opened it.
action_runs = Table(
    "action_runs",
    metadata,
    Column("item", ForeignKey("action_items.item"), primary_key=True),
    Column("run", ForeignKey("runs.run"), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)

# Text, not JSON or a moment: what is hashed must come back as it was written, to the letter.
audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("action", String(24), nullable=False),
    Column("by", Text, nullable=False),
    Column("source", String(40), nullable=False),
    Column("host", Text, nullable=False),
    Column("process", Text, nullable=False),
    Column("run", String(63), nullable=False, index=True),
    Column("detail", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
