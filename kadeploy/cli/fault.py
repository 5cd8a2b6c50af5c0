# SPDX-License-Identifier: Apache-2.0
"""Work of ``kalab fault``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kadeploy import nodes
from kadeploy.cli.standard_streams import mention, say
from kadeploy.lab import cluster
from kadeploy.lab.faults import setting
from kadeploy.lab.faults.assignment import AssignedFault


def switch(name: str, names: str, text: str, *, on: bool) -> None:
    """Switch one fault of some nodes on or off."""
    lab = cluster.find(name)
    chosen = [lab.node(node) for node in nodes.parse(names)]
    wanted = setting.parse(text) if on else setting.parse_kind(text)
    for node in chosen:
        setting.check(lab, node, wanted)
    for node in chosen:
        if on:
            setting.switch_on(lab, node, wanted)
        else:
            setting.switch_off(lab, node, wanted.kind)


def mend(name: str) -> None:
    """Switch all faults of all nodes off, and print those that were on."""
    lab = cluster.find(name)
    for node in lab.nodes:
        for mended in setting.mend(lab, node):
            mention(f"{node.name}: {mended} off")


def apply(name: str, path: Path, seed: int | None, *, as_json: bool) -> None:
    """Break nodes as a file says, and print the faults of each."""
    from kadeploy.lab.faults import plan_file  # here, because the others do without what it imports

    lab = cluster.find(name)
    assigned = plan_file.load(path, lab).assign(lab, seed)
    for fault in assigned:
        setting.switch_on(lab, lab.node(fault.node), fault.setting)
    _show(assigned, as_json=as_json)


def _show(assigned: Sequence[AssignedFault], *, as_json: bool) -> None:
    if as_json:
        from kadeploy.service.views.lab import LabFaultsView, LabFaultView

        faults = (
            LabFaultView(node=fault.node, fault=str(fault.setting), expect=fault.expect) for fault in assigned
        )
        say(LabFaultsView(faults=tuple(faults)).to_list_text(indent=1))
        return
    for fault in assigned:
        say(f"{fault.node}: {fault.setting}" + (f", expected: {fault.expect}" if fault.expect else ""))
