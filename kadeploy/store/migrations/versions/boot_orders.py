# SPDX-License-Identifier: Apache-2.0
"""Orders to boot with their fetches, and the miniOS boots that were proven."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "boot_orders",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("node", sa.String, nullable=False, unique=True),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("mac", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("secret_wanted", sa.Boolean, nullable=False),
        sa.Column("secret", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("ordered", sa.Float, nullable=False),
        sa.Column("fetched", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_boot_orders_path", "boot_orders", ["path"])
    op.create_table(
        "boot_fetches",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("order_number", sa.Integer, nullable=False),
        sa.Column("secret", sa.String, nullable=False),
        sa.Column("client", sa.String, nullable=False),
        sa.Column("protocol", sa.String, nullable=False),
        sa.Column("mac", sa.String, nullable=False),
        sa.Column("completed", sa.Float),
        sa.ForeignKeyConstraint(["order_number"], ["boot_orders.number"], ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_boot_fetches_order_number", "boot_fetches", ["order_number"])
    op.create_table(
        "minios_boots",
        sa.Column("node", sa.String, primary_key=True),
        sa.Column("host_key", sa.String, nullable=False),
        sa.Column("proof", sa.String, nullable=False),
        sa.Column("proven", sa.Float, nullable=False),
    )
