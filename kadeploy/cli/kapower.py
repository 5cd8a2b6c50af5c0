# SPDX-License-Identifier: Apache-2.0
"""kapower: switch nodes on or off, or ask which they are."""

from __future__ import annotations

from typing import Any

import click

from kadeploy.cli import program
from kadeploy.cli.power_options import PowerOptions, power_options
from kadeploy.errors import ExitStatus, UsageError

EXAMPLES = """\
kapower --status -f nodes
    which nodes are on and which are off; takes no node from anybody
kapower --off -m node-[1-3]
    switch off, gently at first
kapower --on -m node-1 -l hard -o on -n failed
    switch on by a harder way; the nodes that are on then end up in the file on, the others in failed"""

SECTIONS = {
    "LEVELS": """\
The cluster's file names up to three ways for each operation: soft, hard and very_hard. They are tried in this
order, from the one of -l, until one works.""",
    "WHAT IS PROVED": """\
After --on and --off the power status is asked for until it is as ordered, where the cluster's file says how
(remoteops.power_status, but for method ssh); elsewhere a node is good when its command has succeeded.""",
}


@click.command(
    cls=program.ProgramCommand,
    examples=EXAMPLES,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@power_options
def command(**values: Any) -> ExitStatus:
    """Switch nodes on or off, or ask which they are."""
    options = PowerOptions(**values)
    wanted = {"on": options.on, "off": options.off, "status": options.status}
    asked = [kind for kind, flag in wanted.items() if flag]
    if len(asked) != 1:
        raise UsageError("give what to do: one of --on, --off, --status")
    options.check()
    from kadeploy.cli import power

    return power.power(asked[0], options)


def main() -> None:
    """Entry point of the console script."""
    program.run(command)
