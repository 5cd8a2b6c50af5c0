# SPDX-License-Identifier: Apache-2.0
"""That exactly the seals of the stream lead to the roots that the head has given."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadeploy.broadcast.node.roots import Roots, join
from kadeploy.broadcast.seal_tree import SealTree

CHUNK = 4
SEALS = [hashlib.sha256(bytes([number])).digest() for number in range(70)]


def roots_of(count: int, section: int) -> tuple[Roots, list[bytes]]:
    """The roots of so many chunks, the last one being shorter, and each seal with its audit path."""
    trees = [SealTree(SEALS[first : min(first + section, count)]) for first in range(0, count, section)]
    roots = Roots(count * CHUNK - 1, CHUNK, section, [tree.root.hex() for tree in trees])
    return roots, [trees[number // section].seal(number % section) for number in range(count)]


def end(number: int, count: int) -> int:
    return min((number + 1) * CHUNK, count * CHUNK - 1)


@given(st.integers(1, 70), st.integers(1, 70))
def test_seal_is_confirmed_at_its_place_and_at_no_other(count: int, section: int) -> None:
    roots, seals = roots_of(count, section)
    for number, seal in enumerate(seals):
        assert roots.cover(end(number, count))
        assert len(seal) == roots.length(end(number, count))
        assert [roots.confirm(end(other, count), seal) for other in range(count)] == [
            other == number for other in range(count)
        ]


@given(st.integers(1, 70), st.data())
def test_no_byte_of_it_can_be_another(count: int, data: st.DataObject) -> None:
    roots, seals = roots_of(count, 16)
    number = data.draw(st.integers(0, count - 1))
    seal = bytearray(seals[number])
    seal[data.draw(st.integers(0, len(seal) - 1))] ^= data.draw(st.integers(1, 255))
    assert not roots.confirm(end(number, count), bytes(seal))


def test_inner_node_is_no_seal() -> None:
    """Its own path would lead to the root; the path of a seal is longer."""
    roots, _ = roots_of(4, 4)
    inner, other = join(*SEALS[:2]), join(*SEALS[2:4])
    assert join(inner, other) == SealTree(SEALS[:4]).root
    assert not roots.confirm(4, inner + other.ljust(64, b"\0"))


@pytest.mark.parametrize("length", [0, 32, 64, 128])
def test_path_of_another_length(length: int) -> None:
    roots, seals = roots_of(4, 4)
    assert roots.length(4) == 96
    assert not roots.confirm(4, (seals[0] + seals[0])[:length])


def test_section_whose_root_has_not_come() -> None:
    roots = Roots(40 * CHUNK, CHUNK, 16, [])
    assert not roots.cover(CHUNK)
    roots.add([SealTree(SEALS[:16]).root.hex()])
    assert [roots.cover(boundary) for boundary in (CHUNK, 16 * CHUNK, 16 * CHUNK + 1)] == [True, True, False]
    roots.add([SealTree(SEALS[16:32]).root.hex(), SealTree(SEALS[32:40]).root.hex()])
    assert roots.confirm(40 * CHUNK, SealTree(SEALS[32:40]).seal(7))
