# SPDX-License-Identifier: Apache-2.0
"""Work of ``kalab fault``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from kadeploy import nodes
from kadeploy.lab import cluster
from kadeploy.lab.faults import setting
from kadeploy.lab.faults.lots import Lot


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
            click.echo(f"{node.name}: {mended} off")


def apply(name: str, path: Path, seed: int | None, *, as_json: bool) -> None:
    """Break nodes as a file says, and print the faults of each."""
    from kadeploy.lab.faults import plan_file  # here, because the others do without what it imports

    lab = cluster.find(name)
    lots = plan_file.load(path, lab).lots(lab, seed)
    for lot in lots:
        setting.switch_on(lab, lab.node(lot.node), lot.setting)
    _show(lots, as_json=as_json)


def _show(lots: Sequence[Lot], *, as_json: bool) -> None:
    if as_json:
        entries = [{"node": lot.node, "fault": str(lot.setting), "expect": lot.expect} for lot in lots]
        click.echo(json.dumps(entries, indent=1))
        return
    for lot in lots:
        click.echo(f"{lot.node}: {lot.setting}" + (f", expected: {lot.expect}" if lot.expect else ""))
