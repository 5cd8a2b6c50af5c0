# SPDX-License-Identifier: Apache-2.0
"""Windows that all processes share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "window_claims",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("window", sa.String, nullable=False, index=True),
        sa.Column("workflow_id", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.Column("waiting", sa.Integer, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
    )
