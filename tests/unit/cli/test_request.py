# SPDX-License-Identifier: Apache-2.0
"""What options become of a request, and what they leave as it was."""

from __future__ import annotations

from kadeploy.cli import kadeploy
from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.cli.request import limits


def options(*arguments: str) -> DeployOptions:
    """The options of this command line."""
    return DeployOptions(**kadeploy.command.make_context("kadeploy", [*arguments]).params)


def test_only_what_is_given_replaces_what_a_workflow_has() -> None:
    assert limits(options(), 3) == {}
    assert limits(options("--hold-time", "60", "--min-ok", "50%"), 3) == {
        "hold_seconds": 60.0,
        "min_ok": 2,
        "stop_at_min_ok": False,
    }
