# SPDX-License-Identifier: Apache-2.0
"""Roots of the seals: what the head, over ssh, says about each section of the stream.

A root is the hash of the tree over the seals of a section; a lone node of a level goes up as it is (RFC 9162,
2.1). Nothing tells the inner nodes of such a tree from its leaves, as RFC 9162 does by a first byte: size,
chunk and section come from the head as well, so it is certain how long each audit path is.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from kadeploy.broadcast.node.wire import DIGEST_BYTES


def join(left: bytes, right: bytes) -> bytes:
    """Hash of two nodes of a tree."""
    return hashlib.sha256(left + right).digest()


def path_length(index: int, leaves: int) -> int:
    """Count the hashes of the audit path of leaf `index`."""
    length = 0
    while leaves > 1:
        length += index % 2 or index + 1 < leaves
        index, leaves = index // 2, (leaves + 1) // 2
    return length


def follow(index: int, leaves: int, leaf: bytes, path: bytes) -> bytes:
    """Follow a leaf up its audit path; returns the root to which it leads."""
    siblings = (path[at : at + DIGEST_BYTES] for at in range(0, len(path), DIGEST_BYTES))
    node = leaf
    while leaves > 1:
        if index % 2:
            node = join(next(siblings), node)
        elif index + 1 < leaves:
            node = join(node, next(siblings))
        index, leaves = index // 2, (leaves + 1) // 2
    return node


class Roots:
    """Roots of a stream of `size` bytes in chunks of `chunk` bytes, in sections of `section` chunks.

    Any thread may call the methods; roots come in the order of their sections.
    """

    def __init__(self, size: int, chunk: int, section: int, roots: Iterable[str]) -> None:
        """`roots`: those known already, in hexadecimal."""
        self._chunk = chunk
        self._chunks = -(-size // chunk)
        self._section = section
        self._roots: list[bytes] = []
        self.add(roots)

    def add(self, roots: Iterable[str]) -> None:
        """Add the roots of the next sections, in hexadecimal."""
        self._roots += map(bytes.fromhex, roots)

    def cover(self, boundary: int) -> bool:
        """True when the root of the chunk that ends at `boundary` has come."""
        return self._number(boundary) // self._section < len(self._roots)

    def length(self, boundary: int) -> int:
        """Bytes of the seal of the chunk that ends at `boundary`, with its audit path."""
        return DIGEST_BYTES * (1 + path_length(*self._leaf(boundary)))

    def confirm(self, boundary: int, seal: bytes) -> bool:
        """True when a seal, with its audit path, leads to the root of its section, which must have come."""
        root = self._roots[self._number(boundary) // self._section]
        if len(seal) != self.length(boundary):
            return False
        return follow(*self._leaf(boundary), seal[:DIGEST_BYTES], seal[DIGEST_BYTES:]) == root

    def _number(self, boundary: int) -> int:
        return (boundary - 1) // self._chunk

    def _leaf(self, boundary: int) -> tuple[int, int]:
        """Index in its tree of the chunk that ends at `boundary`, and the leaves of that tree."""
        number = self._number(boundary)
        index = number % self._section
        return index, min(self._section, self._chunks - number + index)
