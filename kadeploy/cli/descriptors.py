# SPDX-License-Identifier: Apache-2.0
"""Limit of open files of a command."""

from __future__ import annotations

import resource

from kadeploy.cli.standard_streams import tell


def raise_descriptor_limit() -> None:
    """Raise the limit of open files to the hard one: many nodes need many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        tell(f"warning: the limit of {soft} open files cannot be raised to {hard}: {error}")
