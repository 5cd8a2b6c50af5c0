# SPDX-License-Identifier: Apache-2.0
"""Work of the commands of kalab, but for its faults."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict

from kadeploy.cli.lab_options import UpOptions
from kadeploy.cli.standard_streams import mention, say, tell
from kadeploy.config import namespace
from kadeploy.errors import NotFoundError
from kadeploy.lab import cluster, console, hardware, labs, plan, power
from kadeploy.lab import status as lab_status
from kadeploy.lab.plan import ContainerOptions, LabPlan
from kadeploy.lab.status import NodeStatus


def report(line: str) -> None:
    """Print a line of progress."""
    tell(f"kalab: {line}")


def up(options: UpOptions) -> None:
    """Bring a lab up, and print the line that tells kadeploy of it."""
    lab = _plan(options)
    cluster.up(lab, report)
    say(f"export KADEPLOY_CONFIG_DIR={shlex.quote(str(lab.config))}")


def _plan(options: UpOptions) -> LabPlan:
    """Plan of a lab of these options; raises UsageError for options that make none."""
    plan.check_name(options.name)
    state = (options.state_dir or plan.ROOT / options.name).absolute()
    environment = options.deploy_env.absolute()
    disk_kind, disk = hardware.parse_disk(options.disk)
    nodes = map(plan.node_name, range(options.count))
    firmware, other_firmware = hardware.parse_firmware(options.firmware, nodes)
    return LabPlan(
        name=options.name,
        count=options.count,
        state=state,
        config=(options.config_dir or state / "config").absolute(),
        deploy_env=environment,
        postinstall=environment.parent / "postinstall" / "admin.tgz",
        memory=options.memory,
        disk=disk,
        disk_kind=disk_kind,
        firmware=firmware,
        other_firmware=other_firmware,
        boot_program=options.pxe,
        driver=options.driver,
        container=ContainerOptions(
            boot_delay=options.boot_delay,
            boot_spread=options.boot_spread,
            seed=options.seed,
            rate=options.rate,
            whole_files=options.fetch == "all",
        ),
    )


def down(name: str, *, everything: bool) -> None:
    """Take down a lab, or all labs of this machine."""
    for lab in labs.names() if everything else [name]:
        report(f"lab '{lab}' is down" if cluster.down(lab, report) else f"there is no lab '{lab}'")


def status(name: str, *, as_json: bool) -> None:
    """Print the status of the nodes."""
    found = lab_status.read(cluster.find(name))
    if as_json:
        from kadeploy.service.views.lab import LabNodesView, LabNodeView  # here, as nodes below

        view = LabNodesView(nodes=tuple(LabNodeView(**asdict(node)) for node in found))
        say(view.to_list_text(indent=1))
    else:
        for node in found:
            say(_line(node))


def _line(node: NodeStatus) -> str:
    marks = f"[{' '.join(node.faults)}] " if node.faults else ""
    memory = f"{node.memory / 2**20:.1f}M"
    columns = (
        f"{node.name:<9} {node.power:<4} {node.pid or '-':>7} "
        f"{node.address:<13} {memory:>8} {node.boot_device:<5}"
    )
    return f"{columns} {marks}{node.console}".rstrip()


def print_console(name: str, node: str) -> None:
    """Print the record of a node's console."""
    console.print_record(cluster.find(name).node(node))


def attach_console(name: str, node: str) -> None:
    """Attach this terminal to a node's console."""
    machine = cluster.find(name).node(node)
    report("attached; Ctrl-] leaves")
    console.attach(machine)


def switch(name: str, names: str, action: str) -> bool:
    """Switch nodes through their BMCs, or ask them; True if all have obeyed."""
    from kadeploy import nodes  # here, because the other commands do without what it imports

    lab = cluster.find(name)
    obeyed = True
    for node, done in power.switch(lab, [lab.node(node) for node in nodes.parse(names)], action):
        obeyed = obeyed and done.ok
        (mention if done.ok else tell)(f"{node.name}: {done.text}")
    return obeyed


def execute(name: str, command: tuple[str, ...]) -> None:
    """Replace this process by a command in the lab's network; raises NotFoundError if it cannot be run."""
    namespace.enter(cluster.find(name).namespace)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the user's own command
    except OSError as error:
        raise NotFoundError(f"{command[0]} cannot be run: {error.strerror}") from error
