# SPDX-License-Identifier: Apache-2.0
"""What decides what is done to a node's disk, by topic, so that a later plan can tell what has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kadeploy.errors import NotFoundError
from kadeploy.steps.deployment import DeploymentWorkbench, PostInstall

Fingerprint = Mapping[str, Any]

NAMES = {
    "image": "the image",
    "nodes": "the set of nodes",
    "steps": "the list of steps or a custom step",
    "disk": "the partition layout",
    "partitioning": "the partitioning script",
    "kernel": "the kernel command line",
    "postinstalls": "a post-install",
    "bootloader": "the bootloader script",
    "directories": "a directory of the miniOS",
    "minios": "the host key of the miniOS",
}


def digest_topics(deployments: Iterable[DeploymentWorkbench]) -> dict[str, dict[str, str]]:
    """Maps topics to digests of what they are for each cluster.

    Blocks on the disk. Raises NotFoundError for a file that cannot be read.
    """
    found = list(deployments)
    return {
        topic: {deployment.cluster_name: _digest(content(deployment)) for deployment in found}
        for topic, content in _CONTENTS.items()
    }


def describe_changes(before: Fingerprint, now: Fingerprint) -> list[str]:
    """What is another now than it was before, one phrase for each topic."""
    if before.keys() != now.keys():
        return ["the version of kadeploy"]
    return [
        NAMES[topic] + _where(before[topic], content)
        for topic, content in now.items()
        if content != before[topic]
    ]


def _where(before: object, now: object) -> str:
    """The clusters, where a topic has a content for each."""
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return ""
    clusters = [cluster for cluster in {**before, **now} if before.get(cluster) != now.get(cluster)]
    return f" of cluster {', '.join(clusters)}"


def _disk(deployment: DeploymentWorkbench) -> Sequence[object]:
    layout = deployment.layout
    partitions = [[partition.number, partition.role.value, partition.size] for partition in layout.partitions]
    return layout.block_device, partitions, deployment.target.device


def _archives(deployment: DeploymentWorkbench) -> Sequence[object]:
    def describe(archive: PostInstall) -> Sequence[object]:
        return _content(archive.path, "post-install"), archive.compression, archive.script

    archives = (*deployment.admin_archives, *deployment.user_archives)
    return [describe(archive) for archive in archives]


def _script(deployment: DeploymentWorkbench, path: Path | None, name: str) -> str:
    return "" if path is None else _content(deployment.site.path(path), name)


def _content(path: Path, name: str) -> str:
    try:
        with path.open("rb") as reader:
            return hashlib.file_digest(reader, "sha256").hexdigest()
    except OSError as error:
        raise NotFoundError(f"the {name} {path} cannot be read: {error.strerror}") from error


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


_CONTENTS: dict[str, Callable[[DeploymentWorkbench], object]] = {
    "disk": _disk,
    "partitioning": lambda known: _script(known, known.cluster.partitioning.script, "partitioning script"),
    "kernel": lambda known: known.kernel_params,
    "postinstalls": _archives,
    "bootloader": lambda known: _script(known, known.cluster.boot.install_bootloader, "bootloader script"),
    "directories": lambda known: (known.extraction_dir, known.archive_dir),
    "minios": lambda known: known.minios.host_key,
}
