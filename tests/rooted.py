# SPDX-License-Identifier: Apache-2.0
"""Programs that need root for themselves only: who is not gets a user namespace of his own."""

from __future__ import annotations

import os
import subprocess
from functools import cache

import pytest


@cache
def launcher() -> tuple[str, ...]:
    """Words in front of a command that is to run as root; skips the test where there is no way."""
    if os.geteuid() == 0:
        return ()
    words = ("unshare", "--user", "--map-root-user")
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root, or user namespaces")
    return words
