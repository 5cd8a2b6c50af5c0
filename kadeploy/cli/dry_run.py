# SPDX-License-Identifier: Apache-2.0
"""Output of --dry-run: per cluster the steps with their deadlines, the partition table, erased devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kadeploy.disks.layout import MIB, partition_device
from kadeploy.nodes import fold
from kadeploy.operations.deploy.plan import DeploymentClusterPlan, DeploymentPlan
from kadeploy.operations.plan import ClusterPlan, Plan
from kadeploy.operations.recipe import Recipe
from kadeploy.steps.custom_operation import CustomOperation
from kadeploy.steps.facts import ClusterFacts, DeploymentFacts
from kadeploy.workflow.automaton import Instance, MicroStep


def describe(plan: DeploymentPlan) -> Iterator[str]:
    """Lines of a plan of a deployment."""
    environment = plan.environment
    yield f"Environment {environment.label} of {environment.owner}: {environment.image.file}"
    image = plan.image
    verdict = "as declared" if image.sha256 == environment.image.sha256 else "not declared"
    if environment.image.sha256 not in ("", image.sha256):
        verdict = f"WRONG: declared {environment.image.sha256}, every node will fail"
    yield f"  {image.size} bytes, sha256 {image.sha256} ({verdict})"
    for cluster in plan.clusters:
        yield ""
        yield from _describe_cluster(cluster)
    yield ""
    yield _describe_windows(plan)
    yield "Dry run: no node was touched."


def describe_steps(plan: Plan[ClusterFacts]) -> Iterator[str]:
    """Lines of a plan that erases nothing."""
    for cluster in plan.clusters:
        count = len(cluster.nodes)
        yield f"Cluster {cluster.cluster}: {fold(cluster.nodes)} ({count} nodes)"
        yield from _describe_macrosteps(cluster)
    yield ""
    yield _describe_windows(plan)
    yield "Dry run: no node was touched."


def steps_to_json(plan: Plan[ClusterFacts]) -> dict[str, Any]:
    """Document of a plan that erases nothing; timeouts in seconds."""
    return {
        "schema": 1,
        "windows": plan.site.server.windows.model_dump(mode="json"),
        "clusters": [
            {
                "cluster": cluster.cluster,
                "nodes": list(cluster.nodes),
                "macrosteps": _macrosteps_to_json(cluster),
            }
            for cluster in plan.clusters
        ],
    }


def _describe_windows(plan: Plan[ClusterFacts]) -> str:
    windows = plan.site.server.windows
    pause = f", a slot again after {windows.reboot.pause:g} s" if windows.reboot.pause else ""
    return (
        f"Windows, shared by all commands: {windows.reboot.size} reboots at once{pause}; "
        f"{windows.probe.size} looks at once whether a node answers"
    )


def _describe_cluster(cluster: DeploymentClusterPlan) -> Iterator[str]:
    count = len(cluster.nodes)
    yield f"Cluster {cluster.cluster}: {fold(cluster.nodes)} ({count} nodes)"
    if cluster.spares:
        yield f"  Spares: {fold(cluster.spares)}"
    yield from _describe_disk(cluster.facts)
    yield from _describe_macrosteps(cluster)


def _describe_macrosteps(cluster: ClusterPlan[ClusterFacts]) -> Iterator[str]:
    recipes = cluster.recipes.all()
    for macro in cluster.automaton.macrosteps:
        yield f"  {macro.name}"
        for instance in macro.instances:
            yield from _describe_instance(instance, next(recipes), len(cluster.nodes))


def _describe_disk(facts: DeploymentFacts) -> Iterator[str]:
    erased, target = ", ".join(facts.erased), facts.target.device
    if facts.target.partition is None:
        yield f"  ERASED: all of {erased}, by the image itself"
    elif facts.partitioned:
        yield f"  ERASED: all of {erased}, which gets this GPT:"
        for partition in facts.layout.partitions:
            size = f"{partition.size // MIB} MiB" if partition.size else "the rest"
            device = partition_device(facts.layout.block_device, partition.number)
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
            "size": plan.image.size,
            "sha256": plan.image.sha256,
        },
        "windows": plan.site.server.windows.model_dump(mode="json"),
        "clusters": [_cluster_to_json(cluster) for cluster in plan.clusters],
    }


def _cluster_to_json(cluster: DeploymentClusterPlan) -> dict[str, Any]:
    facts = cluster.facts
    return {
        "cluster": cluster.cluster,
        "nodes": list(cluster.nodes),
        "spares": list(cluster.spares),
        "target": facts.target.device,
        "erased": list(facts.erased),
        "partitions": [
            {"number": partition.number, "role": partition.role.value, "bytes": partition.size}
            for partition in facts.layout.partitions
        ],
        "macrosteps": _macrosteps_to_json(cluster),
    }


def _macrosteps_to_json(cluster: ClusterPlan[ClusterFacts]) -> dict[str, Any]:
    count, recipes = len(cluster.nodes), cluster.recipes.all()
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
        for macro in cluster.automaton.macrosteps
    }
