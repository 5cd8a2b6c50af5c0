# SPDX-License-Identifier: Apache-2.0
"""kalab: a cluster of virtual machines to try deployments on."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import click

from kadeploy.cli import frame
from kadeploy.cli.kalab_fault import fault
from kadeploy.cli.lab_options import find_lab, name_option
from kadeploy.errors import ExitStatus

EPILOG_UP = """\b
Examples:
  eval "$(kalab up -n 3)"             three nodes; kadeploy finds them
  kadeploy -e debian12-min -m node-[1-3] -k
  kalab up -n 1 --name efi --firmware uefi
  kalab up -n 2 --name old --pxe pxelinux

\b
Exit status: 0 the lab is up; 2 usage; 3 refused (a lab of this name is up, not root, no
deployment environment); 4 a service of the lab does not answer; 130 interrupted."""

EPILOG = """\b
Examples:
  eval "$(kalab up -n 3)"             make a lab, and tell kadeploy of it
  kalab power node-1 on               switch a node on through its BMC
  kalab console node-1                attach to its serial console (Ctrl-] leaves)
  kalab exec -- ssh root@172.31.0.11  run a command in the lab's network
  kalab fault node-2 no-boot on       from its next reboot on, node-2 does not come back
  kalab fault --plan faults.yaml      break many nodes, as a file says
  kalab down                          take everything away

\b
Files:
  /var/lib/kalab/LAB                  a lab's state: configuration, disks, consoles
  /var/lib/kalab/LAB/nodes/NODE/console.log
  /run/netns/kalab-LAB                its network namespace"""


def say(line: str) -> None:
    """Progress."""
    click.echo(f"kalab: {line}", err=True)


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@frame.version_option
def kalab() -> None:
    """A cluster without hardware, to try environments, post-installs and timeouts on.

    The nodes of a lab are QEMU machines that boot by PXE, each with a BMC that ipmitool can talk to and a
    serial console that is recorded. They live in a network namespace of their own, without a way out. Nodes
    are called node-1, node-2, …; they are off until something switches them on.
    """


@kalab.command(epilog=EPILOG_UP, short_help="Bring a lab up.")
@click.option("-n", "--nodes", "count", type=int, default=3, show_default=True, help="How many nodes.")
@name_option
@click.option(
    "--config-dir",
    type=click.Path(path_type=Path),
    help="Where the kadeploy configuration goes. [default: STATE/config]",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    help="Disks, consoles, logs. [default: /var/lib/kalab/LAB]",
)
@click.option(
    "--driver",
    type=click.Choice(["qemu", "container"]),
    default="qemu",
    show_default=True,
    help="Machines, or namespaces of this kernel.",
)
@click.option(
    "--memory",
    type=click.IntRange(256, 1048576),
    default=1024,
    show_default=True,
    metavar="MIB",
    help="Memory of a node in MiB.",
)
@click.option(
    "--disk",
    default="4GiB",
    show_default=True,
    metavar="SIZE",
    help="Size of a node's disk, which is sparse.",
)
@click.option(
    "--firmware",
    type=click.Choice(["bios", "uefi"]),
    default="bios",
    show_default=True,
    help="What the nodes start with.",
)
@click.option(
    "--pxe",
    type=click.Choice(["ipxe", "pxelinux"]),
    default="ipxe",
    show_default=True,
    help="What they boot from the network.",
)
@click.option(
    "--deploy-env",
    type=click.Path(path_type=Path),
    default=Path("build/deploy-env"),
    show_default=True,
    help="What bin/build-deploy-env has built.",
)
@click.option(
    "--boot-delay",
    type=click.FloatRange(0, 3600),
    default=5,
    show_default=True,
    metavar="SECONDS",
    help="Container nodes: what a firmware takes.",
)
@click.option(
    "--boot-spread",
    type=click.FloatRange(0, 3600),
    default=2,
    show_default=True,
    metavar="SECONDS",
    help="Container nodes: more or less at each boot.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Container nodes: of that chance.")
@click.option("--rate", default="", metavar="RATE", help="Container nodes: of a link, as 100mbit.")
@click.option(
    "--fetch",
    type=click.Choice(["all", "head"]),
    default="all",
    show_default=True,
    help="Container nodes: boot files whole, or asked for only.",
)
def up(
    count: int,
    name: str,
    config_dir: Path | None,
    state_dir: Path | None,
    driver: Any,
    memory: int,
    disk: str,
    firmware: Any,
    pxe: Any,
    deploy_env: Path,
    boot_delay: float,
    boot_spread: float,
    seed: int,
    rate: str,
    fetch: str,
) -> None:
    """Bring a lab up, and print the line that tells kadeploy of it.

    Makes the network namespace kalab-LAB with DHCP (dnsmasq), the boot files (kadeploy-boot), a disk and a
    BMC for each node, and a complete kadeploy configuration. When it fails or is interrupted it takes
    everything away again. After a crash, 'kalab down' does.
    """
    from kadeploy.lab import cluster, plan

    plan.check_name(name)
    state = (state_dir or plan.ROOT / name).absolute()
    environment = deploy_env.absolute()
    lab = plan.LabPlan(
        name=name,
        count=count,
        state=state,
        config=(config_dir or state / "config").absolute(),
        deploy_env=environment,
        postinstall=environment.parent / "postinstall" / "admin.tgz",
        memory=memory,
        disk=plan.parse_size(disk),
        firmware=firmware,
        boot_program=pxe,
        driver=driver,
        container=plan.ContainerOptions(
            boot_delay=boot_delay, boot_spread=boot_spread, seed=seed, rate=rate, whole_files=fetch == "all"
        ),
    )
    cluster.up(lab, say)
    import shlex

    click.echo(f"export KADEPLOY_CONFIG_DIR={shlex.quote(str(lab.config))}")


@kalab.command(short_help="Take a lab away.")
@name_option
@click.option("--all", "everything", is_flag=True, help="All labs of this machine.")
def down(name: str, everything: bool) -> None:
    """Take a lab away: its nodes, their disks, its services, its network and its configuration.

    Also takes away what a crash has left. A lab that is down already is no error.
    """
    from kadeploy.lab import cluster, journal

    for lab in journal.names() if everything else [name]:
        say(f"lab '{lab}' is down" if cluster.down(lab, say) else f"there is no lab '{lab}'")


@kalab.command(short_help="Show what the nodes are doing.")
@name_option
@frame.json_option
def status(name: str, as_json: bool) -> None:
    """Show each node's power, process, address, memory, boot device, faults and last console line.

    Memory is what all processes of the node take, pages shared with others in parts.
    """
    from kadeploy.lab import status as lab_status

    nodes = lab_status.of(find_lab(name))
    if as_json:
        import dataclasses
        import json

        click.echo(json.dumps([dataclasses.asdict(node) for node in nodes], indent=1))
        return
    for node in nodes:
        marks = f"[{' '.join(node.faults)}] " if node.faults else ""
        memory = f"{node.memory / 2**20:.1f}M"
        columns = (
            f"{node.name:<9} {node.power:<4} {node.pid or '-':>7} "
            f"{node.address:<13} {memory:>8} {node.boot_device:<5}"
        )
        click.echo(f"{columns} {marks}{node.console}".rstrip())


@kalab.command(short_help="Attach to a node's serial console.")
@name_option
@click.option("--log", is_flag=True, help="Print what was recorded, and end.")
@click.argument("node")
def console(name: str, log: bool, node: str) -> None:
    """Attach this terminal to the serial console of NODE; Ctrl-] leaves it.

    One terminal at a time can be attached. Everything is recorded meanwhile.
    """
    from kadeploy.lab import console as lab_console

    machine = find_lab(name).node(node)
    if log:
        with machine.file("console.log").open("rb") as record:
            import shutil

            shutil.copyfileobj(record, sys.stdout.buffer)
        return
    say("attached; Ctrl-] leaves")
    lab_console.attach(machine)


@kalab.command(short_help="Switch nodes through their BMCs.")
@name_option
@click.argument("nodes", metavar="NODES")
@click.argument("action", type=click.Choice(["on", "off", "cycle", "reset", "status"]))
def power(name: str, nodes: str, action: str) -> None:
    """Switch NODES (node-1, node-[1-3]) through their BMCs, or ask for their state.

    Talks IPMI as kadeploy does. Exit status 1 where a BMC refuses.
    """
    import kadeploy.nodes
    from kadeploy.lab import power as lab_power

    lab = find_lab(name)
    wanted = [lab.node(node) for node in kadeploy.nodes.parse(nodes)]
    failed = False
    for node, done in lab_power.switch(lab, wanted, action):
        failed = failed or not done.ok
        click.echo(f"{node.name}: {done.text}", err=not done.ok)
    if failed:
        raise SystemExit(ExitStatus.NODES_FAILED)


@kalab.command(
    name="exec",
    short_help="Run a command in the lab's network.",
    context_settings={"ignore_unknown_options": True},
)
@name_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(name: str, command: tuple[str, ...]) -> None:
    """Run COMMAND in the lab's network, where the nodes can be reached: kalab exec -- ssh root@172.31.0.11"""
    import os

    from kadeploy.config import namespace
    from kadeploy.errors import NotFoundError

    namespace.enter(find_lab(name).namespace)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the user's own command
    except OSError as error:
        raise NotFoundError(f"{command[0]} cannot be run: {error.strerror}") from error


kalab.add_command(fault)


def _interrupt(number: int, where: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """The command; exits with the project's exit statuses."""
    signal.signal(signal.SIGTERM, _interrupt)
    frame.run(kalab)
