# SPDX-License-Identifier: Apache-2.0
"""BroadcastEnv: bring the image to all the nodes together, then make it the system of each."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from kadeploy import nodes
from kadeploy.broadcast.integrity import fail_for_image
from kadeploy.broadcast.interface import (
    Delivery,
    ImageSource,
    Recipient,
    RelayResult,
    Trouble,
)
from kadeploy.broadcast.method import BROADCAST_METHODS, BroadcastMethod, BroadcastSetup
from kadeploy.broadcast.seal_cache import SealCache
from kadeploy.config.clusters import Node
from kadeploy.disks import bootloader, partitions
from kadeploy.environments import image_kind
from kadeploy.errors import NodeError, RemoteError
from kadeploy.local.ending import add_last_line, describe_ending
from kadeploy.remote import hostkey
from kadeploy.steps import capacity, site_file
from kadeploy.steps.binding import Binding
from kadeploy.steps.boot import COMMAND_TIMEOUT
from kadeploy.steps.bootloader import install_bootloader
from kadeploy.steps.caused_error import CausedError, cause_by_text
from kadeploy.steps.conditions import DEPLOYMENT
from kadeploy.steps.facts import PostInstall
from kadeploy.steps.image_tree import append_keys, check_tree
from kadeploy.steps.minios import check_boot
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.reception import Follower
from kadeploy.steps.revival import do_or_boot_first
from kadeploy.steps.set_deployment_env import mount_deploy_part, renew_deploy_part, umount_deploy_part
from kadeploy.steps.step import Ended
from kadeploy.steps.workbench import DeploymentWorkbench
from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.deployment import BROADCAST_ENV

SCRIPT_TIMEOUT = 600.0  # seconds of one post-install script
SYNC_TIMEOUT = 600.0  # seconds: gigabytes of dirty pages on one spinning disk

UNPACK_ARCHIVE = 'rm -rf "$1" && mkdir -p "$1" && tar -I "$2" -xf - -C "$1" --numeric-owner'
NOT_RUN = (126, 127)  # exit statuses of a shell that could not execute a program
INTERPRETER = "its first line must name an interpreter that the miniOS has: it is run there, not in the image"
RUN_SCRIPT = 'cd "$1" && shift && exec "$@"'


async def send_environment(
    workbench: DeploymentWorkbench, runs: Sequence[NodeRun], ended: Ended, method: BroadcastMethod
) -> None:
    """Broadcast the image to the nodes; each unpacks it while it receives it.

    Nodes that come late join the chain of those that came first, as long as that one runs.
    """
    runs = await _renew_written(workbench, runs, ended)
    runs = await _without_doubtful(workbench, runs, ended)
    runs = await _with_room(workbench, runs, ended)
    if not runs:
        return
    for run in runs:
        await workbench.remember(run.node, written=True)
    image = workbench.facts.image
    delivery = Delivery(
        image=ImageSource(image.path, image.size, image.sha256, workbench.files.path(image)),
        recipients=[Recipient(node.name, node.address) for node in chain_order(run.node for run in runs)],
        consumer=_consumer(workbench),
        head_address=workbench.site.server.network.server_address,
        options=method.options(workbench.facts.cluster.broadcast),
        seals=SealCache(workbench.site.path(workbench.site.server.cache.directory) / "seals"),
    )
    broadcast = method.make(setup_of(workbench))
    follower = Follower(workbench, runs)

    async def keep(results: Mapping[str, RelayResult]) -> None:
        news = await _judge_image(workbench, follower.news(results))
        try:
            await follower.keep(news)
        finally:  # whatever becomes of the statistics
            for node, result in news.items():
                ended(node, relay_failure(result, workbench.facts.image.size))

    try:
        await keep(await broadcast.run(delivery, workbench.remote, follower.follow, keep))
    finally:
        await follower.close()


async def _judge_image(
    workbench: DeploymentWorkbench, results: Mapping[str, RelayResult]
) -> Mapping[str, RelayResult]:
    """Results in which an image that was written into is to blame for what nodes could not unpack.

    Where all of them fail at once, the broadcast ends before it has read the image to its end.
    """
    failed = {
        node: found for node, found in results.items() if found.trouble in (Trouble.CONSUMER, Trouble.DATA)
    }
    image = workbench.facts.image
    if not failed or not await workbench.files.has_changed(image):
        return results
    reason = f"the image {image.source or image.path} was changed after it was checked"
    return {**results, **fail_for_image(failed, reason)}


def setup_of(workbench: DeploymentWorkbench) -> BroadcastSetup:
    """Inputs of a method of broadcast: the site, the cluster, and the chain that is shared."""
    keys = {name: workbench.minios_key(node) for name, node in workbench.facts.nodes.items()}
    return BroadcastSetup(workbench.site, workbench.facts.cluster, keys, workbench.chain)


def chain_order(members: Iterable[Node]) -> list[Node]:
    """Nodes at one switch one after the other, so that each link between switches carries the image once; at
    each switch, and where none is named, as people count."""
    by_name = {node.name: node for node in members}
    return sorted((by_name[name] for name in nodes.in_order(by_name)), key=lambda node: node.switch)


async def _without_doubtful(
    workbench: DeploymentWorkbench, runs: Sequence[NodeRun], ended: Ended
) -> Sequence[NodeRun]:
    """Nodes that are still the ones that were proven; the others get no image."""
    sure = []
    for run in runs:
        try:
            await check_boot(workbench, run)
        except NodeError as error:
            ended(run.node.name, error)
        else:
            sure.append(run)
    return sure


async def _with_room(
    workbench: DeploymentWorkbench, runs: Sequence[NodeRun], ended: Ended
) -> Sequence[NodeRun]:
    """Nodes whose target can hold an image of bytes; no step before has looked at it."""
    facts = workbench.facts
    if facts.makes_target or not facts.environment.image_kind.brings_file_system:
        return runs
    fitting: list[NodeRun] = []

    async def look(run: NodeRun) -> None:
        try:
            await capacity.check(workbench, run)
        except NodeError as error:
            ended(run.node.name, error)
        else:
            fitting.append(run)

    async with asyncio.TaskGroup() as group:
        for run in runs:
            group.create_task(look(run))
    return fitting


async def _renew_written(
    workbench: DeploymentWorkbench, runs: Sequence[NodeRun], ended: Ended
) -> Sequence[NodeRun]:
    """Give nodes on which an image was begun a fresh file system; returns those that can go on.

    At later attempts all of them are looked at: one that has restarted by itself is booted once more.
    """
    failed: set[str] = set()

    async def renew(run: NodeRun) -> None:
        try:
            await do_or_boot_first(workbench, run, again)
        except NodeError as error:
            failed.add(run.node.name)
            ended(run.node.name, error)

    # An image of bytes must not be written below the file system that the last attempt has mounted.
    renewal = (
        umount_deploy_part if workbench.facts.environment.image_kind.brings_file_system else renew_deploy_part
    )

    async def again(workbench: DeploymentWorkbench, run: NodeRun) -> None:
        await check_boot(workbench, run)
        if workbench.facts_of(run.node).written:
            await renewal(workbench, run)

    async with asyncio.TaskGroup() as group:
        for run in runs:
            if run.attempt or workbench.facts_of(run.node).written:
                group.create_task(renew(run))
    return [run for run in runs if run.node.name not in failed]


EXITED = "exited with status"
# Who fails on data whose digest is right was given an image that it cannot take.
_CAUSES = {
    Trouble.NODE: Cause.CONNECTION,
    Trouble.PEERS: Cause.BROADCAST,
    Trouble.DATA: Cause.BROADCAST,
    Trouble.CONSUMER: Cause.ENVIRONMENT,
    Trouble.IMAGE: Cause.IMAGE,
}


def relay_failure(result: RelayResult, size: int) -> NodeError | None:
    """The error of a node that has not got the whole image of ``size`` bytes unpacked, else None."""
    if result.ok:
        return None
    received = f"received {result.received} of {size} bytes"
    evidence = "\n".join(filter(None, [received, result.evidence]))
    if result.trouble is Trouble.IMAGE:
        advice = Cause.IMAGE.advice
        return CausedError(result.reason, Cause.IMAGE, evidence=evidence, hint=advice, lasting=True)
    cause = cause_by_text(f"{result.reason}\n{evidence}", _CAUSES[result.trouble])
    # Of itself a program ends the same way with the same bytes; one that was killed may not be again.
    lasting = cause is Cause.ENVIRONMENT and EXITED in result.reason
    return CausedError(result.reason, cause, evidence=evidence, lasting=lasting)


def _consumer(workbench: DeploymentWorkbench) -> list[list[str]]:
    """The pipeline that takes the image's stream on a node.

    Of a whole disk it also makes the kernel forget the partitions that the disk had.
    """
    target = workbench.facts.target
    pipeline = image_kind.consumer(
        workbench.facts.environment.image_kind,
        workbench.facts.environment.image.compression.facts.decompress,
        target.device,
        workbench.facts.extraction_dir,
        f"{workbench.facts.archive_dir}/image",
    )
    if target.partition is None:
        pipeline[-1] = partitions.written_disk(target.device, pipeline[-1])
    return pipeline


async def manage_admin_post_install(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Run the post-installs of the cluster's administrator."""
    await run_post_installs(workbench, run, workbench.facts.admin_archives)


async def manage_user_post_install(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Run the post-installs of the environment."""
    await run_post_installs(workbench, run, workbench.facts.user_archives)


async def run_post_installs(
    workbench: DeploymentWorkbench, run: NodeRun, archives: Sequence[PostInstall]
) -> None:
    """Run post-installs one after the other."""
    for archive in archives:
        await _post_install(workbench, run, archive)


async def _post_install(workbench: DeploymentWorkbench, run: NodeRun, archive: PostInstall) -> None:
    """Unpack an archive in the miniOS and run its script with the KADEPLOY_* variables."""
    await check_boot(workbench, run)
    node, directory = run.node.name, workbench.facts.archive_dir
    decompress = shlex.join(archive.compression.facts.decompress)  # tar adds the option that decompresses
    run.observed = f"{archive.file.name} was being unpacked"
    content = await site_file.read(workbench, archive.file, "post-install")
    argv = ["sh", "-c", UNPACK_ARCHIVE, "sh", directory, decompress]
    await workbench.remote.run(node, argv, input=content, timeout=SCRIPT_TIMEOUT)
    if not archive.script:
        return
    program, *arguments = archive.script
    name = f"{shlex.join(archive.script)} of {archive.file.name}"
    run.observed = f"{name} was running"
    result = await workbench.remote.run(
        node,
        ["sh", "-c", RUN_SCRIPT, "sh", directory, f"./{program}", *arguments],
        env=workbench.facts.variables(run.node),
        timeout=SCRIPT_TIMEOUT,
        check=False,
    )
    if result.status != 0:
        ending = add_last_line(describe_ending(result.status), result.output)
        await _blame_image(workbench, run, f"{name} {ending}", result.evidence)
        hint = INTERPRETER if result.status in NOT_RUN else ""
        raise NodeError(f"{name} {ending}", evidence=result.evidence, hint=hint)


async def _blame_image(workbench: DeploymentWorkbench, run: NodeRun, reason: str, evidence: str) -> None:
    """Raises CausedError where a post-install has failed on an image that cannot be booted anyway."""
    facts = workbench.facts
    archives = (*facts.admin_archives, *facts.user_archives)
    if not facts.environment.boot.kernel or any(archive.makes_boot_files for archive in archives):
        return
    try:
        await kernel_files(workbench, run)
    except RemoteError:
        return
    except NodeError as error:
        shown = "\n".join(filter(None, [reason, evidence]))
        raise CausedError(error.message, Cause.ENVIRONMENT, evidence=shown, lasting=True) from error


async def check_kernel_files(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Kernel and initrd must be in the image, following links inside of it."""
    try:
        await kernel_files(workbench, run)
    except RemoteError:
        raise
    except NodeError as error:
        raise CausedError(error.message, Cause.ENVIRONMENT, evidence=error.evidence, lasting=True) from error


async def kernel_files(workbench: DeploymentWorkbench, run: NodeRun) -> tuple[str, str]:
    """Paths in the miniOS of the unpacked kernel and initrd ('' for none), links followed."""
    result = await workbench.remote.run_script(
        run.node.name,
        bootloader.kernel_files_script(),
        env=workbench.facts.variables(run.node),
        timeout=COMMAND_TIMEOUT,
        check=False,
    )
    check_tree(result, "the search for the kernel files of the image")
    kernel, initrd = result.stdout.split("\n")[:2]
    return kernel, initrd


async def send_key(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Let the user into the deployed system, by the rules of its own sshd."""
    await check_boot(workbench, run)
    await append_keys(workbench, run, workbench.facts.options.keys, workbench.facts.extraction_dir)


async def read_host_keys(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Read the ssh host keys on the node's new disk, or make them: after the reboot they prove it."""
    script = await asyncio.to_thread(partitions.host_keys_script)
    mounted = workbench.facts.extraction_dir if workbench.facts.mountable else ""
    result = await workbench.remote.run(
        run.node.name,
        ["sh", "-s", workbench.facts.target.device, mounted],
        input=script,
        timeout=COMMAND_TIMEOUT,
        check=False,
    )
    check_tree(result, "the reading of host keys")
    # An image may have been made of a miniOS, whose key proves nothing.
    found = hostkey.readable_keys(result.stdout.splitlines())
    keys = tuple(key for key in found if key != workbench.minios_key(run.node))
    if not keys:
        message = "the image has no ssh server whose key could prove what the node runs"
        raise CausedError(message, Cause.ENVIRONMENT, lasting=True)
    await workbench.remember(run.node, host_keys=keys)


async def sync(workbench: DeploymentWorkbench, run: NodeRun) -> None:
    """Write everything to the disk; of a file system that is mounted, errors of writing are told."""
    argv = ["sync", "-f", workbench.facts.extraction_dir] if workbench.facts.mountable else ["sync"]
    await workbench.remote.run(run.node.name, argv, timeout=SYNC_TIMEOUT)


def binding_of(method: BroadcastMethod) -> Binding[DeploymentWorkbench]:
    """Functions of the instance of a method: the same but for the broadcast."""
    return Binding(
        f"{BROADCAST_ENV.name}{method.name}",
        {
            "mount_deploy_part": mount_deploy_part,
            "manage_admin_post_install": manage_admin_post_install,
            "manage_user_post_install": manage_user_post_install,
            "check_kernel_files": check_kernel_files,
            "send_key": send_key,
            "install_bootloader": install_bootloader,
            "read_host_keys": read_host_keys,
            "sync": sync,
        },
        {"send_environment": partial(send_environment, method=method)},
        conditions=DEPLOYMENT,
    )


BINDINGS = tuple(binding_of(method) for method in BROADCAST_METHODS)
