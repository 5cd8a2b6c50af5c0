# SPDX-License-Identifier: Apache-2.0
"""System on each node's disk: its device and host keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("nodes", sa.Column("device", sa.String, nullable=False, server_default=""))
    op.add_column("nodes", sa.Column("host_keys", sa.JSON, nullable=False, server_default="[]"))
