# SPDX-License-Identifier: Apache-2.0
"""Cache of the seals of images, by the digest of the image and the size of the chunks.

With it the head knows before it has read an image what each chunk must be. Several processes use it at once:
each file appears complete, by a rename.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kadeploy.broadcast.node.wire import DIGEST_BYTES

MAX_BYTES = 256 << 20  # of all files: the seals of two terabytes of images


@dataclass(frozen=True, slots=True)
class SealCache:
    """Cache in a directory; where that cannot be read or written, nothing is known or kept."""

    directory: Path

    def load(self, sha256: str, chunk: int, count: int) -> list[bytes]:
        """Load the `count` seals of an image; none where they are not known, or the file is damaged."""
        try:
            content = self._path(sha256, chunk).read_bytes()
        except OSError:
            return []
        seals, check = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
        sound = len(seals) == count * DIGEST_BYTES and hashlib.sha256(seals).digest() == check
        if not sound or seals[-DIGEST_BYTES:].hex() != sha256:
            return []
        return [seals[at : at + DIGEST_BYTES] for at in range(0, len(seals), DIGEST_BYTES)]

    def keep(self, chunk: int, seals: Sequence[bytes]) -> None:
        """Keep the seals of a whole image, of which the last one is its digest; the oldest others make
        room."""
        content = b"".join(seals)
        with suppress(OSError):  # a full disk, or a cache of others: the seals are made again
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=self.directory, prefix=".", delete=False) as file:
                temporary = Path(file.name)
                try:
                    file.write(content + hashlib.sha256(content).digest())
                    file.close()
                    temporary.replace(self._path(seals[-1].hex(), chunk))
                finally:
                    temporary.unlink(missing_ok=True)
            self._evict()

    def _path(self, sha256: str, chunk: int) -> Path:
        return self.directory / f"{sha256}-{chunk}"

    def _evict(self) -> None:
        """Remove the files that were written first until the rest fits; also what a killed process has
        left."""
        found = [(path.stat(), path) for path in self.directory.iterdir()]
        total = 0
        for status, path in sorted(found, key=lambda item: item[0].st_mtime, reverse=True):
            total += status.st_size
            if total > MAX_BYTES:
                path.unlink(missing_ok=True)
