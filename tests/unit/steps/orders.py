# SPDX-License-Identifier: Apache-2.0
"""Orders to boot in memory, as the steps use them: they cost nothing, and have the numbers of a case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kadeploy.config.clusters import Node
from kadeploy.store.boot_orders import BootOrder, Fetch, OrderState

NUMBER = 7  # of the order before


class RecordedOrders:
    """Stands for BootOrders."""

    def __init__(self, orders: Mapping[str, BootOrder]) -> None:
        self.orders = dict(orders)

    async def place(self, node: Node, path: str, text: str, *, secret_wanted: bool) -> BootOrder:
        number = self.orders[node.name].number + 1 if node.name in self.orders else 1
        content = {"text": text, "number": number, "wants": secret_wanted}
        self.orders[node.name] = order_of(node, path, content)
        return self.orders[node.name]

    async def read(self, node_name: str) -> BootOrder | None:
        return self.orders.get(node_name)

    async def accept(self, number: int, secret: str) -> bool:
        for name, order in self.orders.items():
            if order.number == number and order.state is OrderState.OPEN and order.secret == secret:
                self.orders[name] = replace(order, secret="", state=OrderState.PROVEN)
                return True
        return False


def order_of(node: Node, path: str, content: Mapping[str, Any]) -> BootOrder:
    """Order of a case: text, number, wants, secret, state, and who has fetched its profile."""
    fetches = tuple(Fetch(**{"at": 0.0, "mac": "", **fetch}) for fetch in content.get("fetches", []))
    return BootOrder(
        number=content.get("number", NUMBER),
        node=node.name,
        address=node.address,
        mac=node.mac,
        path=path,
        text=content.get("text", ""),
        secret_wanted=content.get("wants", True),
        secret=content.get("secret", ""),
        fetches=fetches,
        state=OrderState(content.get("state", "open")),
        ordered=0.0,
        fetched=len(fetches),
    )
