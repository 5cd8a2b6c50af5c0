# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of plans: digests by topic, by which a later plan can name what has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kadeploy.environments.local_file import LocalFile
from kadeploy.errors import RefusedError
from kadeploy.steps.facts import DeploymentFacts

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


def digest_topics(clusters: Sequence[DeploymentFacts]) -> dict[str, dict[str, str]]:
    """Maps topics to digests of what they are for each cluster."""
    return {
        topic: {facts.cluster_name: _digest(content(facts)) for facts in clusters}
        for topic, content in _CONTENTS.items()
    }


def check_unchanged(wid: str, before: Fingerprint, now: Fingerprint) -> None:
    """Check that a workflow would go on by the plan with which it began; raises RefusedError."""
    if changes := describe_changes(before, now):
        have = "have" if len(changes) > 1 else "has"
        raise RefusedError(
            f"{', '.join(changes)} {have} changed since {wid} was begun", hint="begin a new one"
        )


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


def _disk(facts: DeploymentFacts) -> Sequence[object]:
    layout = facts.layout
    partitions = [[partition.number, partition.role.value, partition.size] for partition in layout.partitions]
    return layout.block_device, partitions, facts.target.device


def _archives(facts: DeploymentFacts) -> Sequence[object]:
    archives = (*facts.admin_archives, *facts.user_archives)
    return [(archive.file.sha256, archive.compression, archive.script) for archive in archives]


def _script(script: LocalFile | None) -> str:
    return script.sha256 if script else ""


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


_CONTENTS: dict[str, Callable[[DeploymentFacts], object]] = {
    "disk": _disk,
    "partitioning": lambda facts: _script(facts.partitioning_script),
    "kernel": lambda facts: facts.kernel_params,
    "postinstalls": _archives,
    "bootloader": lambda facts: _script(facts.bootloader_script),
    "directories": lambda facts: (facts.extraction_dir, facts.archive_dir),
    "minios": lambda facts: facts.minios.host_key,
}
