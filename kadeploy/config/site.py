# SPDX-License-Identifier: Apache-2.0
"""Configuration directory, read once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from kadeploy import nodes
from kadeploy.config.cluster import ClusterConfig
from kadeploy.config.clusters import ClustersConfig, Node
from kadeploy.config.server import ServerConfig
from kadeploy.config.yaml_file import Model, load_file
from kadeploy.errors import FileError, FileProblem, NotFoundError

DEFAULT_DIRECTORY = Path("/etc/kadeploy")


@dataclass(frozen=True, slots=True)
class Site:
    """Site: ``clusters`` maps names of clusters to their configurations, ``nodes`` names of nodes to nodes.

    ``prefixes`` maps a cluster's name to the mark of its lines in logs of several clusters,
    ``cluster_files`` to the path of its file.
    """

    directory: Path
    server: ServerConfig
    clusters: dict[str, ClusterConfig]
    nodes: dict[str, Node]
    prefixes: dict[str, str]
    cluster_files: dict[str, Path] = field(default_factory=dict)

    def path(self, path: Path) -> Path:
        """Absolute path of one that a file of the directory gives."""
        return self.directory / path

    def find(self, names: Iterable[str]) -> list[Node]:
        """Nodes of these names; raises NotFoundError listing all unknown ones."""
        wanted = nodes.unique(names)
        unknown = [name for name in wanted if name not in self.nodes]
        if unknown:
            raise NotFoundError(
                f"unknown node: {nodes.fold(unknown)}"
                if len(unknown) == 1
                else f"unknown nodes: {nodes.fold(unknown)}",
                hint=f"this site has {nodes.fold(self.nodes)}",
            )
        return [self.nodes[name] for name in wanted]


def directory() -> Path:
    """Directory of the configuration: $KADEPLOY_CONFIG_DIR, or $KADEPLOY3_CONFIG_DIR, or /etc/kadeploy."""
    for variable in ("KADEPLOY_CONFIG_DIR", "KADEPLOY3_CONFIG_DIR"):
        if os.environ.get(variable):
            return Path(os.environ[variable])
    return DEFAULT_DIRECTORY


def load(path: Path | None = None) -> Site:
    """Read server.conf, clusters.conf and the clusters' files.

    Raises NotFoundError if there is no configuration, FileError with the problems of all files.
    """
    base = (path or directory()).absolute()
    try:
        found = (base / "server.conf").is_file()
    except OSError:  # above it a directory that is not the caller's: reading tells the same in one sentence
        found = True
    if not found:
        raise NotFoundError(
            f"{base} has no server.conf", hint="set KADEPLOY_CONFIG_DIR, or start a lab with `start_lab`"
        )
    problems: list[FileProblem] = []
    server = _load(base / "server.conf", ServerConfig, problems)
    entries = _load(base / "clusters.conf", ClustersConfig, problems)
    clusters = {
        entry.name: _load(base / entry.conf_file, ClusterConfig, problems)
        for entry in (entries.clusters if entries else ())
    }
    if problems or server is None or entries is None:
        raise FileError(problems)
    known = {name: _completed(cluster, server) for name, cluster in clusters.items() if cluster is not None}
    firmware = {name: cluster.boot.firmware for name, cluster in known.items()}
    prefixes = {entry.name: entry.prefix or entry.name for entry in entries.clusters}
    files = {entry.name: base / entry.conf_file for entry in entries.clusters}
    return Site(base, server, known, entries.expand(firmware), prefixes, files)


def _completed(cluster: ClusterConfig, server: ServerConfig) -> ClusterConfig:
    """The cluster, with what server.conf says for all clusters where its file says nothing of it."""
    if "verify" in cluster.model_fields_set:
        return cluster
    return cluster.model_copy(update={"verify": server.verify})


def _load(path: Path, model: type[Model], problems: list[FileProblem]) -> Model | None:
    try:
        return load_file(path, model)
    except FileError as error:
        problems.extend(error.problems)
        return None
