# SPDX-License-Identifier: Apache-2.0
"""karights: rights on nodes, given, withdrawn and listed."""

from __future__ import annotations

from typing import Any

import click

from kadeploy.cli import program
from kadeploy.cli.rights_options import RightsOptions, rights_options
from kadeploy.errors import ExitStatus, UsageError

EXAMPLES = """\
karights -l                    rights of all users, or your own where you are not almighty
karights -a -u alice -m node-[1-3] -p /dev/sda3 --until 12h
    alice may use these nodes, and deploy on this partition, for half a day
karights -a -o -u "$OAR_JOB_USER" -f "$OAR_NODE_FILE"
    a prologue: give the nodes of a job to its user alone
karights -d -u "$OAR_JOB_USER" -f "$OAR_NODE_FILE"
    an epilogue: withdraw them, and end what still runs there
karights -a -u root            root may use all nodes"""

SECTIONS = {
    "RIGHTS": """\
They count where server.conf has rights.kind db; with dummy, the default, everybody may use every node.
A user needs a right on each node of an operation, and to deploy one on the device that gets the image.
Almighty users (rights.almighty_users) change rights; to use nodes they need rights as others do.
With -a -o, all rights of others on these nodes end, and so do operations for which one of them is needed.""",
}


@click.command(
    cls=program.ProgramCommand,
    examples=EXAMPLES,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@rights_options
def command(**values: Any) -> ExitStatus:
    """Give, withdraw or list rights on nodes.

    Exactly one of -a, -d and -l says what to do. Without -m and -f all nodes are meant, without -p all
    devices.
    """
    options = RightsOptions(**values)
    _check(options)
    from kadeploy.cli import rights

    return rights.carry_out(options)


def _check(options: RightsOptions) -> None:
    """Raises UsageError for options that do not go together."""
    if len(options.actions) != 1:
        raise UsageError(
            "nothing to do is given" if not options.actions else "only one thing can be done at a time",
            hint="give one of -a, -d and -l",
        )
    if options.user is None and not options.listing:
        raise UsageError("no user is given", hint="add -u USER")
    if not options.add and (options.overwrite_rights or options.until is not None):
        raise UsageError("-o and --until are for -a")
    if options.listing and options.devices:
        raise UsageError("-p is for -a and -d")
    if options.as_json and not options.listing:
        raise UsageError("--json is for -l")


def main() -> None:
    """Entry point of the console script."""
    program.run(command)
