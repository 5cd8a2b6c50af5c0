# SPDX-License-Identifier: Apache-2.0
"""What the micro-steps of one deployment on one cluster share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kadeploy.broadcast.interface import BroadcastProgress
from kadeploy.broadcast.shared import SharedBroadcast
from kadeploy.config.clusters import Node
from kadeploy.disks.layout import DiskLayout, Role, partition_device
from kadeploy.environments.compression import Compression
from kadeploy.environments.environment import Environment, System
from kadeploy.environments.local_file import LocalFile
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import BootingWorkbench
from kadeploy.store.receptions import Reception


@dataclass(frozen=True, slots=True)
class Target:
    """Where the image goes: a partition, or the whole disk where ``partition`` is None."""

    block_device: str
    partition: int | None

    @property
    def device(self) -> str:
        """Path of the device that is written."""
        if self.partition is None:
            return self.block_device
        return partition_device(self.block_device, self.partition)


@dataclass(frozen=True, slots=True)
class PostInstall:
    """A post-install archive on this machine, and the script in it, with its arguments, or none."""

    path: Path
    compression: Compression
    script: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for beyond environment and nodes; ``keys`` are lines of authorized_keys."""

    keys: bytes = b""
    reformat_tmp: str = ""
    partition_disks: bool = True
    install_bootloader: bool = True


async def _forgetful(rows: Sequence[Reception]) -> None:
    """Keeps nothing: for plans that are only looked at."""


@dataclass(slots=True)
class Broadcasts:
    """The chain that late nodes join while it runs. ``keep`` writes down what came of a broadcast."""

    shared: SharedBroadcast = field(default_factory=SharedBroadcast)
    keep: Callable[[Sequence[Reception]], Awaitable[None]] = _forgetful


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentWorkbench(BootingWorkbench):
    """Inputs and tools of the steps. ``renewal`` makes a fresh file system of the target and mounts it."""

    environment: Environment
    target: Target
    layout: DiskLayout
    image: LocalFile
    admin_archives: tuple[PostInstall, ...]
    user_archives: tuple[PostInstall, ...]
    options: Options
    transferred: Callable[[BroadcastProgress], None]
    broadcasts: Broadcasts = field(default_factory=Broadcasts)
    renewal: tuple[Callable[[DeploymentWorkbench, NodeRun], Awaitable[None]], ...] = ()

    @property
    def extraction_dir(self) -> str:
        """Where the image is unpacked in the miniOS."""
        return self.site.server.environments.deployment.extraction_dir

    @property
    def archive_dir(self) -> str:
        """Where post-install archives are unpacked in the miniOS."""
        return self.site.server.environments.deployment.rambin_dir

    @property
    def partitioned(self) -> bool:
        """Whether the disk gets the partition table of the layout."""
        return self.target.partition is not None and self.options.partition_disks

    @property
    def reformatted(self) -> tuple[Role, ...]:
        """Partitions beside the target that are formatted: swap for Linux, tmp where it is asked for."""
        wanted = [Role.SWAP] if self.environment.os is System.LINUX else []
        wanted += [Role.TMP] if self.options.reformat_tmp else []
        beside = [
            partition.role
            for partition in self.layout.partitions
            if self.target.partition not in (None, partition.number)
        ]
        return tuple(role for role in wanted if role in beside)

    @property
    def erased(self) -> tuple[str, ...]:
        """Devices whose content is lost: the whole disk, or the partitions that are written or formatted."""
        if self.target.partition is None or self.partitioned:
            return (self.target.block_device,)
        others = [self.layout.device(role) for role in self.reformatted]
        return (self.target.device, *[device for device in others if device is not None])

    @property
    def mountable(self) -> bool:
        """Whether the miniOS can mount what is deployed (Kadeploy3: file system in supported_fs)."""
        supported = self.cluster.boot.kernels.deploy.supported_fs
        return self.target.partition is not None and self.environment.filesystem in supported

    @property
    def image_sha256(self) -> str:
        """The digest that the image must have: the declared one, else that of the file itself."""
        return self.environment.image.sha256 or self.image.sha256

    @property
    def kernel_params(self) -> str:
        """Kernel parameters of the deployed system: the cluster's, then the environment's."""
        parts = (self.cluster.boot.kernels.user.params, self.environment.boot.kernel_params)
        return " ".join(part for part in parts if part)

    def variables(self, node: Node) -> dict[str, str]:
        """The KADEPLOY_* variables exported to every script (Kadeploy3's, and KADEPLOY_NODE)."""
        environment = self.environment
        return {
            **environment.custom_variables,
            **self.layout.variables(),
            "KADEPLOY_NODE": node.name,
            "KADEPLOY_CLUSTER": self.cluster_name,
            "KADEPLOY_BLOCK_DEVICE": self.target.block_device,
            "KADEPLOY_DEPLOY_PART": self.target.device,
            "KADEPLOY_DEPLOY_PART_NUM": "" if self.target.partition is None else str(self.target.partition),
            "KADEPLOY_PREPOST_EXTRACTION_DIR": self.archive_dir,
            "KADEPLOY_TMP_DIR": "/tmp",  # noqa: S108 - the miniOS' own, Kadeploy3's value
            "KADEPLOY_ENV": environment.name,
            "KADEPLOY_ENV_KERNEL": environment.boot.kernel,
            "KADEPLOY_ENV_INITRD": environment.boot.initrd,
            "KADEPLOY_ENV_KERNEL_PARAMS": self.kernel_params,
            "KADEPLOY_ENV_HYPERVISOR": environment.boot.hypervisor,
            "KADEPLOY_ENV_HYPERVISOR_PARAMS": environment.boot.hypervisor_params,
            "KADEPLOY_OS_KIND": environment.os,
            "KADEPLOY_PART_TYPE": f"{environment.partition_type:x}",
            "KADEPLOY_FS_TYPE": environment.filesystem,
            "KADEPLOY_FS_TYPE_TMP": self.options.reformat_tmp if Role.TMP in self.reformatted else "",
            "KADEPLOY_ENV_EXTRACTION_DIR": self.extraction_dir,
        }
