# SPDX-License-Identifier: Apache-2.0
"""Descriptions of environments as documents, in which they come from other programs."""

from __future__ import annotations

from typing import Any

from kadeploy.operations.request_model import RequestModel


class DescriptionDocument(RequestModel):
    """Description with the fields of its file; ``owner``: whose it is, the caller's by default."""

    description: dict[str, Any]
    owner: str | None = None
