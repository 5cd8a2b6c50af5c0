# SPDX-License-Identifier: Apache-2.0
"""What options become of a request, and what they leave as it was."""

from __future__ import annotations

from typing import Any

import pytest

from kadeploy.cli import kadeploy, kapower, kareboot
from kadeploy.cli.deploy_options import DeployOptions
from kadeploy.cli.fields import in_options
from kadeploy.cli.request import continuation, limits
from kadeploy.operations.continuation import Continuation
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.limits import Limits
from kadeploy.operations.power.request import PowerRequest
from kadeploy.operations.reboot.request import RebootRequest
from kadeploy.operations.repetition import Repetition


def options(*arguments: str) -> DeployOptions:
    """The options of this command line."""
    return DeployOptions(**kadeploy.command.make_context("kadeploy", [*arguments]).params)


def test_only_what_is_given_replaces_what_a_workflow_has() -> None:
    assert limits(options()).given == {}
    assert limits(options("--hold-time", "60", "--min-ok", "50%")).given == {
        "hold_seconds": 60.0,
        "min_ok": "50%",
    }


def test_continuations_of_options() -> None:
    wanted = continuation(options("--retry", "D-1", "--from", "BootNewEnv", "--stop-at-min-ok"), ["node-1"])
    assert wanted.model_dump(exclude_none=True) == {
        "wid": "D-1",
        "kind": "retry",
        "nodes": ("node-1",),
        "start": "BootNewEnv",
        "force": False,
        "limits": {"stop_at_min_ok": True},
    }
    resumed = continuation(options("--resume", "D-1", "--min-ok", "3"), [])
    assert (resumed.kind, resumed.limits.min_ok) == ("resume", "3")


# Fields and use cases -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "text", "shown"),
    [
        ("kadeploy", "`stop_at_min_ok`: needs `min_ok`", "--stop-at-min-ok: needs --min-ok"),
        ("kadeploy", "`environment.name`: must not be empty", "-e: must not be empty"),
        ("kadeploy", "`nodes.3`: is empty", "-m: is empty"),
        ("kadeploy", "`abandon` D-1, see `list`", "kadeploy --abandon D-1, see kadeploy --list"),
        ("kareboot", "add `kind` deploy_env", "add -r deploy_env"),
        ("kapower", "`level`: not with `kind` status", "-l: not with --status"),
        ("kaenv", "`keys` of `unknown` are no `Option`", "`keys` of `unknown` are no `Option`"),
        ("kastat", "the file `", "the file `"),
    ],
)
def test_fields_are_named_as_they_are_given(command: str, text: str, shown: str) -> None:
    assert in_options(text, command) == shown


OPERATIONS = {
    kadeploy: (DeploymentRequest, Continuation, Repetition, Limits),
    kareboot: (RebootRequest,),
    kapower: (PowerRequest,),
}
NOT_GIVEN = {"kareboot": ("hold_seconds",), "kapower": ("hold_seconds",)}


@pytest.mark.parametrize("module", OPERATIONS, ids=lambda module: module.__name__)
def test_each_field_has_its_option(module: Any) -> None:
    name, known = module.__name__.rpartition(".")[2], {"--"}
    for parameter in module.command.params:
        known |= {*parameter.opts, *parameter.secondary_opts}
    for model in OPERATIONS[module]:
        for field in model.model_fields.keys() - {"user", "wid", "kind", "limits", *NOT_GIVEN.get(name, ())}:
            assert in_options(f"`{field}`", name) in known
