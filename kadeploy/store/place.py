# SPDX-License-Identifier: Apache-2.0
"""Place of the store: the files that were opened, which must still be the ones that its path leads to.

SQLite itself would go on writing into a file that nobody finds any more.
"""

from __future__ import annotations

from pathlib import Path

from kadeploy.store.files import WRITE_AHEAD_LOG, beside
from kadeploy.store.trouble import StoreLostError, moved


class StorePlace:
    """Path of a store, and the identities of its files once they are open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: dict[Path, tuple[int, int]] = {}

    def note(self) -> None:
        """Note which files are open now."""
        paths = [self.path, beside(self.path, WRITE_AHEAD_LOG)]  # the second has what was written last
        found = {path: _identity(path) for path in paths}
        self._opened = {path: identity for path, identity in found.items() if identity is not None}

    def check(self) -> None:
        """Raises StoreLostError where an open file was deleted, replaced, or emptied."""
        for path, identity in self._opened.items():
            if _identity(path) != identity:
                raise moved(path)
        if self._opened and not self.path.stat().st_size:
            raise StoreLostError(
                f"the store {self.path} was emptied while it was in use", hint="restore it from a backup"
            )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
