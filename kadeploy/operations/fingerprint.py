# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of plans: digests by topic, by which a later plan can name what has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kadeploy.config.site import Site
from kadeploy.errors import NotFoundError
from kadeploy.steps.facts import DeploymentFacts, PostInstall

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


def digest_topics(site: Site, clusters: Sequence[DeploymentFacts]) -> dict[str, dict[str, str]]:
    """Maps topics to digests of what they are for each cluster.

    Blocks on the disk. Raises NotFoundError for a file that cannot be read.
    """
    return {
        topic: {facts.cluster_name: _digest(content(site, facts)) for facts in clusters}
        for topic, content in _CONTENTS.items()
    }


def describe_changes(before: Fingerprint, now: Fingerprint) -> list[str]:
    """Phrases that name the changed topics."""
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


def _disk(site: Site, facts: DeploymentFacts) -> Sequence[object]:
    layout = facts.layout
    partitions = [[partition.number, partition.role.value, partition.size] for partition in layout.partitions]
    return layout.block_device, partitions, facts.target.device


def _archives(site: Site, facts: DeploymentFacts) -> Sequence[object]:
    def describe(archive: PostInstall) -> Sequence[object]:
        return _content(archive.path, "post-install"), archive.compression, archive.script

    archives = (*facts.admin_archives, *facts.user_archives)
    return [describe(archive) for archive in archives]


def _script(site: Site, path: Path | None, name: str) -> str:
    return "" if path is None else _content(site.path(path), name)


def _content(path: Path, name: str) -> str:
    try:
        with path.open("rb") as reader:
            return hashlib.file_digest(reader, "sha256").hexdigest()
    except OSError as error:
        raise NotFoundError(f"the {name} {path} cannot be read: {error.strerror}") from error


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


_CONTENTS: dict[str, Callable[[Site, DeploymentFacts], object]] = {
    "disk": _disk,
    "partitioning": lambda site, facts: _script(
        site, facts.cluster.partitioning.script, "partitioning script"
    ),
    "kernel": lambda site, facts: facts.kernel_params,
    "postinstalls": _archives,
    "bootloader": lambda site, facts: _script(
        site, facts.cluster.boot.install_bootloader, "bootloader script"
    ),
    "directories": lambda site, facts: (facts.extraction_dir, facts.archive_dir),
    "minios": lambda site, facts: facts.minios.host_key,
}
