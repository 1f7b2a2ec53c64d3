"""What is learned from runs: summaries, series, analyses, findings, predictions, action items.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NUMBERED = ("events", "observations", "approval_answers")


def upgrade() -> None:
    """Add the tables, and room in those that were there."""
    op.add_column("runs", sa.Column("suite", sa.String(63)))
    op.add_column("runs", sa.Column("prediction", sa.String(63)))
    op.create_index("ix_runs_suite", "runs", ["suite"])
    op.create_index("ix_runs_started_at", "runs", ["started_at"])
    if op.get_bind().dialect.name == "postgresql":
        for table in _NUMBERED:
            op.alter_column(table, "id", type_=sa.BigInteger())
            op.execute(f"ALTER SEQUENCE {table}_id_seq AS bigint")
    op.create_table(
        "run_summaries",
        sa.Column("run", sa.String(63), sa.ForeignKey("runs.run"), primary_key=True),
        sa.Column("recovered_s", sa.Float),
        sa.Column("availability", sa.Float),
        sa.Column("samples", sa.Integer, nullable=False),
        sa.Column("interventions", sa.Integer, nullable=False),
    )
    op.create_table(
        "run_hits",
        sa.Column("run", sa.String(63), sa.ForeignKey("runs.run"), primary_key=True),
        sa.Column("service", sa.String(63), primary_key=True),
        sa.Column("kind", sa.String(40), primary_key=True),
        sa.Column("action", sa.String(40), primary_key=True),
    )
    op.create_table(
        "run_recoveries",
        sa.Column("run", sa.String(63), sa.ForeignKey("runs.run"), primary_key=True),
        sa.Column("stage", sa.String(40), primary_key=True),
        sa.Column("service", sa.String(63), primary_key=True),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("took_s", sa.Float),
    )
    op.create_table(
        "series",
        sa.Column("run", sa.String(63), sa.ForeignKey("runs.run"), primary_key=True),
        sa.Column("signal", sa.String(63), primary_key=True),
        sa.Column("service", sa.String(63), primary_key=True),
        sa.Column("body", sa.JSON, nullable=False),
    )
    op.create_table(
        "analyses",
        sa.Column("run", sa.String(63), sa.ForeignKey("runs.run"), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
    )
    op.create_table(
        "findings",
        sa.Column("run", sa.String(63), sa.ForeignKey("runs.run"), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("service", sa.String(63), nullable=False),
        sa.Column("breaks_hypothesis", sa.Boolean, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
    )
    op.create_table(
        "predictions",
        sa.Column("prediction", sa.String(63), primary_key=True),
        sa.Column("experiment", sa.String(40), nullable=False),
        sa.Column("environment", sa.String(40), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
    )
    op.create_table(
        "action_items",
        sa.Column("item", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("experiment", sa.String(40), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("service", sa.String(63), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(63), nullable=False),
        sa.Column("assignee", sa.Text, nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due", sa.DateTime(timezone=True)),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("closed_by", sa.Text),
        sa.Column("outcome", sa.Text),
    )
    op.create_table(
        "action_runs",
        sa.Column("item", sa.Integer, sa.ForeignKey("action_items.item"), primary_key=True),
        sa.Column("run", sa.String(63), sa.ForeignKey("runs.run"), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("hits_of_service", "run_hits", ["service", "kind"])
    op.create_index("findings_by_key", "findings", ["key"])
    op.create_index("predictions_of_experiment", "predictions", ["experiment", "environment", "at"])
    op.create_index("ix_action_items_key", "action_items", ["key"])


def downgrade() -> None:
    """A journal is never made smaller."""
    raise RuntimeError("a journal is never taken back: restore a copy")
