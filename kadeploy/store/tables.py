# SPDX-License-Identifier: Apache-2.0
"""Tables of the store. Times are seconds since the epoch, durations seconds.

A change here needs a migration beside it (``migrations/versions``) and a new ``migrations.HEAD``.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

# Constraints have names because a later migration can only alter what it can name.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _workflow() -> Column[str]:
    """Key of what is deleted with its workflow; statistics are not."""
    return Column(
        "workflow_id",
        String,
        ForeignKey("workflows.id", ondelete="CASCADE"),
        nullable=False,
        primary_key=True,
    )


environments = Table(
    "environments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("user", String, nullable=False),
    Column("visibility", String, nullable=False),
    Column("description", JSON, nullable=False),
    Column("recorded", Float, nullable=False),
    UniqueConstraint("name", "version", "user"),
)

workflows = Table(
    "workflows",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("user", String, nullable=False),
    Column("request", JSON, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("started", Float, nullable=False),
    Column("finished", Float),
    Column("owner", String, nullable=False, server_default=""),
    Column("outcome", JSON(none_as_null=True)),
    Column("cancelled_by", String, nullable=False, server_default=""),
    Column("begun", String, nullable=False, server_default=""),
    Column("seconds", Float),
    Index(None, "started"),
    Index(None, "finished"),
    Index(None, "user", "started"),
)

journal = Table(
    "journal",
    metadata,
    _workflow(),
    Column("sequence", Integer, primary_key=True),
    Column("time", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("payload", JSON, nullable=False),
)

event_batches = Table(
    "event_batches",
    metadata,
    _workflow(),
    Column("last", Integer, primary_key=True),
    Column("first", Integer, nullable=False),
    Column("documents", LargeBinary, nullable=False),
)

steps = Table(
    "steps",
    metadata,
    Column("workflow_id", String, primary_key=True),
    Column("node", String, primary_key=True),
    Column("macro", String, primary_key=True),
    Column("instance", String, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("micro", String, primary_key=True),
    Column("started_at", Float, primary_key=True),
    Column("duration", Float, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("cause", String, nullable=False, server_default=""),
    Index(None, "started_at"),
)

records = Table(
    "records",
    metadata,
    Column("workflow_id", String, primary_key=True),
    Column("hostname", String, primary_key=True),
    Column("user", String, nullable=False),
    *(Column(f"step{number}", String, nullable=False) for number in (1, 2, 3)),
    *(Column(f"timeout_step{number}", Integer, nullable=False) for number in (1, 2, 3)),
    *(Column(f"retry_step{number}", Integer, nullable=False) for number in (1, 2, 3)),
    Column("start", Float, nullable=False),
    *(Column(f"step{number}_duration", Float, nullable=False) for number in (1, 2, 3)),
    Column("env", String, nullable=False),
    Column("md5", String, nullable=False),
    Column("success", Boolean, nullable=False),
    Column("error", Text, nullable=False),
    Column("cause", String, nullable=False, server_default=""),
    Index(None, "start"),
    Index(None, "hostname"),
)

receptions = Table(
    "receptions",
    metadata,
    Column("workflow_id", String, primary_key=True),
    Column("started", Float, primary_key=True),
    Column("node", String, primary_key=True),
    Column("lane", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("moved", Integer, nullable=False),
    Column("notes", JSON, nullable=False),
    Index(None, "started"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("name", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("user", String, nullable=False),
    Column("workflow_id", String, nullable=False, index=True),
    Column("environment_name", String, nullable=False),
    Column("environment_version", Integer),
    Column("environment_user", String, nullable=False),
    Column("date", Float, nullable=False),
    Column("device", String, nullable=False, server_default=""),
    Column("host_keys", JSON, nullable=False, server_default="[]"),
)

leases = Table(
    "leases",
    metadata,
    Column("node", String, primary_key=True),
    Column("workflow_id", String, nullable=False, index=True),
    Column("owner", String, nullable=False),
    Column("user", String, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("beat", Integer, nullable=False, server_default="0"),
    Column("fence", Integer, nullable=False, server_default="0"),
)

# Kept for good: the number of a node never falls.
fences = Table(
    "fences",
    metadata,
    Column("node", String, primary_key=True),
    Column("number", Integer, nullable=False),
)

# Numbers of claims are never given again: who watches a claim knows a renewed one by its number.
window_claims = Table(
    "window_claims",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("window", String, nullable=False, index=True),
    Column("workflow_id", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("held", Integer, nullable=False),
    Column("waiting", Integer, nullable=False),
    Column("since", Float, nullable=False),
    Column("lasts", Float, nullable=False),
    sqlite_autoincrement=True,
)

# Numbers of orders and of fetches are never given again: a late answer to one must not count for another.
boot_orders = Table(
    "boot_orders",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("node", String, nullable=False, unique=True),
    Column("address", String, nullable=False),
    Column("mac", String, nullable=False),
    Column("path", String, nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("secret_wanted", Boolean, nullable=False),
    Column("secret", String, nullable=False),
    Column("state", String, nullable=False),
    Column("ordered", Float, nullable=False),
    Column("fetched", Integer, nullable=False),
    sqlite_autoincrement=True,
)

boot_fetches = Table(
    "boot_fetches",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("order_number", ForeignKey("boot_orders.number", ondelete="CASCADE"), nullable=False, index=True),
    Column("secret", String, nullable=False),
    Column("client", String, nullable=False),
    Column("protocol", String, nullable=False),
    Column("mac", String, nullable=False),
    Column("completed", Float),
    sqlite_autoincrement=True,
)

minios_boots = Table(
    "minios_boots",
    metadata,
    Column("node", String, primary_key=True),
    Column("host_key", String, nullable=False),
    Column("proof", String, nullable=False),
    Column("proven", Float, nullable=False),
)

# A right that was withdrawn, or whose time is over, stays until what was begun by it has been ended.
rights = Table(
    "rights",
    metadata,
    Column("user", String, primary_key=True),
    Column("node", String, primary_key=True),
    Column("device", String, primary_key=True),
    Column("until", Float),
    Index(None, "node"),
    Index(None, "until"),
)
