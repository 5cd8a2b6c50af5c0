# SPDX-License-Identifier: Apache-2.0
"""kanodes: what is known of each node, and which operations run."""

from __future__ import annotations

from typing import Any

import click

from kadeploy.cli import program
from kadeploy.cli.node_options import ListingOptions, listing_options
from kadeploy.errors import ExitStatus

OUTPUT = """\
-s has a line for all nodes of which the same is known: the state, the user of the last operation, the
environment on the disk, since when all of them are so, until when they are held, how the miniOS that they
booted last has proven itself, and the nodes. Columns in which nothing is known are left out.
  deploying, rebooting, powering        an operation works on the node
  deployed, rebooted, powered           it has ended well
  deploy_failed, reboot_failed, power_failed, aborted
  prod_env, recorded_env, deploy_env    what kareboot has booted
  held                                  at a breakpoint
  (interrupted)                         behind a state: the operation was killed, or the time is over
-d, -r, -p and -a have the operations that have not ended, newest first, each with its nodes by their
states."""

EXAMPLES = """\
kanodes                              the state of all nodes
kanodes -m node-[1-20]               of some
kanodes -s -f $OAR_NODE_FILE --json
kanodes -a                           the operations that run, or hold nodes
kanodes -d -w last                   the last deployment"""


@click.command(
    cls=program.ProgramCommand,
    examples=EXAMPLES,
    sections={"OUTPUT": OUTPUT},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@listing_options
def command(**values: Any) -> ExitStatus:
    """Print what is known of nodes, or which operations run."""
    options = ListingOptions(**values)
    options.check()
    from kadeploy.cli import node_listing

    return node_listing.carry_out(options)


def main() -> None:
    """Entry point of the console script."""
    program.run(command)
