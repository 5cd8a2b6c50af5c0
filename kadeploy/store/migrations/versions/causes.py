# SPDX-License-Identifier: Apache-2.0
"""The class of the cause of each failure; empty for those of before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for table in ("steps", "records"):
        op.add_column(table, sa.Column("cause", sa.String, nullable=False, server_default=""))
