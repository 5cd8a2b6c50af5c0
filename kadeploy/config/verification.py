# SPDX-License-Identifier: Apache-2.0
"""Verification: what a node that answers must show before it is called ok."""

from __future__ import annotations

from pydantic import Field

from kadeploy.config.yaml_file import FileModel


class Verification(FileModel):
    """Seconds that a system must go on answering, in the same boot, after its key was seen; 0 for none."""

    settle: float = Field(default=5, ge=0, le=3600)
