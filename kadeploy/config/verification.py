# SPDX-License-Identifier: Apache-2.0
"""Verification: what a node that answers must show before it is called ok."""

from __future__ import annotations

from pydantic import Field

from kadeploy.config.yaml_file import FileModel


class Verification(FileModel):
    """Verification of a boot; all of it in seconds.

    ``settle``: time that a system must go on answering, in the same boot, after its key was seen; 0 for none.
    ``firmware``: time that the quickest node needs from the order to reboot until it fetches its profile;
    who is quicker is not the node. 0: not known.
    """

    settle: float = Field(default=5, ge=0, le=3600)
    firmware: float = Field(default=0, ge=0, le=3600)
