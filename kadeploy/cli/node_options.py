# SPDX-License-Identifier: Apache-2.0
"""Options of kanodes, and the typed value that they become."""

from __future__ import annotations

from dataclasses import dataclass

import click

from kadeploy.cli import program
from kadeploy.cli.options import NodeOptions, declare, node_options
from kadeploy.cli.server_options import ServerOptions, server_options
from kadeploy.errors import UsageError

listing_options = declare(
    click.option("-s", "--state", is_flag=True, help="Print the states of nodes (the default)."),
    node_options,
    click.option("-d", "--deployments", is_flag=True, help="Print the deployments that have not ended."),
    click.option("-r", "--reboots", is_flag=True, help="Print the reboots that have not ended."),
    click.option("-p", "--powers", is_flag=True, help="Print the power operations that have not ended."),
    click.option("-a", "--all", "everything", is_flag=True, help="Print all operations that have not ended."),
    click.option("-w", "--workflow-id", metavar="WID", help="Only this operation, though it has ended."),
    server_options,
    program.json_option,
    program.version_option,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingOptions(NodeOptions, ServerOptions):
    """Options of kanodes."""

    state: bool
    deployments: bool
    reboots: bool
    powers: bool
    everything: bool
    workflow_id: str | None
    as_json: bool

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of the operations that are asked for, none where states of nodes are."""
        chosen = {"deploy": self.deployments, "reboot": self.reboots, "power": self.powers}
        every = self.everything or (self.workflow_id is not None and not any(chosen.values()))
        return frozenset(kind for kind, wanted in chosen.items() if wanted or every)

    def check(self) -> None:
        """Raises UsageError for options that do not go together."""
        if self.kinds and self.state:
            raise UsageError("-s excludes -d, -r, -p, -a and -w")
        if self.kinds and (self.machines or self.files):
            raise UsageError("-m and -f choose nodes of -s, not operations")
