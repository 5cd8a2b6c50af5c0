# SPDX-License-Identifier: Apache-2.0
"""Host keys of running miniOS: the last one of each node."""

from __future__ import annotations

from kadeploy.store import minios_boots
from kadeploy.store.store import Store


async def test_the_last_boot_of_each_node(store: Store) -> None:
    await minios_boots.remember(store, "node-1", "first", "address")
    await minios_boots.remember(store, "node-2", "other", "shared key")
    await minios_boots.remember(store, "node-1", "second", "this boot")
    found = await minios_boots.read(store, ["node-1", "node-2", "node-3"])
    assert {name: (boot.host_key, boot.proof) for name, boot in found.items()} == {
        "node-1": ("second", "this boot"),
        "node-2": ("other", "shared key"),
    }
    assert found["node-1"].proven > 1e9
