# SPDX-License-Identifier: Apache-2.0
"""Receptions of images by nodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "receptions",
        sa.Column("workflow_id", sa.String, primary_key=True),
        sa.Column("started", sa.Float, primary_key=True),
        sa.Column("node", sa.String, primary_key=True),
        sa.Column("lane", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("moved", sa.Integer, nullable=False),
        sa.Column("notes", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(["workflow_id"], ["workflows.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_receptions_started", "receptions", ["started"])
