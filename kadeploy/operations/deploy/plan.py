# SPDX-License-Identifier: Apache-2.0
"""Plans of deployments: checked requests. Only copies of files are written; nothing else is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kadeploy.config.clusters import Node
from kadeploy.config.remote_operations import PowerAction
from kadeploy.config.site import Site
from kadeploy.environments import local_file, registry, script
from kadeploy.environments.cache import FileCache
from kadeploy.environments.compression import ARCHIVE_FORMATS
from kadeploy.environments.environment import Archive, Environment
from kadeploy.environments.examination import Examination, Grabbed
from kadeploy.environments.image_content import ImageContent
from kadeploy.environments.local_file import LocalFile
from kadeploy.errors import NotFoundError
from kadeploy.operations import customization, minios, programs, recipe
from kadeploy.operations.customization import Customization
from kadeploy.operations.deploy import boot_files, disk, operation_files
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.fingerprint import digest_topics
from kadeploy.operations.plan import ClusterPlan, Plan, plan_clusters
from kadeploy.operations.recipe import Recipes
from kadeploy.steps.custom_operation import File
from kadeploy.steps.facts import DeploymentFacts, Options, PostInstall
from kadeploy.store.store import Store
from kadeploy.workflow.goal import Goal

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

    @property
    def files(self) -> tuple[LocalFile, ...]:
        return tuple(dict.fromkeys(file for plan in self.clusters for file in plan.facts.files))

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
    content: ImageContent
    archives: tuple[PostInstall, ...]
    admin_archives: Mapping[str, tuple[PostInstall, ...]]
    operation_files: Mapping[str, File]


class Planner:
    """Checks requests against a site; calls ``grabbed`` with the file that it copies or digests.

    ``digest_again``: an image that was digested before is digested again.
    """

    def __init__(self, site: Site, store: Store, grabbed: Grabbed, *, digest_again: bool = False) -> None:
        self._site = site
        self._store = store
        self._grabbed = grabbed
        self._examination = Examination(FileCache.of(site), site.server.environments, grabbed, digest_again)

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
        admin_archives = {name: await self._admin_archives(name) for name in names}
        inputs = _Inputs(request, environment, UNREAD, ImageContent(), archives, admin_archives, files)
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
        admin_archives = {name: await self._admin_archives(name) for name in names}
        complete = not all(self._may_add_boot_files(request, *item) for item in admin_archives.items())
        examined = await self._examination.examine(environment, complete=complete)
        pairs = zip(environment.postinstalls, examined.postinstalls, strict=True)
        inputs = _Inputs(
            request,
            environment,
            examined.image,
            examined.content,
            tuple(replace(_unread(archive), file=file) for archive, file in pairs),
            admin_archives,
            await self._grab_operation_files(request, names),
        )
        clusters = await self._plan_clusters(inputs, nodes)
        recipe.check_all_used(request.custom_steps, [plan.recipes for plan in clusters])
        return DeploymentPlan(
            site=self._site,
            request=request,
            nodes=tuple(nodes),
            clusters=clusters,
            digests=digest_topics([plan.facts for plan in clusters]),
        )

    def _may_add_boot_files(
        self, request: DeploymentRequest, cluster: str, archives: Sequence[PostInstall]
    ) -> bool:
        settings = recipe.settings_of(request, self._site.clusters[cluster])
        return boot_files.may_be_made(archives, settings, request.custom_steps)

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
        await asyncio.to_thread(self._check_programs, name, request)
        layout = disk.layout(request, cluster)
        facts = DeploymentFacts(
            cluster_name=name,
            cluster=cluster,
            nodes={node.name: node for node in nodes},
            minios=await asyncio.to_thread(minios.prepare, self._site, name),
            environment=inputs.environment,
            target=disk.target(request, name, layout, inputs.environment),
            layout=layout,
            image=inputs.image,
            image_size=inputs.content.size,
            admin_archives=inputs.admin_archives[name],
            user_archives=inputs.archives,
            options=Options(
                keys=request.keys.encode(),
                reformat_tmp=request.reformat_tmp,
                partition_disks=request.partition_disks,
                install_bootloader=request.install_bootloader,
                kexec=request.kexec,
            ),
            paths=self._site.server.environments.deployment,
            partitioning_script=await self._script(cluster.partitioning.script, "partitioning script"),
            bootloader_script=await self._script(cluster.boot.install_bootloader, "bootloader script"),
        )
        disk.check_content(facts, inputs.content)
        return facts

    def _check_programs(self, name: str, request: DeploymentRequest) -> None:
        """Check the programs of this machine that a deployment runs; raises FileError."""
        programs.check_power(self._site, name, (PowerAction.REBOOT, PowerAction.STATUS))
        broadcasts = recipe.settings_of(request, self._site.clusters[name]).BroadcastEnv
        if any(setting.type == "Custom" for setting in broadcasts):
            programs.check_broadcast(self._site, name)

    async def _find_environment(self, request: DeploymentRequest) -> Environment:
        wanted = request.environment
        if isinstance(wanted, Environment):
            return wanted
        viewer = registry.Viewer(request.user, request.user in self._site.server.rights.almighty)
        return await registry.find(
            self._store, wanted.name, viewer, owner=wanted.owner, version=wanted.version
        )

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

    async def _admin_archives(self, cluster: str) -> tuple[PostInstall, ...]:
        archives = []
        for entry in self._site.clusters[cluster].postinstall.files:
            path = self._site.path(entry.file)
            if not path.is_file():
                raise NotFoundError(
                    f"the post-install {path} is missing", hint="bin/build-postinstall makes ours"
                )
            archive = Archive(str(path), ARCHIVE_FORMATS[entry.format], entry.script)
            file, head = await self._examination.examine_script_in(archive)
            makes = _unread(archive).makes_boot_files and (archive.holds or script.makes_boot_files(head))
            archives.append(replace(_unread(archive), file=file, makes_boot_files=makes))
        return tuple(archives)

    async def _script(self, script: Path | None, what: str) -> LocalFile | None:
        """Script of a cluster, None where it has none."""
        if script is None:
            return None
        return await self._examination.examine_script(str(self._site.path(script)), what)


def _unread(archive: Archive) -> PostInstall:
    """Post-install of an archive before that is read."""
    runs = bool(archive.script_words) or archive.holds
    return PostInstall(UNREAD, archive.compression, archive.script_words, archive.holds, runs)
