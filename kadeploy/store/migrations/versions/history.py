# SPDX-License-Identifier: Apache-2.0
"""History of workflows: events, owners, outcomes, and statistics that outlive their workflows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# Of ended workflows what their records tell, and nothing where there are none: the sums are null then.
# One statement for all: it holds one workflow in memory, however many there are.
_OUTCOMES = """
UPDATE workflows SET outcome = (
    SELECT json_object(
        'ok', sum(success),
        'ko', sum(failed AND NOT lying AND cause != 'aborted'),
        'held', sum(lying),
        'aborted', sum(NOT success AND NOT lying AND (NOT failed OR cause = 'aborted')),
        'environment', coalesce(
            json_extract(workflows.request, '$.request.environment.name') || ':' ||
            json_extract(workflows.request, '$.request.environment.version'),
            max(env),
            ''
        ),
        'message', ''
    )
    FROM (
        SELECT success, env, cause, NOT success AND error != '' AS failed, EXISTS (
            SELECT 1 FROM nodes
            WHERE name = hostname AND workflow_id = workflows.id AND state = 'held'
        ) AS lying
        FROM records WHERE workflow_id = workflows.id
    )
)
WHERE state IN ('held', 'done', 'error', 'aborted')
"""


def upgrade() -> None:
    op.rename_table("events", "journal")  # its constraints stay pk_events and fk_events_workflow_id
    _create_event_batches()
    _extend_workflows()
    op.create_index("ix_nodes_workflow_id", "nodes", ["workflow_id"])
    op.execute(_OUTCOMES)
    for table in ("records", "steps", "receptions"):
        # SQLite cannot drop a constraint: alembic copies the table, with its indexes.
        with op.batch_alter_table(table, recreate="always") as batch:
            batch.drop_constraint(f"fk_{table}_workflow_id", type_="foreignkey")


def _create_event_batches() -> None:
    op.create_table(
        "event_batches",
        sa.Column("workflow_id", sa.String, primary_key=True),
        sa.Column("last", sa.Integer, primary_key=True),
        sa.Column("first", sa.Integer, nullable=False),
        sa.Column("documents", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["workflow_id"], ["workflows.id"], ondelete="CASCADE"),
    )


def _extend_workflows() -> None:
    op.add_column("workflows", sa.Column("owner", sa.String, nullable=False, server_default=""))
    op.add_column("workflows", sa.Column("outcome", sa.JSON))
    op.add_column("workflows", sa.Column("cancelled_by", sa.String, nullable=False, server_default=""))
    op.create_index("ix_workflows_started", "workflows", ["started"])
    op.create_index("ix_workflows_finished", "workflows", ["finished"])
    op.create_index("ix_workflows_user_started", "workflows", ["user", "started"])
