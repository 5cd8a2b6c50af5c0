# SPDX-License-Identifier: Apache-2.0
"""How long a container node's firmware takes: by chance, and the same again in every lab of a seed."""

from __future__ import annotations

from kadeploy.lab.container.node import delay

PLAN = {"name": "node-1", "seed": 1, "boot_delay": 5.0, "boot_spread": 2.0}


def test_delays_are_spread_and_repeatable() -> None:
    delays = [delay(PLAN, boots) for boots in range(1, 200)]
    assert delays == [delay(PLAN, boots) for boots in range(1, 200)]
    assert 3 <= min(delays) < 3.2
    assert 6.8 < max(delays) <= 7


def test_nodes_and_seeds_differ() -> None:
    assert len({delay(PLAN | change, 1) for change in ({}, {"name": "node-2"}, {"seed": 2})}) == 3


def test_no_spread() -> None:
    assert delay(PLAN | {"boot_spread": 0.0}, 1) == 5.0
