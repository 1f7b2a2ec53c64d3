"""The tables as they were before revisions were counted.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them in an empty database."""
    op.create_table(
        "runs",
        sa.Column("run", sa.String(63), primary_key=True),
        sa.Column("flow_run", sa.String(36)),
        sa.Column("experiment", sa.String(40), nullable=False),
        sa.Column("environment", sa.String(40), nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("verdict", sa.String(16)),
        sa.Column("summary", sa.Text),
        sa.Column("plan", sa.JSON),
        sa.Column("digest", sa.String(64)),
        sa.Column("report", sa.Text),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run", sa.String(63), sa.ForeignKey("runs.run"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
    )
    op.create_table(
        "observations",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run", sa.String(63), sa.ForeignKey("runs.run"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stage", sa.String(40), nullable=False),
        sa.Column("signal", sa.String(63), nullable=False),
        sa.Column("service", sa.String(63), nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("unknown", sa.Text),
        sa.Column("state", sa.String(16), nullable=False),
    )
    op.create_table(
        "faults",
        sa.Column("run", sa.String(63), sa.ForeignKey("runs.run"), primary_key=True),
        sa.Column("name", sa.String(253), primary_key=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("stage", sa.String(40), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("injected_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("pods", sa.JSON, nullable=False),
        sa.Column("proof", sa.Text, nullable=False),
    )
    op.create_table(
        "approval_requests",
        sa.Column("request", sa.String(80), primary_key=True),
        sa.Column("subject", sa.String(63), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("demand", sa.String(16), nullable=False),
        sa.Column("needed", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("approvers", sa.JSON, nullable=False),
        sa.Column("checklist", sa.JSON, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "approval_answers",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("request", sa.String(80), sa.ForeignKey("approval_requests.request"), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.String(24), nullable=False),
        sa.Column("confirmed", sa.JSON, nullable=False),
        sa.Column("objection", sa.Text, nullable=False),
    )
    op.create_table(
        "approval_closings",
        sa.Column("request", sa.String(80), sa.ForeignKey("approval_requests.request"), primary_key=True),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run", sa.String(63)),
    )
    op.create_table(
        "proposals",
        sa.Column("proposal", sa.String(80), sa.ForeignKey("approval_requests.request"), primary_key=True),
        sa.Column("experiment", sa.String(40), nullable=False),
        sa.Column("environment", sa.String(40), nullable=False),
        sa.Column("duration", sa.String(24)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("action", sa.String(24), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("source", sa.String(40), nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("process", sa.Text, nullable=False),
        sa.Column("run", sa.String(63), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("ix_runs_flow_run", "runs", ["flow_run"])
    op.create_index("ix_runs_experiment", "runs", ["experiment"])
    op.create_index("events_of_run", "events", ["run", "id"])
    op.create_index("observations_of_run", "observations", ["run", "signal", "at"])
    op.create_index("ix_approval_requests_subject", "approval_requests", ["subject"])
    op.create_index("ix_approval_answers_request", "approval_answers", ["request"])
    op.create_index("ix_proposals_experiment", "proposals", ["experiment"])
    op.create_index("ix_audit_run", "audit", ["run"])


def downgrade() -> None:
    """There is nothing before it: a journal is never made smaller."""
    raise RuntimeError("a journal is never taken back: restore a copy")
