# SPDX-License-Identifier: Apache-2.0
"""Cache directory: digests of local files, and copies of remote and of small files under their digests.

Several processes use it at once: each file appears complete, by a rename, and is never changed afterwards,
nor are its times: its last use is noted beside it. Who needs a copy for long has it open and locked
(``open_files``). Files outside of ``digests``, ``downloads``, ``images``, ``uses`` and folders of facts are
left alone.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kadeploy.config.server import MEGABYTE, Downloads
from kadeploy.config.site import Site
from kadeploy.errors import ServiceError

# Seconds in which a copy is not evicted after its last use: another process may be serving it by its path.
IN_USE = 3600.0
# Seconds after which a temporary file belongs to no running download any more.
ABANDONED = 24 * 3600.0


# Errors of a directory that belongs to others.
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


class ReadOnlyCacheError(ServiceError):
    """Cache into which the caller may not write."""


class FileCache:
    """Cache of one site; copies in use stay even where all together are larger than ``max_bytes``."""

    def __init__(self, directory: Path, max_bytes: int, downloads: Downloads | None = None) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self.downloads = downloads or Downloads()

    @classmethod
    def of(cls, site: Site) -> FileCache:
        """Cache that a site's server.conf describes."""
        settings = site.server.cache
        return cls(site.path(settings.directory), settings.size * MEGABYTE, site.server.downloads)

    def image(self, sha256: str) -> Path | None:
        """Copy with this digest, marked as used now; None where there is none."""
        path = self._folder("images") / sha256
        try:
            path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(path.parent, error) from error
        with suppress(ServiceError):  # others have copied it
            self._mark_used(sha256)
        return path

    def keep(self, temporary: Path, sha256: str) -> Path:
        """Rename a complete temporary file to the copy with this digest, and evict others for it."""
        path = self._folder("images") / sha256
        try:
            _write_through(temporary)
            temporary.replace(path)
        except OSError as error:
            raise _unusable(path.parent, error) from error
        self._mark_used(sha256)
        self.evict()
        return path

    def keep_content(self, content: bytes, sha256: str) -> Path:
        """Copy of this content, which is made unless it is there and sound; raises ServiceError."""
        if (path := self.image(sha256)) and _holds(path, sha256):
            return path
        temporary = self.temporary()
        try:
            temporary.write_bytes(content)
            return self.keep(temporary, sha256)
        except OSError as error:
            raise _unusable(temporary.parent, error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def temporary(self) -> Path:
        """Create an empty file for a download; the caller keeps or removes it."""
        folder = self._folder("images")
        try:
            descriptor, name = tempfile.mkstemp(dir=folder, prefix=".partial-")
        except OSError as error:
            raise _unusable(folder, error) from error
        os.close(descriptor)
        return Path(name)

    def evict(self) -> None:
        """Remove the copies whose last use is longest ago until the rest fits."""
        now = time.time()
        total = 0
        for used, size, path in sorted(self._copies(), reverse=True):
            total += size
            age = now - used
            wanted = total <= self.max_bytes if not path.name.startswith(".") else age < ABANDONED
            if not wanted and age > IN_USE and _remove_unless_open(path):
                total -= size
                self._use(path.name).unlink(missing_ok=True)

    def _copies(self) -> list[tuple[float, int, Path]]:
        copies = []
        for path in self._folder("images").iterdir():
            with suppress(FileNotFoundError):  # evicted by another process
                status = path.stat()
                copies.append((max(status.st_mtime, self._last_use(path.name)), status.st_size, path))
        return copies

    def _use(self, sha256: str) -> Path:
        return self._folder("uses") / sha256

    def _mark_used(self, sha256: str) -> None:
        use = self._use(sha256)
        try:
            use.touch()
        except OSError as error:
            raise _unusable(use.parent, error) from error

    def _last_use(self, sha256: str) -> float:
        try:
            return self._use(sha256).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def remember(self, kind: str, key: str, facts: Mapping[str, Any]) -> None:
        """Write facts (JSON values) about a file or URL; ``kind`` is ``digests`` or ``downloads``."""
        folder = self._folder(kind)
        try:
            with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".", delete=False) as file:
                json.dump(facts, file)
            Path(file.name).replace(folder / _name(key))
        except OSError as error:
            raise _unusable(folder, error) from error

    def recall(self, kind: str, key: str) -> dict[str, Any]:
        """Read the facts about a file or URL, empty where there are none that can be read."""
        try:
            facts = json.loads((self.directory / kind / _name(key)).read_text())
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def _folder(self, name: str) -> Path:
        folder = self.directory / name
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unusable(folder, error) from error
        return folder


def _write_through(path: Path) -> None:
    """Let a complete file survive a crash of the machine as it is."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _holds(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _remove_unless_open(path: Path) -> bool:
    """Remove a copy; False where an operation has it open, or it belongs to others."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _unusable(folder: Path, error: OSError) -> ServiceError:
    kind = ReadOnlyCacheError if error.errno in _READ_ONLY else ServiceError
    hint = "set cache.directory in server.conf"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "make room there, or set cache.directory in server.conf"
    return kind(f"the cache {folder} cannot be used: {error.strerror}", hint=hint)


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
