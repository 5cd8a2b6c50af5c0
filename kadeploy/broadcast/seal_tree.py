# SPDX-License-Identifier: Apache-2.0
"""Seal tree: the hash tree over the seals of a section, built by the head; ``node/roots.py`` checks seals."""

from __future__ import annotations

from collections.abc import Sequence

from kadeploy.broadcast.node.roots import join


class SealTree:
    """Tree over seals, of which there is at least one."""

    def __init__(self, seals: Sequence[bytes]) -> None:
        self._levels = [list(seals)]
        while len(level := self._levels[-1]) > 1:
            pairs = [join(*level[at : at + 2]) for at in range(0, len(level) - 1, 2)]
            self._levels.append(pairs + level[2 * len(pairs) :])

    @property
    def root(self) -> bytes:
        return self._levels[-1][0]

    def seal(self, index: int) -> bytes:
        """Seal of that index, with its audit path."""
        found = [self._levels[0][index]]
        for level in self._levels[:-1]:
            found += level[index ^ 1 : (index ^ 1) + 1]
            index //= 2
        return b"".join(found)
