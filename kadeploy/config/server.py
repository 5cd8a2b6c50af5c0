# SPDX-License-Identifier: Apache-2.0
"""File server.conf: this machine's part in a deployment (network, boot files, cache, store, windows)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import Protocol, Self

from pydantic import Field, field_validator, model_validator

from kadeploy.config.expression import Expression, TimeoutExpression
from kadeploy.config.verification import Verification
from kadeploy.config.yaml_file import FileModel
from kadeploy.families import Family, NamedMember

MEGABYTE = 1_000_000  # bytes: unit of sizes of files


class ExportKind(StrEnum):
    """Protocol by which the boot program fetches kernel and initrd."""

    HTTP = "http"
    TFTP = "tftp"


class ConfiguredProgram(NamedMember, Protocol):
    """Boot program, as far as files are concerned; its name is ``pxe.dhcp.method``."""

    @property
    @abstractmethod
    def protocols(self) -> Collection[ExportKind]:
        """Protocols by which it can fetch kernels and initrds."""


BOOT_PROGRAMS: Family[ConfiguredProgram] = Family("boot program", "kadeploy.boot.programs")


class ProfileName(StrEnum):
    """Names of the profiles' files: ``AC1F000B``, ``172.31.0.11``, ``node-1.site.tld`` or ``node-1``."""

    IP_HEX = "ip_hex"
    IP = "ip"
    HOSTNAME = "hostname"
    HOSTNAME_SHORT = "hostname_short"


class Database(FileModel):
    """Store; ``name`` is the path of the SQLite file.

    ``keep_days``: days after which workflows that have ended are deleted; statistics stay.
    """

    kind: str = Field(default="sqlite", pattern="^sqlite$")
    name: Path = Path("/var/lib/kadeploy/kadeploy.sqlite")
    keep_days: int = Field(default=90, ge=1)


class RightsKind(StrEnum):
    """Way in which rights on nodes are given: by a table, or to everybody (Kadeploy3's names)."""

    DB = "db"
    DUMMY = "dummy"


class RightsSettings(FileModel):
    """Rights: who may use nodes, and ``almighty_users`` as a comma list (Kadeploy3's format)."""

    kind: RightsKind = RightsKind.DUMMY
    almighty_users: str = "root"

    @property
    def almighty(self) -> frozenset[str]:
        return frozenset(name.strip() for name in self.almighty_users.split(",") if name.strip())


class Ports(FileModel):
    """TCP and UDP ports: of the nodes (ssh) and of this machine (http, tftp)."""

    ssh: int = Field(default=22, ge=1, le=65535)
    http: int = Field(default=8069, ge=1, le=65535)
    tftp: int = Field(default=69, ge=1, le=65535)


class Network(FileModel):
    """Network; ``server_address`` is this machine's address as the nodes see it.

    ``namespace``: network namespace that commands enter by themselves (a lab's).
    """

    server_address: str
    namespace: str = ""
    ports: Ports = Ports()


class RebootWindow(FileModel):
    """Window of at most ``size`` nodes; a slot is given again ``pause`` seconds after its last use."""

    size: int = Field(default=50, ge=1)
    pause: float = Field(default=0, ge=0, le=3600)


class ProbeWindow(FileModel):
    """Window of at most ``size`` probes at once whether a node answers."""

    size: int = Field(default=300, ge=1)


class Windows(FileModel):
    """Throttles, over all commands that use the store.

    ``reboot``: of what hurts a site when done to all nodes at once (power supplies, DHCP). ``probe``: of
    what takes this machine's descriptors and processors.
    """

    reboot: RebootWindow = RebootWindow()
    probe: ProbeWindow = ProbeWindow()


class Export(FileModel):
    """Server from which the boot program fetches kernels and initrds."""

    kind: ExportKind = ExportKind.HTTP


class Profiles(FileModel):
    """Directory of the profiles below the repository, and how their files are named."""

    directory: str = "profiles"
    filename: ProfileName = ProfileName.IP


class NetworkBoot(FileModel):
    """Boot program that the site's DHCP server names, and the directory of its files."""

    method: str = "IPXE"
    repository: Path
    export: Export = Export()
    profiles: Profiles = Profiles()

    @field_validator("method")
    @classmethod
    def _is_a_boot_program(cls, method: str) -> str:
        return BOOT_PROGRAMS.require(method)

    @model_validator(mode="after")
    def _program_can_fetch(self) -> Self:
        protocols = BOOT_PROGRAMS[self.method].protocols
        if self.export.kind not in protocols:
            known = " or ".join(protocols)
            raise ValueError(f"{self.method} fetches kernels by {known}, not by {self.export.kind}")
        return self


class Pxe(FileModel):
    """Boot program of all boots: Kadeploy3 had three, one is enough if it can also boot the disk."""

    dhcp: NetworkBoot


class CacheSettings(FileModel):
    """Directory of the copies of images and archives; ``size`` in MB."""

    directory: Path = Path("/var/cache/kadeploy")
    size: int = Field(default=20_000, ge=1)


class Downloads(FileModel):
    """Limits of a download over HTTP: a server that brings a byte now and then holds nobody for ever.

    ``deadline``: seconds of one file, with all attempts. ``least_rate``: kB/s that must come over each
    ``window`` of seconds, 0 for any.
    """

    deadline: float = Field(default=4 * 3600, gt=0, le=7 * 24 * 3600)
    least_rate: float = Field(default=10, ge=0, le=1_000_000)
    window: float = Field(default=30, gt=0, le=3600)


class DeploymentPaths(FileModel):
    """Paths in the miniOS: where images and post-install archives are unpacked."""

    extraction_dir: str = Field(default="/mnt/dest", pattern="^/[A-Za-z0-9/_.-]+$")
    rambin_dir: str = Field(default="/rambin", pattern="^/[A-Za-z0-9/_.-]+$")


class Environments(FileModel):
    """Directories of archives in the miniOS, and limits of archives in MB.

    ``directories``: those of this machine below which callers of a server may name files.
    """

    deployment: DeploymentPaths = DeploymentPaths()
    directories: tuple[Path, ...] = ()
    max_preinstall_size: int = Field(default=20, ge=1)
    max_postinstall_size: int = Field(default=20, ge=1)


class LogFormat(StrEnum):
    """Form of the lines of kadeployd's log."""

    TEXT = "text"
    JSON = "json"


class DaemonSettings(FileModel):
    """Settings of kadeployd: the socket where it answers, and how it ends.

    ``stop_seconds``: for which micro-steps that run are waited for when it ends. ``monitoring_port``: of
    127.0.0.1, for those who watch over it and cannot use the socket, 0 for none.
    """

    socket: Path = Path("/run/kadeploy/kadeploy.sock")
    stop_seconds: float = Field(default=60, ge=0, le=3600)
    log: LogFormat = LogFormat.TEXT
    monitoring_port: int = Field(default=0, ge=0, le=65535)


class ServerConfig(FileModel):
    """Content of server.conf; relative paths are below the configuration directory.

    ``deadline``: seconds after which a deployment ends with the nodes that are ready, 0 for none; a number or
    an expression of n. ``verify`` counts for clusters whose files have none.
    """

    database: Database = Database()
    rights: RightsSettings = RightsSettings()
    ssh_private_key: Path = Path("keys/id_deploy")
    network: Network
    pxe: Pxe
    cache: CacheSettings = CacheSettings()
    downloads: Downloads = Downloads()
    windows: Windows = Windows()
    verify: Verification = Verification()
    deadline: TimeoutExpression = Expression("0")
    environments: Environments = Environments()
    kadeployd: DaemonSettings = DaemonSettings()
