# SPDX-License-Identifier: Apache-2.0
"""Levels of proof of the miniOS that answers, strongest first."""

from __future__ import annotations

from enum import StrEnum


class ProofLevel(StrEnum):
    """Level of the proof that a node runs the miniOS that was ordered; users read the values.

    ``this boot``: a host key that the miniOS made now, proven by the secret that was served over HTTP to this
    node alone for the boot that was ordered. ``address``: the same, but the secret went over TFTP, by which
    others may ask for it. ``shared key``: the fixed host key of a site's own miniOS, which whoever can read
    its initrd has, too.
    """

    THIS_BOOT = "this boot"
    ADDRESS = "address"
    SHARED_KEY = "shared key"
