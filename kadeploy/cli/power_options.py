# SPDX-License-Identifier: Apache-2.0
"""Options of kapower, and the typed value that they become."""

from __future__ import annotations

from dataclasses import dataclass
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

power_options = declare(
    click.option("--on", is_flag=True, help="Switch the nodes on."),
    click.option("--off", is_flag=True, help="Switch the nodes off."),
    click.option("--status", is_flag=True, help="Tell which nodes are on."),
    click.option("-l", "--op-level", "level", type=LEVELS, metavar="LEVEL", help=LEVEL_HELP),
    node_options,
    result_options,
    operation_options,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOptions(OperationOptions):
    """Options of kapower."""

    on: bool
    off: bool
    status: bool
    level: Level | None
