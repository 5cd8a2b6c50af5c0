# SPDX-License-Identifier: Apache-2.0
"""Check of a cluster's disks against a request, and the device of the image."""

from __future__ import annotations

from dataclasses import replace

from kadeploy.config.cluster import ClusterConfig
from kadeploy.disks.layout import DiskLayout, Role, layout_of
from kadeploy.environments.environment import Environment
from kadeploy.environments.image_content import ImageContent, Layer
from kadeploy.environments.image_kind import IMAGE_KINDS
from kadeploy.errors import RefusedError, RequestError, RequestProblem
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.steps.facts import DeploymentFacts, TargetDevice


def check(request: DeploymentRequest, name: str, cluster: ClusterConfig, environment: Environment) -> None:
    """Raises RefusedError where a cluster cannot serve the request; RequestError as target does."""
    supported = cluster.boot.kernels.deploy.supported_fs
    if environment.preinstall is not None:
        raise RefusedError(
            f"{environment.label} has a preinstall, which is not supported",
            hint="describe the disk in the cluster's file",
        )
    if environment.multipart:
        raise RefusedError(
            f"{environment.label} is an image of several partitions, which is not supported",
            hint="make a dd image of the whole disk, or a tar image",
        )
    if environment.arch and environment.arch != cluster.arch:
        raise RefusedError(f"{environment.label} is for {environment.arch}, cluster {name} is {cluster.arch}")
    if not environment.image_kind.brings_file_system and environment.filesystem not in supported:
        raise RefusedError(
            f"{environment.label} wants {environment.filesystem}, which the miniOS of {name} cannot make",
            hint=f"it can make {', '.join(supported)}",
        )
    if request.reformat_tmp:
        _check_reformat(request.reformat_tmp, name, supported, layout(request, cluster))
    target(request, name, layout(request, cluster), environment)


def layout(request: DeploymentRequest, cluster: ClusterConfig) -> DiskLayout:
    """The cluster's layout, on the disk that the request names."""
    found = layout_of(cluster.partitioning)
    return replace(found, block_device=request.block_device) if request.block_device else found


def _check_reformat(filesystem: str, name: str, supported: tuple[str, ...], layout: DiskLayout) -> None:
    if filesystem not in supported:
        raise RefusedError(
            f"`reformat_tmp` {filesystem}: the miniOS of {name} cannot make it",
            hint=f"it can make {', '.join(supported)}",
        )
    if layout.partition(Role.TMP) is None:
        raise RefusedError(f"`reformat_tmp` {filesystem}: cluster {name} has no tmp partition")


def target(
    request: DeploymentRequest, name: str, layout: DiskLayout, environment: Environment
) -> TargetDevice:
    """Device of the image: a given partition, the whole disk, or the cluster's own."""
    device = layout.block_device
    if request.partition is not None:
        return _given_partition(device, request.partition, name, layout)
    if request.block_device:
        if not environment.image_kind.suits_whole_disk:
            suited = " or ".join(kind.name for kind in IMAGE_KINDS if kind.suits_whole_disk)
            message = f"{device} without `partition` means the whole disk, "
            message += f"for which {environment.label} is no {suited} image"
            raise RequestError([RequestProblem("block_device", message)], hint="add `partition`")
        return TargetDevice(device, None)
    deploy = layout.partition(Role.DEPLOY)
    if deploy is None:
        raise RefusedError(f"cluster {name} has no deploy partition", hint="add `partition`")
    return TargetDevice(device, deploy.number)


def check_content(facts: DeploymentFacts, content: ImageContent) -> None:
    """Raises RefusedError for an image that is not made for such a target, or does not fit into it."""
    environment, target = facts.environment, facts.target
    sizes = {partition.number: partition.size for partition in facts.layout.partitions}
    room = sizes.get(target.partition or 0) if facts.makes_target else None
    if room and content.size > room:
        raise RefusedError(
            f"the image of {environment.label} needs {content.size} bytes, "
            f"{target.device} of cluster {facts.cluster_name} gets {room}",
            hint="make the partition larger in the cluster's file, or the image smaller",
        )
    label, device = environment.label, target.device
    if target.partition is None and content.layer is Layer.FILE_SYSTEM:
        message = f"the image of {label} is a file system without a disk around it, {device} is a whole disk"
        raise RefusedError(message, hint="add `partition`")
    if target.partition is not None and content.layer is Layer.DISK:
        message = f"the image of {label} is one of a whole disk, {device} is a partition"
        raise RefusedError(message, hint="give `block_device` without `partition` for the whole disk")


def _given_partition(device: str, number: int, name: str, layout: DiskLayout) -> TargetDevice:
    roles = {partition.number: partition.role for partition in layout.partitions}
    if number not in roles:
        known = ", ".join(f"{known} ({role.value})" for known, role in roles.items())
        raise RefusedError(
            f"`partition` {number}: {device} of cluster {name} has no such partition", hint=f"it has {known}"
        )
    return TargetDevice(device, number)
