# SPDX-License-Identifier: Apache-2.0
"""File of a cluster: its disks, its boot kernels, the ways to switch its machines, its automaton."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from kadeploy.config.automata import Automata
from kadeploy.config.broadcast_methods import missing_settings
from kadeploy.config.expression import Expression, TimeoutExpression
from kadeploy.config.firmware import FirmwareKind
from kadeploy.config.placeholders import OF_NODE, check_placeholders, split_command
from kadeploy.config.remote_operations import RemoteOperations
from kadeploy.config.verification import Verification
from kadeploy.config.yaml_file import FileModel
from kadeploy.vocabulary.deployment import BROADCAST_ENV


class PartitionEntry(FileModel):
    """Partition with a ``size`` as 512MiB, 20GiB or rest."""

    name: Literal["bios_boot", "esp", "swap", "prod", "deploy", "tmp"]
    number: int = Field(ge=1, le=128)
    size: str


class Partitioning(FileModel):
    """Disk, its GPT layout in order, and optionally a script that partitions instead of ours."""

    block_device: str = Field(pattern=r"^/dev/[A-Za-z0-9/_.:-]+$")
    layout: tuple[PartitionEntry, ...] = Field(min_length=1)
    script: Path | None = None


class UserKernel(FileModel):
    """Kernel of environments: ``params`` are put before the kernel parameters of each environment."""

    params: str = ""


class DeployKernel(FileModel):
    """MiniOS: its files, and the file systems that it can make.

    ``host_key``: the public host key that is built into a site's own miniOS, which does not prove itself.
    """

    vmlinuz: Path
    initrd: Path
    host_key: Path | None = None
    params: str = ""
    supported_fs: tuple[str, ...] = ("ext2", "ext3", "ext4", "vfat")


class Kernels(FileModel):
    user: UserKernel = UserKernel()
    deploy: DeployKernel


class ClusterBoot(FileModel):
    """Boot settings: ``install_bootloader`` runs in the miniOS instead of the built-in grub installation.

    ``firmware``: of the machines, unless clusters.conf gives that of some of them.
    """

    firmware: FirmwareKind = FirmwareKind.BIOS
    install_bootloader: Path | None = None
    kernels: Kernels


class AdminArchive(FileModel):
    """Post-install of the administrator: an archive and the script in it to run."""

    file: Path
    format: Literal["tgz", "tbz2", "txz", "tzst"] = "tgz"
    script: str


class AdminArchives(FileModel):
    files: tuple[AdminArchive, ...] = ()


class Timeouts(FileModel):
    """Seconds until a rebooted (or kexec'ed) node must answer; numbers or expressions of n."""

    reboot: TimeoutExpression = Expression("300")
    kexec: TimeoutExpression = Expression("120")


class Gather(FileModel):
    """A step that needs the nodes together starts when all are there.

    It also starts without the late ones, which make the next cohort: once the share ``quorum`` is there, the
    others get as long as those took from the first to the last, at least ``least`` and at most ``grace``
    seconds. Boot times of machines of one kind lie about as far above their median as below it, so who is
    later than that has a trouble of its own. It costs a second broadcast then, not the others' time.
    """

    quorum: float = Field(default=0.5, gt=0, le=1)
    least: float = Field(default=2, ge=0)
    grace: float = Field(default=60, ge=0)


class BroadcastSettings(FileModel):
    """Settings of the chain.

    ``silence``: seconds without a sign of life after which a node of the chain is asked whether it lives.
    ``window``: MiB of the stream that each node keeps in memory. ``arity``: number of nodes that each node of
    BroadcastEnvTree feeds.
    """

    silence: float = Field(default=0.8, gt=0)
    window: int = Field(default=64, gt=0, le=16384)
    arity: int = Field(default=2, ge=2, le=64)


BROADCAST_WORDS = (
    *("ENVFILE", "NODEFILE", "ADDRESSFILE", "HOSTKEYFILE", "SSH_KEY"),
    *("DECOMPRESS", "OKFILE", "KOFILE"),
)


class BroadcastCommand(FileModel):
    """Command of BroadcastEnvCustom: ``cmd`` is run on this machine, without a shell.

    ``kadeploy.broadcast.custom`` has the words that are replaced in it.
    """

    cmd: str = ""

    @field_validator("cmd")
    @classmethod
    def _can_be_split(cls, cmd: str) -> str:
        if cmd:
            split_command(cmd, BROADCAST_WORDS)
        return cmd


class LocalOperations(FileModel):
    """Commands that are run on this machine for all nodes together."""

    broadcastenv: BroadcastCommand = BroadcastCommand()


def _check_console_log(path: str) -> str:
    for part in path.split("/"):
        check_placeholders(part, OF_NODE[:2])
    return path


class ClusterConfig(FileModel):
    """Content of a cluster file; relative paths are below the configuration directory."""

    partitioning: Partitioning
    boot: ClusterBoot
    remoteops: RemoteOperations
    postinstall: AdminArchives = AdminArchives()
    automata: Automata = Automata()
    timeouts: Timeouts = Timeouts()
    verify: Verification = Verification()
    gather: Gather = Gather()
    broadcast: BroadcastSettings = BroadcastSettings()
    localops: LocalOperations = LocalOperations()
    console_log: Annotated[str, AfterValidator(_check_console_log)] = ""
    arch: str = "x86_64"

    @model_validator(mode="after")
    def _broadcasts_have_settings(self) -> Self:
        for setting in self.automata.macrosteps.BroadcastEnv:
            instance = f"{BROADCAST_ENV.name}{setting.type}"
            if missing := missing_settings(instance, self):
                raise ValueError(f"{instance} needs '{missing}'")
        return self
