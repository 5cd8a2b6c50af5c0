# SPDX-License-Identifier: Apache-2.0
"""Requests to deploy, and their form in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from kadeploy.config.automata import MacroSteps
from kadeploy.config.custom_steps import CustomSteps
from kadeploy.config.expression import Expression
from kadeploy.environments import description
from kadeploy.environments.environment import Environment
from kadeploy.errors import RefusedError
from kadeploy.operations.request import EnvironmentName, Request
from kadeploy.store.workflows import Workflow

NO_DEADLINE = Expression("0")
NO_CUSTOM_STEPS = CustomSteps({})


@dataclass(frozen=True, slots=True)
class DeploymentRequest(Request):
    """Request of a deployment.

    ``keys``: lines of authorized_keys; ``partition``: a number, None for the cluster's own, or for the
    whole disk where ``block_device`` is given; ``automaton`` replaces the cluster's; ``breakpoints``
    as on the command line; ``hold_failures``: hold nodes where they fail; ``spares``: nodes that take the
    places of failed ones; ``min_ok``: how many nodes are enough, None for all of them; ``stop_at_min_ok``:
    end then; ``deadline``: end after these seconds, where ``n`` is the number of nodes, 0 for never;
    ``custom_steps`` name files by absolute paths or by URLs.
    """

    environment: EnvironmentName | Environment
    keys: bytes = b""
    block_device: str = ""
    partition: int | None = None
    reformat_tmp: str = ""
    automaton: MacroSteps | None = None
    breakpoints: tuple[str, ...] = ()
    hold_failures: bool = False
    spares: tuple[str, ...] = ()
    min_ok: int | None = None
    stop_at_min_ok: bool = False
    deadline: Expression = NO_DEADLINE
    kexec: bool = True
    partition_disks: bool = True
    install_bootloader: bool = True
    custom_steps: CustomSteps = NO_CUSTOM_STEPS


def to_mapping(request: DeploymentRequest, environment: Environment) -> dict[str, Any]:
    """The request as the store keeps it, as JSON values, with the very environment that it meant."""
    return {
        "nodes": list(request.nodes),
        "environment": description.to_mapping(environment),
        "environment_owner": environment.owner,
        "keys": request.keys.decode(errors="replace"),
        "block_device": request.block_device,
        "partition": request.partition,
        "reformat_tmp": request.reformat_tmp,
        "automaton": request.automaton and _dump(request.automaton),
        "breakpoints": list(request.breakpoints),
        "hold_failures": request.hold_failures,
        "hold_seconds": request.hold_seconds,
        "spares": list(request.spares),
        "min_ok": request.min_ok,
        "stop_at_min_ok": request.stop_at_min_ok,
        "deadline": str(request.deadline),
        "kexec": request.kexec,
        "partition_disks": request.partition_disks,
        "install_bootloader": request.install_bootloader,
        "custom_steps": _dump(request.custom_steps),
    }


def _dump(model: BaseModel) -> Any:
    """A model as its file would have it: which keys are given means something."""
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def from_mapping(mapping: Mapping[str, Any], user: str) -> DeploymentRequest:
    """Request that ``to_mapping`` was given.

    Raises KeyError, TypeError or ValueError for a field that this version does not know, or that is missing.
    """
    fields = dict(mapping)
    owner = fields.pop("environment_owner")
    automaton = fields["automaton"]
    return DeploymentRequest(
        user=user,
        nodes=tuple(fields.pop("nodes")),
        environment=description.from_mapping(fields.pop("environment"), owner),
        keys=fields.pop("keys").encode(),
        breakpoints=tuple(fields.pop("breakpoints")),
        spares=tuple(fields.pop("spares")),
        deadline=Expression(fields.pop("deadline")),
        automaton=MacroSteps.model_validate(automaton) if automaton else None,
        custom_steps=CustomSteps.model_validate(fields.pop("custom_steps")),
        **{name: value for name, value in fields.items() if name != "automaton"},
    )


def recorded(workflow: Workflow) -> DeploymentRequest:
    """Request of a recorded deployment; raises RefusedError for one that this version cannot read."""
    try:
        return from_mapping(workflow.request["request"], workflow.user)
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedError(
            f"the request of {workflow.id} has fields that this version of kadeploy cannot read",
            hint=f"resume it with the version that began it, or give it up: kadeploy --abandon {workflow.id}",
        ) from error
