# SPDX-License-Identifier: Apache-2.0
"""Facts: what a plan says of one cluster, as values that can be compared, kept as JSON and fingerprinted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python

from kadeploy.config.cluster import ClusterConfig
from kadeploy.config.clusters import Node
from kadeploy.config.remote_operations import Level
from kadeploy.config.server import DeploymentPaths
from kadeploy.disks.layout import DiskLayout, Role, partition_device
from kadeploy.environments.compression import Compression
from kadeploy.environments.environment import Environment, System
from kadeploy.environments.local_file import LocalFile
from kadeploy.store.node_states import InstalledSystem


@dataclass(frozen=True, slots=True)
class MiniOs:
    """The deployment environment: its files' paths in the boot repository.

    ``host_key``: the fixed public host key of a site's own miniOS, '' for one that makes a key at each boot.
    """

    kernel: str
    initrd: str
    host_key: str = ""


@dataclass(frozen=True, slots=True)
class TargetDevice:
    """Device of the image: a partition, or the whole disk where ``partition`` is None."""

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
    """A post-install archive on this machine, and the script in it, with its arguments, or none.

    ``holds``: nodes are held when it was unpacked, so that somebody runs by hand what is in it.
    ``makes_boot_files``: kernel, initrd or hypervisor may come of it.
    """

    file: LocalFile
    compression: Compression
    script: tuple[str, ...]
    holds: bool = False
    makes_boot_files: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a deployment beyond environment and nodes; ``keys`` are lines of authorized_keys."""

    keys: bytes = b""
    reformat_tmp: str = ""
    partition_disks: bool = True
    install_bootloader: bool = True
    kexec: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts(ABC):
    """Facts of one cluster in an operation of any kind. ``nodes`` maps names to nodes."""

    cluster_name: str
    cluster: ClusterConfig
    nodes: Mapping[str, Node]

    @property
    @abstractmethod
    def trusted_key(self) -> str:
        """Fixed host key of the one system into which the engine logs in, '' where each boot has its own."""

    def to_json(self) -> Any:
        """Facts as JSON values; bytes are text."""
        return to_jsonable_python(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFacts(ClusterFacts):
    """Facts of a power operation.

    ``level`` is the first level that is tried; ``shared_key`` the fixed host key of a site's own miniOS.
    """

    level: Level
    shared_key: str

    @property
    def trusted_key(self) -> str:
        return self.shared_key


@dataclass(frozen=True, slots=True, kw_only=True)
class BootingFacts(ClusterFacts):
    """Facts of operations that boot nodes, at times into the miniOS."""

    minios: MiniOs

    @property
    def trusted_key(self) -> str:
        return self.minios.host_key


@dataclass(frozen=True, slots=True, kw_only=True)
class RebootFacts(BootingFacts):
    """Facts of a reboot.

    ``level`` is the first level of rebooting that is tried. ``profiles`` maps nodes to the boot profiles that
    the user gave, ``installed`` nodes to the systems on their disks, as far as they are known. ``keys`` are
    lines of authorized_keys for the miniOS.
    """

    level: Level
    profiles: Mapping[str, str]
    installed: Mapping[str, InstalledSystem]
    keys: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentFacts(BootingFacts):
    """Facts of a deployment. ``paths`` are directories of the miniOS, the scripts the cluster's own.

    ``image_size``: bytes that the image needs on a disk at least.
    """

    environment: Environment
    target: TargetDevice
    layout: DiskLayout
    image: LocalFile
    image_size: int
    admin_archives: tuple[PostInstall, ...]
    user_archives: tuple[PostInstall, ...]
    options: Options
    paths: DeploymentPaths
    partitioning_script: LocalFile | None = None
    bootloader_script: LocalFile | None = None

    @property
    def files(self) -> tuple[LocalFile, ...]:
        """Files of this machine that are sent to the nodes."""
        archives = (archive.file for archive in (*self.admin_archives, *self.user_archives))
        scripts = (self.partitioning_script, self.bootloader_script)
        return (self.image, *archives, *(script for script in scripts if script))

    @property
    def extraction_dir(self) -> str:
        """Directory of the miniOS in which the image is unpacked."""
        return self.paths.extraction_dir

    @property
    def archive_dir(self) -> str:
        """Directory of the miniOS in which post-install archives are unpacked."""
        return self.paths.rambin_dir

    @property
    def partitioned(self) -> bool:
        """True if the disk gets the partition table of the layout."""
        return self.target.partition is not None and self.options.partition_disks

    @property
    def makes_target(self) -> bool:
        """True if the target is a partition of the layout, which is still to be made."""
        return self.partitioned and self.partitioning_script is None

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
        """True if the miniOS can mount the target (Kadeploy3: file system in supported_fs)."""
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
