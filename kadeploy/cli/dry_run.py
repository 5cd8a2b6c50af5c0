# SPDX-License-Identifier: Apache-2.0
"""Output of --dry-run: per cluster the steps with their deadlines, the partition table, erased devices."""

from __future__ import annotations

from collections.abc import Iterator

from kadeploy.config.server import Windows
from kadeploy.nodes import fold
from kadeploy.service.views.plan import (
    DeploymentClusterPlanView,
    DeploymentPlanView,
    InstanceView,
    MacroSteps,
    PlanView,
    SentImageView,
)

MIB = 1 << 20


def describe(view: DeploymentPlanView | PlanView) -> Iterator[str]:
    """Lines of a plan."""
    yield from _deployment(view) if isinstance(view, DeploymentPlanView) else _steps(view)
    yield ""
    yield _describe_windows(view.windows)
    yield "Dry run: no node was touched."


def _deployment(view: DeploymentPlanView) -> Iterator[str]:
    image = view.image
    yield f"Environment {view.environment} of {view.owner}: {image.file}"
    yield f"  {image.size} bytes, sha256 {image.sha256} ({_judge(image)})"
    for cluster in view.clusters:
        yield ""
        yield _describe_nodes(cluster.cluster, cluster.nodes)
        if cluster.spares:
            yield f"  Spares: {fold(cluster.spares)}"
        yield from _describe_disk(cluster)
        yield from _describe_macrosteps(cluster.macrosteps)


def _judge(image: SentImageView) -> str:
    """Verdict on the digest of an image."""
    return "as declared" if image.declared_sha256 else "not declared"


def _steps(view: PlanView) -> Iterator[str]:
    """Lines of a plan that erases nothing."""
    for cluster in view.clusters:
        yield _describe_nodes(cluster.cluster, cluster.nodes)
        yield from _describe_macrosteps(cluster.macrosteps)


def _describe_nodes(cluster: str, nodes: tuple[str, ...]) -> str:
    return f"Cluster {cluster}: {fold(nodes)} ({len(nodes)} nodes)"


def _describe_windows(windows: Windows) -> str:
    pause = f", a slot again after {windows.reboot.pause:g} s" if windows.reboot.pause else ""
    return (
        f"Windows, shared by all commands: {windows.reboot.size} reboots at once{pause}; "
        f"{windows.probe.size} looks at once whether a node answers"
    )


def _describe_disk(cluster: DeploymentClusterPlanView) -> Iterator[str]:
    erased = ", ".join(cluster.erased)
    if cluster.partition_table == "of-the-image":
        yield f"  ERASED: all of {erased}, by the image itself"
    elif cluster.partition_table == "made":
        yield f"  ERASED: all of {erased}, which gets this GPT:"
        for partition in cluster.partitions:
            size = f"{partition.bytes // MIB} MiB" if partition.bytes else "the rest"
            mark = "  <- the image" if partition.device == cluster.target else ""
            yield f"    {partition.device} {partition.role:9} {size}{mark}"
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
