# SPDX-License-Identifier: Apache-2.0
"""Options of kareboot, and the typed value that they become."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kadeploy.cli.options import (
    LEVEL_HELP,
    LEVELS,
    OperationOptions,
    declare,
    node_options,
    operation_options,
    result_options,
)

if TYPE_CHECKING:
    from kadeploy.config.remote_operations import Level

KINDS = {
    "simple": "simple",
    "set_pxe": "set_pxe",
    "deploy_env": "deploy_env",
    "recorded_env": "recorded_env",
    # Kadeploy 3.1
    "simple_reboot": "simple",
    "env_recorded": "recorded_env",
}

_FILE = click.Path(path_type=Path)

reboot_options = declare(
    click.option(
        "-r",
        "--reboot-kind",
        type=click.Choice(list(KINDS)),
        default="simple",
        metavar="KIND",
        help="simple (default), deploy_env, recorded_env or set_pxe, see below.",
    ),
    click.option(
        "-l",
        "--op-level",
        "--reboot-level",
        "level",
        type=LEVELS,
        default="soft",
        metavar="LEVEL",
        help=LEVEL_HELP,
    ),
    node_options,
    click.option("-e", "--env-name", metavar="NAME", help="Of recorded_env: what must be on the disks."),
    click.option("-u", "--env-user", metavar="USER", help="Owner of the environment of -e (default: any)."),
    click.option(
        "--env-version", type=click.IntRange(min=0), metavar="N", help="Version of -e (default: any)."
    ),
    click.option(
        "-p",
        "--partition-number",
        "partition",
        type=click.IntRange(1, 128),
        metavar="N",
        help="Of recorded_env: the partition where it must be (default: any).",
    ),
    click.option("-b", "--block-device", metavar="DEV", help="Of recorded_env: the disk of -p."),
    click.option(
        "-c",
        "--check-destructive-tag",
        "--check-prod-env",
        "check_destructive_tag",
        is_flag=True,
        help="Of recorded_env: refuse where the environment is tagged destructive.",
    ),
    click.option(
        "-k",
        "--key",
        is_flag=False,
        flag_value="",
        metavar="[FILE]",
        help="Of deploy_env: public keys to log in with as root (default ~/.ssh/authorized_keys).",
    ),
    click.option("-w", "--set-pxe-profile", metavar="FILE", help="Of set_pxe: the boot profile."),
    click.option(
        "--set-pxe-pattern",
        metavar="FILE",
        help="Of set_pxe: lines 'node,value'; the value stands for NODE_SINGULARITY in the profile.",
    ),
    click.option("-x", "--upload-pxe-files", metavar="FILES", help="Not supported yet."),
    click.option("--vlan", metavar="ID", help="Not supported yet."),
    click.option(
        "--reboot-classical-timeout",
        default="",
        metavar="SECONDS",
        help="Until a node answers: a number, or an expression of n, the number of nodes.",
    ),
    result_options,
    click.option(
        "--output-known-hosts",
        type=_FILE,
        metavar="FILE",
        help="Host keys of the nodes that were proved by theirs, for ssh -o UserKnownHostsFile=FILE.",
    ),
    operation_options,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RebootOptions(OperationOptions):
    """Options of kareboot."""

    reboot_kind: str
    level: Level
    env_name: str | None
    env_user: str | None
    env_version: int | None
    partition: int | None
    block_device: str | None
    check_destructive_tag: bool
    key: str | None
    set_pxe_profile: str | None
    set_pxe_pattern: str | None
    upload_pxe_files: str | None
    vlan: str | None
    reboot_classical_timeout: str

    @property
    def kind(self) -> str:
        """Kind of reboot by its present name."""
        return KINDS[self.reboot_kind]
