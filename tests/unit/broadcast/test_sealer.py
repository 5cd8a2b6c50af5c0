# SPDX-License-Identifier: Apache-2.0
"""The seals of an image, and of one that changes meanwhile."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kadeploy.broadcast.sealer import Sealer

CHUNK = 100
DATA = bytes(range(250))


class Sealed:
    """A file and its sealer, whose complaints are kept."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.complaints: list[str] = []
        self.descriptor = os.open(path, os.O_RDWR)
        self.sealer = Sealer(self.descriptor, size, CHUNK, self.complaints.append)


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
        assert sealed.sealer.next(offset, 0) == (end, hashlib.sha256(DATA[:end]).digest())
    assert sealed.sealer.sha256 == hashlib.sha256(DATA).hexdigest()
    assert sealed.complaints == []


def test_nothing_is_sealed_before_it_was_read(sealed: Sealed) -> None:
    assert sealed.sealer.next(0, 0) is None
    assert sealed.sealer.sha256 == ""
    assert sealed.sealer.is_unchanged(0)


def test_file_that_was_cut(sealed: Sealed) -> None:
    os.truncate(sealed.path, 120)
    sealed.sealer.run()
    assert sealed.complaints == ["the image ends at byte 120, it was cut during the broadcast"]
    assert sealed.sealer.next(0, 0) is not None
    assert sealed.sealer.next(100, 0) is None
    assert sealed.sealer.sha256 == ""


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
