# SPDX-License-Identifier: Apache-2.0
"""Run by alembic. The connection, with its transaction begun, comes from kadeploy.store.schema."""

from __future__ import annotations

from alembic import context

from kadeploy.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
