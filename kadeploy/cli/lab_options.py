# SPDX-License-Identifier: Apache-2.0
"""Options of kalab: the name of the lab, which all its commands have, and those of ``kalab up``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kadeploy.cli.options import declare

if TYPE_CHECKING:
    from kadeploy.lab.plan import BootProgram, DriverName

name_option = click.option(
    "--name",
    default="lab",
    show_default=True,
    metavar="LAB",
    help="Name of the lab; labs live side by side.",
)

up_options = declare(
    click.option("-n", "--nodes", "count", type=int, default=3, show_default=True, help="How many nodes."),
    name_option,
    click.option(
        "--config-dir",
        type=click.Path(path_type=Path),
        help="Where the kadeploy configuration goes. [default: STATE/config]",
    ),
    click.option(
        "--state-dir",
        type=click.Path(path_type=Path),
        help="Disks, consoles, logs. [default: /var/lib/kalab/LAB]",
    ),
    click.option(
        "--driver",
        type=click.Choice(["qemu", "container"]),
        default="qemu",
        show_default=True,
        help="Machines, or namespaces of this kernel.",
    ),
    click.option(
        "--memory",
        type=click.IntRange(256, 1048576),
        default=1024,
        show_default=True,
        metavar="MIB",
        help="Memory of a node in MiB.",
    ),
    click.option(
        "--disk",
        default="4GiB",
        show_default=True,
        metavar="[KIND:]SIZE|KIND",
        help="Of each node: virtio (default), nvme or scsi, and its size; it is sparse.",
    ),
    click.option(
        "--firmware",
        multiple=True,
        metavar="KIND[:NODES]",
        help="bios (default) or uefi, of all nodes or of these; repeatable, later ones win.",
    ),
    click.option(
        "--pxe",
        type=click.Choice(["ipxe", "pxelinux"]),
        default="ipxe",
        show_default=True,
        help="What they boot from the network.",
    ),
    click.option(
        "--deploy-env",
        type=click.Path(path_type=Path),
        default=Path("build/deploy-env"),
        show_default=True,
        help="What bin/build-deploy-env has built.",
    ),
    click.option(
        "--boot-delay",
        type=click.FloatRange(0, 3600),
        default=5,
        show_default=True,
        metavar="SECONDS",
        help="Container nodes: what a firmware takes.",
    ),
    click.option(
        "--boot-spread",
        type=click.FloatRange(0, 3600),
        default=2,
        show_default=True,
        metavar="SECONDS",
        help="Container nodes: more or less at each boot.",
    ),
    click.option("--seed", type=int, default=1, show_default=True, help="Container nodes: of that chance."),
    click.option("--rate", default="", metavar="RATE", help="Container nodes: of a link, as 100mbit."),
    click.option(
        "--fetch",
        type=click.Choice(["all", "head"]),
        default="all",
        show_default=True,
        help="Container nodes: boot files whole, or asked for only.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """Options of ``kalab up``; memory in MiB, times in seconds."""

    count: int
    name: str
    config_dir: Path | None
    state_dir: Path | None
    driver: DriverName
    memory: int
    disk: str
    firmware: tuple[str, ...]
    pxe: BootProgram
    deploy_env: Path
    boot_delay: float
    boot_spread: float
    seed: int
    rate: str
    fetch: str
