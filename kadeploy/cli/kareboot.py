# SPDX-License-Identifier: Apache-2.0
"""kareboot: reboot nodes without installing anything, and say for each what is known to run on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kadeploy.cli import frame
from kadeploy.cli import options as options_of_all
from kadeploy.errors import ExitStatus, UsageError

EXAMPLES = """\
kareboot -f $OAR_NODE_FILE
    reboot the nodes; what was deployed on each must come back and prove itself
kareboot -r deploy_env -m node-[1-3] -k
    into the deployment environment, in memory; log in as root to repair a disk
kareboot -r recorded_env -e debian12-min -p 3 -f nodes -o ok -n ko
    back to the environment that was deployed, after one of the above
kareboot -r set_pxe -w rescue.ipxe -m node-1 -l hard
    by a boot profile of your own; press the reset button, do not ask the system"""

SECTIONS = {
    "KINDS OF REBOOTS": """\
simple        boot by the profile that each node has: its disk, unless the last one was set_pxe
deploy_env    boot the deployment environment (-k lets you in); it stays the node's profile
recorded_env  boot the disk, which must have the environment of -e
set_pxe       boot by the profile of -w; it stays the node's profile""",
    "WHAT IS PROVED": """\
That the node has left: its ssh port was closed, or it asked for boot files, after the order. Then:
simple        the ssh host key of the system that was deployed last on its disk; where none was, or it never
              ran, only that an ssh server answers which is not the deployment environment's
deploy_env    the deployment environment's host key, and the token of this very boot
recorded_env  the ssh host key of the environment on its disk
set_pxe       only that an ssh server answers which is not the deployment environment's""",
}

KINDS = {
    "simple": "simple",
    "set_pxe": "set_pxe",
    "deploy_env": "deploy_env",
    "recorded_env": "recorded_env",
    # Kadeploy 3.1
    "simple_reboot": "simple",
    "env_recorded": "recorded_env",
}

# Which kind each of these options belongs to.
BELONGS = {
    "env_name": "recorded_env",
    "env_user": "recorded_env",
    "env_version": "recorded_env",
    "partition": "recorded_env",
    "block_device": "recorded_env",
    "check_destructive_tag": "recorded_env",
    "key": "deploy_env",
    "set_pxe_profile": "set_pxe",
    "set_pxe_pattern": "set_pxe",
    "upload_pxe_files": "set_pxe",
}
NEEDED = {"recorded_env": ("env_name", "-e NAME"), "set_pxe": ("set_pxe_profile", "-w FILE")}


@click.command(
    cls=frame.Command,
    examples=EXAMPLES,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "-r",
    "--reboot-kind",
    type=click.Choice(list(KINDS)),
    default="simple",
    metavar="KIND",
    help="simple (default), deploy_env, recorded_env or set_pxe, see below.",
)
@click.option(
    "-l",
    "--op-level",
    "--reboot-level",
    "level",
    type=click.Choice(["soft", "hard", "very_hard"]),
    default="soft",
    metavar="LEVEL",
    help=options_of_all.LEVEL_HELP,
)
@frame.node_options
@click.option("-e", "--env-name", metavar="NAME", help="Of recorded_env: what must be on the disks.")
@click.option("-u", "--env-user", metavar="USER", help="Owner of the environment of -e (default: any).")
@click.option("--env-version", type=click.IntRange(min=0), metavar="N", help="Version of -e (default: any).")
@click.option(
    "-p",
    "--partition-number",
    "partition",
    type=click.IntRange(1, 128),
    metavar="N",
    help="Of recorded_env: the partition where it must be (default: any).",
)
@click.option("-b", "--block-device", metavar="DEV", help="Of recorded_env: the disk of -p.")
@click.option(
    "-c",
    "--check-destructive-tag",
    "--check-prod-env",
    "check_destructive_tag",
    is_flag=True,
    help="Of recorded_env: refuse where the environment is tagged destructive.",
)
@click.option(
    "-k",
    "--key",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Of deploy_env: public keys to log in with as root (default ~/.ssh/authorized_keys).",
)
@click.option("-w", "--set-pxe-profile", metavar="FILE", help="Of set_pxe: the boot profile.")
@click.option(
    "--set-pxe-pattern",
    metavar="FILE",
    help="Of set_pxe: lines 'node,value'; the value stands for NODE_SINGULARITY in the profile.",
)
@click.option("-x", "--upload-pxe-files", metavar="FILES", help="Not supported yet.")
@click.option("--vlan", metavar="ID", help="Not supported yet.")
@click.option(
    "--reboot-classical-timeout",
    default="",
    metavar="SECONDS",
    help="Until a node answers: a number, or an expression of n, the number of nodes.",
)
@options_of_all.result_options
@click.option(
    "--output-known-hosts",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Host keys of the nodes that were proved by theirs, for ssh -o UserKnownHostsFile=FILE.",
)
@options_of_all.running_options
def command(**options: Any) -> ExitStatus:
    """Reboot nodes.

    Nothing is installed. A node counts as good only when it has gone down and what answers then is what was
    to be booted, as far as that can be proved.
    """
    options["reboot_kind"] = kind = KINDS[options["reboot_kind"]]
    given = [name for name in BELONGS if options[name] not in (None, False)]
    if foreign := [name for name in given if BELONGS[name] != kind]:
        wrong = ", ".join(f"--{_option(name)}" for name in foreign)
        raise UsageError(f"{wrong}: not with -r {kind}", hint=f"add -r {BELONGS[foreign[0]]}")
    needed, option = NEEDED.get(kind, ("reboot_kind", ""))
    if not options[needed]:
        raise UsageError(f"-r {kind} needs {option}")
    if options["block_device"] and options["partition"] is None:
        raise UsageError("-b needs -p", hint=f"add -p N, the partition on {options['block_device']}")
    if options["vlan"]:
        raise UsageError("--vlan is not supported yet", hint="reboot in the VLAN where the nodes are")
    if options["upload_pxe_files"]:
        raise UsageError("-x is not supported yet", hint="let the profile fetch its files by http")
    options_of_all.check(options)
    from kadeploy.cli import reboot

    return reboot.reboot(options)


def _option(name: str) -> str:
    return "partition-number" if name == "partition" else name.replace("_", "-")


def main() -> None:
    """Entry point of the console script."""
    frame.run(command)
