# SPDX-License-Identifier: Apache-2.0
"""From a request to a checked plan. Only copies of files are written: no node, no state is touched."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kadeploy.boot.repository import BootRepository
from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.config.clusters import Node
from kadeploy.config.server import MEGABYTE
from kadeploy.config.site import Site
from kadeploy.environments import registry
from kadeploy.environments.cache import FileCache
from kadeploy.environments.compression import ARCHIVE_FORMATS
from kadeploy.environments.environment import Archive, Environment
from kadeploy.environments.local_file import LocalFile, fetch
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.operations import automaton, customization, recipe
from kadeploy.operations.customization import Customization
from kadeploy.operations.deploy import disk, operation_files
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.fingerprint import digest_topics
from kadeploy.operations.minios import connect, prepare_minios
from kadeploy.operations.observer import Group
from kadeploy.operations.plan import Part, Plan
from kadeploy.power.control import PowerControl
from kadeploy.remote.connection import NodeConnections
from kadeploy.steps.custom_operation import File
from kadeploy.steps.deployment import DeploymentWorkbench, Options, PostInstall
from kadeploy.store.store import Store

Grabbed = Callable[[str, str, int, int], None]
Transferred = Callable[[BroadcastProgress], None]


DeploymentPart = Part[DeploymentWorkbench]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentPlan(Plan[DeploymentWorkbench]):
    """A deployment that can be carried out; ``digests`` are those of fingerprint.digest_topics."""

    request: DeploymentRequest
    environment: Environment
    digests: Mapping[str, Mapping[str, str]]

    def fingerprint(self) -> dict[str, Any]:
        """What must not change while a workflow is held: also its image, and all that is done to a disk."""
        return {
            "image": self.parts[0].machines.image_sha256,
            **Plan.fingerprint(self),
            **self.digests,
        }


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What is the same for all clusters of a plan."""

    request: DeploymentRequest
    environment: Environment
    image: LocalFile
    archives: tuple[PostInstall, ...]
    operation_files: Mapping[str, File]
    remote: NodeConnections
    transferred: Transferred


class Planner:
    """Checks requests against a site; tells by ``grabbed`` which file it copies or digests."""

    def __init__(self, site: Site, store: Store, grabbed: Grabbed) -> None:
        self._site = site
        self._store = store
        self._grabbed = grabbed
        self._cache = FileCache.of(site)

    async def plan(self, request: DeploymentRequest, transferred: Transferred) -> DeploymentPlan:
        """Check everything that can be checked before a node is touched.

        Raises NotFoundError, RefusedError, UsageError and FileError; ServiceError where a file cannot be had.
        """
        nodes = self._site.find([*request.nodes, *request.spares])
        clusters = dict.fromkeys(node.cluster for node in nodes)
        environment = await self._find_environment(request)
        for name in clusters:
            disk.check(request, name, self._site.clusters[name], environment)
        inputs = _Inputs(
            request,
            environment,
            await self._grab("image", environment.image.file, environment.image.sha256),
            tuple([await self._grab_archive(archive) for archive in environment.postinstalls]),
            await self._grab_operation_files(request, clusters),
            connect(self._site, nodes),
            transferred,
        )
        parts = [
            await self._part(inputs, [node for node in nodes if node.cluster == name]) for name in clusters
        ]
        recipe.check_all_used(request.custom_steps, [part.recipes for part in parts])
        return DeploymentPlan(
            request=request,
            nodes=tuple(nodes),
            parts=tuple(parts),
            remote=inputs.remote,
            environment=environment,
            digests=await asyncio.to_thread(digest_topics, [part.machines for part in parts]),
        )

    async def _find_environment(self, request: DeploymentRequest) -> Environment:
        wanted = request.environment
        if isinstance(wanted, Environment):
            return wanted
        caller = registry.Caller(request.user, self._site.server.rights.almighty)
        return await registry.find(
            self._store, wanted.name, caller, owner=wanted.owner, version=wanted.version
        )

    async def _grab(self, what: str, uri: str, sha256: str = "") -> LocalFile:
        def progress(done: int, total: int | None) -> None:
            self._grabbed(what, uri, done, total or 0)

        progress(0, 0)
        return await fetch(uri, self._cache, expected_sha256=sha256, progress=progress)

    async def _grab_archive(self, archive: Archive) -> PostInstall:
        file = await self._grab("postinstall", archive.archive)
        limit = self._site.server.environments.max_postinstall_size
        if file.size > limit * MEGABYTE:
            raise RefusedError(f"the post-install {archive.archive} is larger than {limit} MB")
        if archive.sha256 and file.sha256 != archive.sha256:
            raise RefusedError(
                f"{archive.archive} has changed since it was recorded",
                hint="kaenv --update-postinstalls-checksum records it again",
            )
        script = () if archive.script in ("", "none") else tuple(shlex.split(archive.script))
        return PostInstall(file.path, archive.compression, script)

    async def _grab_operation_files(
        self, request: DeploymentRequest, clusters: Iterable[str]
    ) -> dict[str, File]:
        settings = [recipe.settings_of(request, self._site.clusters[name]) for name in clusters]
        operations = customization.operations(request.custom_steps, settings)
        return await operation_files.read(
            [operation_files.locate(operation, self._site) for operation in operations if operation.file],
            self._site.server.environments.max_postinstall_size,
            lambda location: self._grabbed("custom", location, 0, 0),
        )

    async def _part(self, inputs: _Inputs, nodes: Sequence[Node]) -> DeploymentPart:
        name = nodes[0].cluster
        cluster, request = self._site.clusters[name], inputs.request
        layout = disk.layout(request, cluster)
        boot = BootRepository.of(self._site)
        deployment = DeploymentWorkbench(
            site=self._site,
            cluster_name=name,
            cluster=cluster,
            nodes={node.name: node for node in nodes},
            environment=inputs.environment,
            target=disk.target(request, name, layout, inputs.environment),
            layout=layout,
            image=inputs.image,
            admin_archives=self._admin_archives(name),
            user_archives=inputs.archives,
            options=Options(
                request.keys, request.reformat_tmp, request.partition_disks, request.install_bootloader
            ),
            remote=inputs.remote,
            boot=boot,
            power=PowerControl(cluster.remoteops, self._site.directory, inputs.remote),
            minios=await asyncio.to_thread(prepare_minios, self._site, name, boot),
            transferred=inputs.transferred,
        )
        # The one system into which the engine logs in; whatever else a node runs, it will not talk to us.
        for node in nodes:
            inputs.remote.pin(node.name, [deployment.minios.host_key])
        customs = Customization(deployment, request.custom_steps, inputs.operation_files)
        recipes = recipe.resolve(deployment, request, customs)
        deployment = replace(deployment, renewal=recipes.renewal())
        spares = frozenset(request.spares)
        group = Group(
            name,
            self._site.prefixes[name],
            tuple(node.name for node in nodes if node.name not in spares),
            automaton.build(deployment, recipes, request.breakpoints, hold_failures=request.hold_failures),
            tuple(node.name for node in nodes if node.name in spares),
        )
        return Part(group, deployment, recipes)

    def _admin_archives(self, cluster: str) -> tuple[PostInstall, ...]:
        archives = []
        for entry in self._site.clusters[cluster].postinstall.files:
            path = self._site.path(entry.file)
            if not path.is_file():
                raise NotFoundError(
                    f"the post-install {path} is missing", hint="bin/build-postinstall makes ours"
                )
            compression = ARCHIVE_FORMATS[entry.format]
            archives.append(PostInstall(path, compression, tuple(shlex.split(entry.script))))
        return tuple(archives)
