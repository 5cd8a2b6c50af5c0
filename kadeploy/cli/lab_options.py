# SPDX-License-Identifier: Apache-2.0
"""What the commands of kalab share: the name of the lab, and the lab of that name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kadeploy.lab.plan import LabPlan


def name_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--name of all commands."""
    return click.option(
        "--name",
        default="lab",
        show_default=True,
        metavar="LAB",
        help="Name of the lab; labs live side by side.",
    )(command)


def find_lab(name: str) -> LabPlan:
    """The lab of this name, which is up; raises NotFoundError."""
    from kadeploy.lab import cluster

    return cluster.find(name)
