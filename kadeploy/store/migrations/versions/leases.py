# SPDX-License-Identifier: Apache-2.0
"""Leases and claims that are counted and watched, numbers of the takings of nodes, moments of two clocks.

No time of day tells any more what has ended, nor how long it took.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for column in ("beat", "fence"):
        op.add_column("leases", sa.Column(column, sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "fences",
        sa.Column("node", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.drop_table("window_claims")
    op.create_table(
        "window_claims",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("window", sa.String, nullable=False, index=True),
        sa.Column("workflow_id", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.Column("waiting", sa.Integer, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("lasts", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.add_column("workflows", sa.Column("begun", sa.String, nullable=False, server_default=""))
    op.add_column("workflows", sa.Column("seconds", sa.Float))
