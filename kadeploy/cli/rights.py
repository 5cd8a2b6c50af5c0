# SPDX-License-Identifier: Apache-2.0
"""Work of the karights command: options to a request, rights to lines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from kadeploy.cli.node_lists import read_nodes
from kadeploy.cli.rights_options import RightsOptions
from kadeploy.cli.server_options import open_contract
from kadeploy.cli.standard_streams import say, tell
from kadeploy.contract.granting import RightContract
from kadeploy.errors import ExitStatus, UsageError
from kadeploy.service.right_requests import RightsGrant, RightsWithdrawal
from kadeploy.service.views.rights import RightsChangeView, RightsView, RightView
from kadeploy.terminal import printable_line

ALL = "*"


def carry_out(options: RightsOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    nodes = _nodes(options)  # read before the event loop runs: a thread could not be interrupted
    asyncio.run(_carry_out(options, nodes))
    return ExitStatus.OK


def _nodes(options: RightsOptions) -> tuple[str, ...] | None:
    """Nodes of -m and -f, None for all of them: an empty file names none, and not all."""
    if ALL in options.machines or not (options.machines or options.files):
        return None
    names = read_nodes(options.machines, options.files)
    if not names:
        raise UsageError("no node is chosen", hint="'-m *' are all nodes")
    return tuple(names)


async def _carry_out(options: RightsOptions, nodes: tuple[str, ...] | None) -> None:
    async with open_contract(options) as contract:
        if options.listing:
            _print(_on(nodes, await contract.granting.list(options.user)), as_json=options.as_json)
        else:
            _tell_change(options, await _change(options, nodes, contract.granting))


def _on(nodes: tuple[str, ...] | None, view: RightsView) -> RightsView:
    """Rights that have any of these nodes, None for all."""
    if nodes is None:
        return view
    wanted = {ALL, *nodes}
    return RightsView(rights=tuple(right for right in view.rights if right.node in wanted))


async def _change(
    options: RightsOptions, nodes: tuple[str, ...] | None, part: RightContract
) -> RightsChangeView:
    devices = None if ALL in options.devices or not options.devices else options.devices
    user = options.user or ""
    if options.delete:
        return await part.withdraw(RightsWithdrawal(user=user, nodes=nodes, devices=devices))
    until = None if options.until is None else datetime.fromtimestamp(options.until, UTC)
    grant = RightsGrant(
        user=user, nodes=nodes, devices=devices, until=until, overwrite=options.overwrite_rights
    )
    return await part.add(grant)


def _tell_change(options: RightsOptions, change: RightsChangeView) -> None:
    """Tell on standard error of what a script need not know: what was asked for holds in each case."""
    if not change.changed:
        found = "these rights already" if options.add else "no such right"
        tell(f"nothing has changed: {options.user} has {found}")
    for wid in change.ended:
        tell(f"{wid} ends: its user has lost a right that it needs")
    if not change.limited:
        tell("rights.kind in server.conf is dummy: everybody may use every node (warning)")


def _print(view: RightsView, *, as_json: bool) -> None:
    if as_json:
        say(view.to_list_text())
        return
    if not view.rights:
        tell("No right has been found")
        return
    for line in _table(view.rights):
        say(line)


def _table(rights: Sequence[RightView]) -> Iterator[str]:
    """Lines with the columns of Kadeploy3: 15, 41 and the rest; devices of one end together."""
    yield _row("User", "Node", "Partitions")
    yield _row("####", "####", "##########")
    devices: dict[tuple[str, str, str | None], list[str]] = {}
    for right in rights:
        devices.setdefault((right.user, right.node, right.until), []).append(right.device)
    for (user, node, until), names in devices.items():
        yield _row(user, node, ",".join(names) + (f" until {_local(until)}" if until else ""))


def _row(user: str, node: str, devices: str) -> str:
    return printable_line(f"{user:<15} {node:<41} {devices}")


def _local(until: str) -> str:
    return f"{datetime.fromisoformat(until).astimezone():%Y-%m-%d %H:%M:%S}"
