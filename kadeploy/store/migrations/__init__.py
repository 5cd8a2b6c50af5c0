# SPDX-License-Identifier: Apache-2.0
"""Versions of the schema, applied by alembic; shipped so that any installation can upgrade its store."""

HEAD = "0009"
