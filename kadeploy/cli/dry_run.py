# SPDX-License-Identifier: Apache-2.0
"""Output of --dry-run: per cluster the steps with their deadlines, the partition table, erased devices."""

from __future__ import annotations

from collections.abc import Iterator

from kadeploy.config.server import Windows
from kadeploy.disks.layout import MIB, partition_device
from kadeploy.nodes import fold
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.service.views.plan import DeploymentPlanView, InstanceView, MacroSteps, PlanView
from kadeploy.steps.facts import DeploymentFacts


def describe(plan: DeploymentPlan, view: DeploymentPlanView) -> Iterator[str]:
    """Lines of a plan of a deployment."""
    environment = plan.environment
    yield f"Environment {environment.label} of {environment.owner}: {environment.image.file}"
    image = plan.image
    verdict = "as declared" if image.sha256 == environment.image.sha256 else "not declared"
    if environment.image.sha256 not in ("", image.sha256):
        verdict = f"WRONG: declared {environment.image.sha256}, every node will fail"
    yield f"  {image.size} bytes, sha256 {image.sha256} ({verdict})"
    for planned, cluster in zip(plan.clusters, view.clusters, strict=True):
        yield ""
        yield _describe_nodes(cluster.cluster, cluster.nodes)
        if cluster.spares:
            yield f"  Spares: {fold(cluster.spares)}"
        yield from _describe_disk(planned.facts)
        yield from _describe_macrosteps(cluster.macrosteps)
    yield ""
    yield _describe_windows(view.windows)
    yield "Dry run: no node was touched."


def describe_steps(view: PlanView) -> Iterator[str]:
    """Lines of a plan that erases nothing."""
    for cluster in view.clusters:
        yield _describe_nodes(cluster.cluster, cluster.nodes)
        yield from _describe_macrosteps(cluster.macrosteps)
    yield ""
    yield _describe_windows(view.windows)
    yield "Dry run: no node was touched."


def _describe_nodes(cluster: str, nodes: tuple[str, ...]) -> str:
    return f"Cluster {cluster}: {fold(nodes)} ({len(nodes)} nodes)"


def _describe_windows(windows: Windows) -> str:
    pause = f", a slot again after {windows.reboot.pause:g} s" if windows.reboot.pause else ""
    return (
        f"Windows, shared by all commands: {windows.reboot.size} reboots at once{pause}; "
        f"{windows.probe.size} looks at once whether a node answers"
    )


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


def _describe_macrosteps(macrosteps: MacroSteps) -> Iterator[str]:
    for name, instances in macrosteps.items():
        yield f"  {name}"
        for instance in instances:
            yield from _describe_instance(instance)


def _describe_instance(view: InstanceView) -> Iterator[str]:
    limit = f"{view.timeout:g} s an attempt" if view.timeout else "no limit of its own"
    yield f"    {view.instance}: {view.retries + 1} attempts at most, {limit}"
    for step in view.microsteps:
        hold = "  <- held here" if step.hold else ""
        yield f"      {step.name} ({step.timeout:g} s){step.custom and ': ' + step.custom}{hold}"
