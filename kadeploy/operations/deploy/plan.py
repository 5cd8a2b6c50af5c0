# SPDX-License-Identifier: Apache-2.0
"""Plans of deployments: checked requests. Only copies of files are written; nothing else is touched."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kadeploy.config.clusters import Node
from kadeploy.config.server import MEGABYTE
from kadeploy.config.site import Site
from kadeploy.environments import local_file, registry
from kadeploy.environments.cache import FileCache
from kadeploy.environments.compression import ARCHIVE_FORMATS
from kadeploy.environments.environment import Archive, Environment
from kadeploy.environments.local_file import LocalFile, fetch
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.operations import customization, minios, recipe
from kadeploy.operations.customization import Customization
from kadeploy.operations.deploy import disk, operation_files
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.fingerprint import digest_topics
from kadeploy.operations.plan import ClusterPlan, Plan, plan_clusters
from kadeploy.operations.recipe import Recipes
from kadeploy.steps.custom_operation import File
from kadeploy.steps.facts import DeploymentFacts, Options, PostInstall
from kadeploy.store.store import Store
from kadeploy.workflow.goal import Goal

Grabbed = Callable[[str, str, int, int], None]

DeploymentClusterPlan = ClusterPlan[DeploymentFacts]

UNREAD = LocalFile(Path(), 0, "")  # stands for an image before it is read, in plans that are only checked


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentPlan(Plan[DeploymentFacts]):
    """Plan of a deployment; ``digests`` are those of fingerprint.digest_topics."""

    request: DeploymentRequest
    digests: Mapping[str, Mapping[str, str]]

    @property
    def environment(self) -> Environment:
        """Environment that all clusters get."""
        return self.clusters[0].facts.environment

    @property
    def image(self) -> LocalFile:
        """Image that all clusters get, as it is on this machine."""
        return self.clusters[0].facts.image

    @property
    def spares(self) -> tuple[str, ...]:
        return self.request.spares

    @property
    def enough(self) -> int:
        wanted = len(self.request.nodes)
        return wanted if self.request.min_ok is None else self.request.min_ok

    @property
    def deadline(self) -> float:
        wanted = self.request.deadline
        deadline = self.site.server.deadline if wanted is None else wanted
        return deadline.seconds(len(self.request.nodes))

    def make_goal(self) -> Goal:
        request = self.request
        enough = request.min_ok if request.stop_at_min_ok else None
        return Goal(len(request.nodes), enough, list(request.spares))

    def describe_request(self) -> dict[str, Any]:
        return self.request.changed({"environment": self.environment}).to_json()

    def fingerprint(self) -> dict[str, Any]:
        """Fingerprint with the image, and with everything that is done to a disk."""
        return {
            "image": self.clusters[0].facts.image_sha256,
            **Plan.fingerprint(self),
            **self.digests,
        }


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Inputs that all clusters of a plan share."""

    request: DeploymentRequest
    environment: Environment
    image: LocalFile
    archives: tuple[PostInstall, ...]
    operation_files: Mapping[str, File]


class Planner:
    """Checks requests against a site; calls ``grabbed`` with the file that it copies or digests."""

    def __init__(self, site: Site, store: Store, grabbed: Grabbed) -> None:
        self._site = site
        self._store = store
        self._grabbed = grabbed
        self._cache = FileCache.of(site)

    async def check(self, request: DeploymentRequest) -> DeploymentRequest:
        """Check everything that needs no digest of the image, no archive and no download of either.

        Returns the request with the very environment that it means. Raises as ``plan`` does.
        """
        nodes = self._site.find([*request.nodes, *request.spares])
        names = dict.fromkeys(node.cluster for node in nodes)
        environment = await self._find_environment(request)
        for name in names:
            disk.check(request, name, self._site.clusters[name], environment)
        for uri in (environment.image.file, *(archive.archive for archive in environment.postinstalls)):
            await asyncio.to_thread(local_file.check_present, uri)
        files = await self._grab_operation_files(request, names)
        archives = tuple(_unread(archive) for archive in environment.postinstalls)
        inputs = _Inputs(request, environment, UNREAD, archives, files)
        clusters = await self._plan_clusters(inputs, nodes)
        recipe.check_all_used(request.custom_steps, [plan.recipes for plan in clusters])
        return request.changed({"environment": environment})

    async def plan(self, request: DeploymentRequest) -> DeploymentPlan:
        """Check everything that can be checked before a node is touched.

        Raises NotFoundError, RefusedError, UsageError and FileError; ServiceError where a file cannot be had.
        """
        nodes = self._site.find([*request.nodes, *request.spares])
        names = dict.fromkeys(node.cluster for node in nodes)
        environment = await self._find_environment(request)
        for name in names:
            disk.check(request, name, self._site.clusters[name], environment)
        inputs = _Inputs(
            request,
            environment,
            await self._grab("image", environment.image.file, environment.image.sha256),
            tuple([await self._grab_archive(archive) for archive in environment.postinstalls]),
            await self._grab_operation_files(request, names),
        )
        clusters = await self._plan_clusters(inputs, nodes)
        recipe.check_all_used(request.custom_steps, [plan.recipes for plan in clusters])
        return DeploymentPlan(
            site=self._site,
            request=request,
            nodes=tuple(nodes),
            clusters=clusters,
            digests=await asyncio.to_thread(digest_topics, self._site, [plan.facts for plan in clusters]),
        )

    async def _plan_clusters(
        self, inputs: _Inputs, nodes: Sequence[Node]
    ) -> tuple[DeploymentClusterPlan, ...]:
        request = inputs.request

        async def make_facts(cluster: str, members: Sequence[Node]) -> DeploymentFacts:
            return await self._facts(inputs, cluster, members)

        def make_recipes(facts: DeploymentFacts) -> Recipes:
            customs = Customization(self._site, facts, request.custom_steps, inputs.operation_files)
            return recipe.resolve(facts, request, customs)

        return await plan_clusters(
            self._site,
            nodes,
            make_facts,
            make_recipes,
            spares=request.spares,
            breakpoints=request.breakpoints,
            hold_failures=request.hold_failures,
        )

    async def _facts(self, inputs: _Inputs, name: str, nodes: Sequence[Node]) -> DeploymentFacts:
        cluster, request = self._site.clusters[name], inputs.request
        layout = disk.layout(request, cluster)
        return DeploymentFacts(
            cluster_name=name,
            cluster=cluster,
            nodes={node.name: node for node in nodes},
            minios=await asyncio.to_thread(minios.prepare, self._site, name),
            environment=inputs.environment,
            target=disk.target(request, name, layout, inputs.environment),
            layout=layout,
            image=inputs.image,
            admin_archives=self._admin_archives(name),
            user_archives=inputs.archives,
            options=Options(
                keys=request.keys.encode(),
                reformat_tmp=request.reformat_tmp,
                partition_disks=request.partition_disks,
                install_bootloader=request.install_bootloader,
                kexec=request.kexec,
            ),
            paths=self._site.server.environments.deployment,
        )

    async def _find_environment(self, request: DeploymentRequest) -> Environment:
        wanted = request.environment
        if isinstance(wanted, Environment):
            return wanted
        viewer = registry.Viewer(request.user, request.user in self._site.server.rights.almighty)
        return await registry.find(
            self._store, wanted.name, viewer, owner=wanted.owner, version=wanted.version
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
                hint="`update_postinstalls` records it again",
            )
        return replace(_unread(archive), path=file.path)

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


def _unread(archive: Archive) -> PostInstall:
    """Post-install of an archive before that is read."""
    script = () if archive.script in ("", "none") else tuple(shlex.split(archive.script))
    return PostInstall(Path(), archive.compression, script)
