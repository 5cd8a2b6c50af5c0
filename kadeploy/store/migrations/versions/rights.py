# SPDX-License-Identifier: Apache-2.0
"""Rights on nodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "rights",
        sa.Column("user", sa.String, primary_key=True),
        sa.Column("node", sa.String, primary_key=True),
        sa.Column("device", sa.String, primary_key=True),
        sa.Column("until", sa.Float),
    )
    op.create_index("ix_rights_node", "rights", ["node"])
    op.create_index("ix_rights_until", "rights", ["until"])
