# SPDX-License-Identifier: Apache-2.0
"""kalab: a cluster of virtual machines to try deployments on."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import click

from kadeploy.cli import program
from kadeploy.cli.kalab_fault import fault
from kadeploy.cli.lab_options import UpOptions, name_option, up_options
from kadeploy.errors import ExitStatus

EPILOG_UP = """\b
Examples:
  eval "$(kalab up -n 3)"             three nodes; kadeploy finds them
  kadeploy -e debian12-min -m node-[1-3] -k
  kalab up -n 2 --name efi --firmware uefi --firmware bios:node-2 --disk nvme
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


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@program.version_option
def kalab() -> None:
    """A cluster without hardware, to try environments, post-installs and timeouts on.

    The nodes of a lab are QEMU machines that boot by PXE, each with a BMC that ipmitool can talk to and a
    serial console that is recorded. They live in a network namespace of their own, without a way out. Nodes
    are called node-1, node-2, …; they are off until something switches them on.
    """


@kalab.command(epilog=EPILOG_UP, short_help="Bring a lab up.")
@up_options
def up(**values: Any) -> None:
    """Bring a lab up, and print the line that tells kadeploy of it.

    Makes the network namespace kalab-LAB with DHCP (dnsmasq), the boot files (kadeploy-boot), a disk and a
    BMC for each node, and a complete kadeploy configuration. When it fails or is interrupted it takes
    everything away again. After a crash, 'kalab down' does.
    """
    from kadeploy.cli import lab

    lab.up(UpOptions(**values))


@kalab.command(short_help="Take a lab away.")
@name_option
@click.option("--all", "everything", is_flag=True, help="All labs of this machine.")
def down(name: str, everything: bool) -> None:
    """Take a lab away: its nodes, their disks, its services, its network and its configuration.

    Also takes away what a crash has left. A lab that is down already is no error.
    """
    from kadeploy.cli import lab

    lab.down(name, everything=everything)


@kalab.command(short_help="Show what the nodes are doing.")
@name_option
@program.json_option
def status(name: str, as_json: bool) -> None:
    """Show each node's power, process, address, memory, boot device, faults and last console line.

    Memory is what all processes of the node take, pages shared with others in parts.
    """
    from kadeploy.cli import lab

    lab.status(name, as_json=as_json)


@kalab.command(short_help="Attach to a node's serial console.")
@name_option
@click.option("--log", is_flag=True, help="Print what was recorded, and end.")
@click.argument("node")
def console(name: str, log: bool, node: str) -> None:
    """Attach this terminal to the serial console of NODE; Ctrl-] leaves it.

    One terminal at a time can be attached. Everything is recorded meanwhile.
    """
    from kadeploy.cli import lab

    if log:
        lab.print_console(name, node)
    else:
        lab.attach_console(name, node)


@kalab.command(short_help="Switch nodes through their BMCs.")
@name_option
@click.argument("nodes", metavar="NODES")
@click.argument("action", type=click.Choice(["on", "off", "cycle", "reset", "status"]))
def power(name: str, nodes: str, action: str) -> None:
    """Switch NODES (node-1, node-[1-3]) through their BMCs, or ask for their state.

    Talks IPMI as kadeploy does. Exit status 1 where a BMC refuses.
    """
    from kadeploy.cli import lab

    if not lab.switch(name, nodes, action):
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
    from kadeploy.cli import lab

    lab.execute(name, command)


kalab.add_command(fault)


def _interrupt(number: int, where: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command; exits with the project's exit statuses."""
    signal.signal(signal.SIGTERM, _interrupt)
    program.run(kalab)
