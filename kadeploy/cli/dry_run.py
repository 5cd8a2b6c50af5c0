# SPDX-License-Identifier: Apache-2.0
"""Output of --dry-run: per cluster the steps with their deadlines, the partition table, erased devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kadeploy.disks.layout import MIB, partition_device
from kadeploy.nodes import fold
from kadeploy.operations.deploy.plan import DeploymentPart, DeploymentPlan
from kadeploy.operations.plan import Part, Plan
from kadeploy.operations.recipe import Recipe
from kadeploy.steps.custom_operation import CustomOperation
from kadeploy.steps.deployment import DeploymentWorkbench
from kadeploy.workflow.automaton import Instance, MicroStep


def describe(plan: DeploymentPlan) -> Iterator[str]:
    """Lines of a plan of a deployment."""
    environment = plan.environment
    yield f"Environment {environment.label} of {environment.owner}: {environment.image.file}"
    image = plan.parts[0].machines.image
    verdict = "as declared" if image.sha256 == environment.image.sha256 else "not declared"
    if environment.image.sha256 not in ("", image.sha256):
        verdict = f"WRONG: declared {environment.image.sha256}, every node will fail"
    yield f"  {image.size} bytes, sha256 {image.sha256} ({verdict})"
    for part in plan.parts:
        yield ""
        yield from _describe_part(part)
    yield ""
    yield _describe_windows(plan)
    yield "Dry run: no node was touched."


def describe_steps(plan: Plan[Any]) -> Iterator[str]:
    """Lines of a plan that erases nothing."""
    for part in plan.parts:
        count = len(part.group.nodes)
        yield f"Cluster {part.group.cluster}: {fold(part.group.nodes)} ({count} nodes)"
        yield from _describe_macrosteps(part)
    yield ""
    yield _describe_windows(plan)
    yield "Dry run: no node was touched."


def steps_to_json(plan: Plan[Any]) -> dict[str, Any]:
    """Document of a plan that erases nothing; timeouts in seconds."""
    return {
        "schema": 1,
        "windows": plan.parts[0].machines.site.server.windows.model_dump(mode="json"),
        "clusters": [
            {
                "cluster": part.group.cluster,
                "nodes": list(part.group.nodes),
                "macrosteps": _macrosteps_to_json(part),
            }
            for part in plan.parts
        ],
    }


def _describe_windows(plan: Plan[Any]) -> str:
    windows = plan.parts[0].machines.site.server.windows
    pause = f", a slot again after {windows.reboot.pause:g} s" if windows.reboot.pause else ""
    return (
        f"Windows, shared by all commands: {windows.reboot.size} reboots at once{pause}; "
        f"{windows.probe.size} looks at once whether a node answers"
    )


def _describe_part(part: DeploymentPart) -> Iterator[str]:
    count = len(part.group.nodes)
    yield f"Cluster {part.group.cluster}: {fold(part.group.nodes)} ({count} nodes)"
    if part.group.spares:
        yield f"  Spares: {fold(part.group.spares)}"
    yield from _describe_disk(part.machines)
    yield from _describe_macrosteps(part)


def _describe_macrosteps(part: Part[Any]) -> Iterator[str]:
    recipes = part.recipes.all()
    for macro in part.group.automaton.macrosteps:
        yield f"  {macro.name}"
        for instance in macro.instances:
            yield from _describe_instance(instance, next(recipes), len(part.group.nodes))


def _describe_disk(deployment: DeploymentWorkbench) -> Iterator[str]:
    erased, target = ", ".join(deployment.erased), deployment.target.device
    if deployment.target.partition is None:
        yield f"  ERASED: all of {erased}, by the image itself"
    elif deployment.partitioned:
        yield f"  ERASED: all of {erased}, which gets this GPT:"
        for partition in deployment.layout.partitions:
            size = f"{partition.size // MIB} MiB" if partition.size else "the rest"
            device = partition_device(deployment.layout.block_device, partition.number)
            mark = "  <- the image" if device == target else ""
            yield f"    {device} {partition.role.value:9} {size}{mark}"
    else:
        yield f"  ERASED: {erased}"


def _describe_instance(instance: Instance, recipe: Recipe, count: int) -> Iterator[str]:
    timeout = instance.timeout.seconds(count)
    limit = f"{timeout:g} s an attempt" if timeout else "no limit of its own"
    yield f"    {instance.name}: {instance.retries + 1} attempts at most, {limit}"
    for step, custom in zip(instance.microsteps, _custom(recipe), strict=True):
        hold = "  <- held here" if step.breakpoint else ""
        yield f"      {step.name} ({_timeout(step, count)}){custom and ': ' + custom}{hold}"


def _custom(recipe: Recipe) -> list[str]:
    """Summaries of the custom operations of an instance, '' for the other micro-steps."""
    return [
        step.function.summary if isinstance(step.function, CustomOperation) else "" for step in recipe.steps
    ]


def _timeout(step: MicroStep, count: int) -> str:
    return f"{step.timeout.seconds(count):g} s"


def to_json(plan: DeploymentPlan) -> dict[str, Any]:
    """Document of a plan of a deployment; timeouts in seconds."""
    return {
        "schema": 2,  # 1 had a text as `erased`
        "environment": plan.environment.label,
        "image": {
            "size": plan.parts[0].machines.image.size,
            "sha256": plan.parts[0].machines.image.sha256,
        },
        "windows": plan.parts[0].machines.site.server.windows.model_dump(mode="json"),
        "clusters": [_part_to_json(part) for part in plan.parts],
    }


def _part_to_json(part: DeploymentPart) -> dict[str, Any]:
    deployment = part.machines
    return {
        "cluster": part.group.cluster,
        "nodes": list(part.group.nodes),
        "spares": list(part.group.spares),
        "target": deployment.target.device,
        "erased": list(deployment.erased),
        "partitions": [
            {"number": partition.number, "role": partition.role.value, "bytes": partition.size}
            for partition in deployment.layout.partitions
        ],
        "macrosteps": _macrosteps_to_json(part),
    }


def _macrosteps_to_json(part: Part[Any]) -> dict[str, Any]:
    count, recipes = len(part.group.nodes), part.recipes.all()
    return {
        macro.name: [
            {
                "instance": instance.name,
                "retries": instance.retries,
                "timeout": instance.timeout.seconds(count),
                "microsteps": [
                    {
                        "name": step.name,
                        "timeout": step.timeout.seconds(count),
                        "hold": step.breakpoint,
                        "custom": custom,
                    }
                    for step, custom in zip(instance.microsteps, _custom(next(recipes)), strict=True)
                ],
            }
            for instance in macro.instances
        ]
        for macro in part.group.automaton.macrosteps
    }
