# SPDX-License-Identifier: Apache-2.0
"""kareboot: reboot nodes without installing anything, and say for each what is known to run on it."""

from __future__ import annotations

from typing import Any

import click

from kadeploy.cli import program
from kadeploy.cli.reboot_options import RebootOptions, reboot_options
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
deploy_env    the deployment environment of this very boot, by the secret that was served for it
recorded_env  the ssh host key of the environment on its disk
set_pxe       only that an ssh server answers which is not the deployment environment's""",
}


@click.command(
    cls=program.ProgramCommand,
    examples=EXAMPLES,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@reboot_options
def command(**values: Any) -> ExitStatus:
    """Reboot nodes.

    Nothing is installed. A node counts as good only when it has gone down and what answers then is what was
    to be booted, as far as that can be proved.
    """
    options = RebootOptions(**values)
    _check(options)
    from kadeploy.cli import reboot

    return reboot.reboot(options)


def _check(options: RebootOptions) -> None:
    """Raises UsageError for options that no reboot obeys."""
    if options.vlan:
        raise UsageError("--vlan is not supported yet", hint="reboot in the VLAN where the nodes are")
    if options.upload_pxe_files:
        raise UsageError("-x is not supported yet", hint="let the profile fetch its files by http")
    options.check()


def main() -> None:
    """Entry point of the console script."""
    program.run(command)
