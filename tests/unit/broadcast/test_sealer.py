# SPDX-License-Identifier: Apache-2.0
"""The seals of an image, and of one that changes meanwhile."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kadeploy.broadcast.seal_tree import SealTree
from kadeploy.broadcast.sealer import SECTION, Sealer

CHUNK = 100
DATA = bytes(range(250))
SEALS = [hashlib.sha256(DATA[:end]).digest() for end in (100, 200, 250)]
TREE = SealTree(SEALS)


class Sealed:
    """A file and its sealer, whose complaints are kept."""

    def __init__(self, path: Path, size: int, known: Sequence[bytes] = ()) -> None:
        self.path = path
        self.complaints: list[str] = []
        self.roots: list[str] = []
        self.descriptor = os.open(path, os.O_RDWR)
        self.sealer = Sealer(self.descriptor, size, CHUNK, self.complaints.append, self.roots.append, known)


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Sealed]:
    path = tmp_path / "image"
    path.write_bytes(DATA)
    sealed = Sealed(path, len(DATA))
    yield sealed
    os.close(sealed.descriptor)


def test_seal_of_a_chunk_is_the_digest_of_all_up_to_its_end(sealed: Sealed) -> None:
    sealed.sealer.run()
    ends = {0: 100, 99: 100, 100: 200, 249: 250}
    for offset, end in ends.items():
        assert sealed.sealer.next(offset, 0) == (end, TREE.seal(offset // CHUNK))
    assert sealed.sealer.sha256 == hashlib.sha256(DATA).hexdigest()
    assert sealed.complaints == []
    assert (sealed.sealer.known_roots, sealed.roots) == ([], [TREE.root.hex()])
    assert sealed.sealer.new_seals == SEALS


def test_nothing_is_sealed_before_it_was_read(sealed: Sealed) -> None:
    assert sealed.sealer.next(0, 0) is None
    assert sealed.sealer.sha256 == ""
    assert sealed.sealer.is_unchanged(0)


def test_file_that_was_cut(sealed: Sealed) -> None:
    os.truncate(sealed.path, 120)
    sealed.sealer.run()
    assert sealed.complaints == ["the image ends at byte 120, it was cut during the broadcast"]
    assert sealed.sealer.next(0, 0) is None  # its section has no root
    assert sealed.sealer.sha256 == ""
    assert sealed.sealer.new_seals == []


def test_file_that_was_changed(sealed: Sealed) -> None:
    sealed.sealer.run()
    os.pwrite(sealed.descriptor, b"?", 150)
    assert [sealed.sealer.is_unchanged(offset) for offset in (0, 99, 100, 249, 1 << 60)] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_stopped_sealer_reads_no_more(sealed: Sealed) -> None:
    sealed.sealer.stop()
    sealed.sealer.run()
    assert sealed.sealer.next(0, 0) is None


def test_sections_of_a_long_file_have_a_root_each(tmp_path: Path) -> None:
    path, size = tmp_path / "long", 2 * SECTION * CHUNK + 1
    path.write_bytes(bytes(size))
    sealed = Sealed(path, size)
    sealed.sealer.run()
    seals = sealed.sealer.new_seals
    expected = [seals[:SECTION], seals[SECTION : 2 * SECTION], seals[2 * SECTION :]]
    assert sealed.roots == [SealTree(section).root.hex() for section in expected]
    assert sealed.sealer.next(size - 1, 0) == (size, seals[-1])  # alone in its section
    os.close(sealed.descriptor)


def test_known_image_is_one_section_and_is_read_before_it_is_sent(sealed: Sealed) -> None:
    known = Sealed(sealed.path, len(DATA), SEALS)
    assert (known.sealer.section, known.sealer.known_roots) == (3, [TREE.root.hex()])
    assert known.sealer.next(0, 0) is None
    known.sealer.run()
    assert known.sealer.next(0, 0) == (100, TREE.seal(0))
    assert (known.roots, known.sealer.new_seals, known.complaints) == ([], [], [])
    os.close(known.descriptor)


def test_known_image_that_was_changed_is_not_sent_from_there_on(sealed: Sealed) -> None:
    known = Sealed(sealed.path, len(DATA), SEALS)
    os.pwrite(sealed.descriptor, b"?", 150)
    known.sealer.run()
    assert known.complaints == ["the image was changed after it was checked"]
    assert known.sealer.next(0, 0) is not None
    assert known.sealer.next(100, 0) is None
    os.close(known.descriptor)
