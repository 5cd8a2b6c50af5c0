# SPDX-License-Identifier: Apache-2.0
"""Look-up of programs of this machine, before they are needed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def find_problem(program: str, directory: Path) -> str:
    """Problem of a program that would be run in a directory; '' for one that can be executed."""
    if "/" not in program:
        return "" if shutil.which(program) else "is in no directory of PATH"
    path = directory / program
    if not path.is_file():
        return "does not exist"
    return "" if os.access(path, os.X_OK) else "may not be executed"
