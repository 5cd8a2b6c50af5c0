# SPDX-License-Identifier: Apache-2.0
"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_environments()
    _create_workflows()
    _create_statistics()
    _create_nodes()


def _workflow_key() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["workflow_id"], ["workflows.id"], ondelete="CASCADE")


def _create_environments() -> None:
    op.create_table(
        "environments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("visibility", sa.String, nullable=False),
        sa.Column("description", sa.JSON, nullable=False),
        sa.Column("recorded", sa.Float, nullable=False),
        sa.UniqueConstraint("name", "version", "user"),
    )


def _create_workflows() -> None:
    op.create_table(
        "workflows",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("state", sa.String, nullable=False, index=True),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("finished", sa.Float),
    )
    op.create_table(
        "events",
        sa.Column("workflow_id", sa.String, primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        _workflow_key(),
    )


def _create_statistics() -> None:
    op.create_table(
        "steps",
        *(
            sa.Column(name, sa.String, primary_key=True)
            for name in ("workflow_id", "node", "macro", "instance")
        ),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("micro", sa.String, primary_key=True),
        sa.Column("started_at", sa.Float, primary_key=True, index=True),
        sa.Column("duration", sa.Float, nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        _workflow_key(),
    )
    numbers = (1, 2, 3)
    op.create_table(
        "records",
        sa.Column("workflow_id", sa.String, primary_key=True),
        sa.Column("hostname", sa.String, primary_key=True, index=True),
        sa.Column("user", sa.String, nullable=False),
        *(sa.Column(f"step{number}", sa.String, nullable=False) for number in numbers),
        *(sa.Column(f"timeout_step{number}", sa.Integer, nullable=False) for number in numbers),
        *(sa.Column(f"retry_step{number}", sa.Integer, nullable=False) for number in numbers),
        sa.Column("start", sa.Float, nullable=False, index=True),
        *(sa.Column(f"step{number}_duration", sa.Float, nullable=False) for number in numbers),
        sa.Column("env", sa.String, nullable=False),
        sa.Column("md5", sa.String, nullable=False),
        sa.Column("success", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        _workflow_key(),
    )


def _create_nodes() -> None:
    op.create_table(
        "nodes",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("workflow_id", sa.String, nullable=False),
        sa.Column("environment_name", sa.String, nullable=False),
        sa.Column("environment_version", sa.Integer),
        sa.Column("environment_user", sa.String, nullable=False),
        sa.Column("date", sa.Float, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("node", sa.String, primary_key=True),
        sa.Column("workflow_id", sa.String, nullable=False, index=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
    )
