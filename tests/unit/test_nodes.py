# SPDX-License-Identifier: Apache-2.0
"""Node sets in and out, and the guard before the library."""

from __future__ import annotations

import time

import pytest

from kadeploy import nodes
from kadeploy.errors import UsageError


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("node-1", ["node-1"]),
        ("node-[1-3,7].site.tld", [f"node-{n}.site.tld" for n in (1, 2, 3, 7)]),
        ("node-[001-003]", ["node-001", "node-002", "node-003"]),
        ("a-[1-2],b-9", ["a-1", "a-2", "b-9"]),
    ],
)
def test_sets_are_expanded(text: str, names: list[str]) -> None:
    assert nodes.parse(text) == names


@pytest.mark.parametrize(
    "text", ["", "@group", "node 1", "node-[", "node-[a-b]", "node-1;reboot", "$(x)", "node-[1-9999999999]"]
)
def test_what_is_no_set_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        nodes.parse(text)


@pytest.mark.parametrize("text", ["node-[1-99999999]", "n[1-1000]-[1-1000]", "n[1-20001]", "x" * 2_000_000])
def test_huge_sets_are_refused_at_once(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(UsageError):
        nodes.parse(text)
    assert time.perf_counter() - started < 5, "the library must not see it"


def test_ranges_pair_in_the_order_of_the_text() -> None:
    assert nodes.expand_range("b-[2-3],a-1") == ["b-2", "b-3", "a-1"]


def test_what_is_no_name_is_neither_expanded_nor_refused() -> None:
    names = ["node-2", "a[1-999999999]", "node-1", "b,c", "[", "", "@all", "x y"]
    assert nodes.fold(names) == "node-[1-2],a[1-999999999],b,c,[,@all,x y"


def test_folding_and_uniqueness() -> None:
    assert nodes.fold(["node-2", "node-1", "node-3"]) == "node-[1-3]"
    assert nodes.unique(["b", "a", "b"]) == ["b", "a"]
