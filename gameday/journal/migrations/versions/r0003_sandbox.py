"""What was run on the sandbox is told apart from what was run on a cluster.

Nothing in an older record says where it was run, so all of those count as run on a cluster.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column, false for what is there."""
    for table in ("runs", "action_items"):
        column = sa.Column("sandbox", sa.Boolean, nullable=False, server_default=sa.false())
        op.add_column(table, column)
