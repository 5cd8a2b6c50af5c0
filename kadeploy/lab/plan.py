# SPDX-License-Identifier: Apache-2.0
"""Plan of a lab: names, addresses and paths, which follow from its options."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from kadeploy.config.firmware import FirmwareKind
from kadeploy.errors import NotFoundError, UsageError
from kadeploy.lab.hardware import DISK_SIZE, DiskKind
from kadeploy.lab.machine import CONSOLE

BootProgram = Literal["ipxe", "pxelinux"]
DriverName = Literal["qemu", "container"]

ROOT = Path("/var/lib/kalab")
SERVER_ADDRESS = "172.31.0.1"
PREFIX_LENGTH = 16
IPV6_PREFIX = "fdab:1ab::"  # of 64 bits, unique local
HTTP_PORT = 8069
CLUSTER = "lab"
BMC_USER = "admin"
MAX_NODES = 200  # addresses of the nodes end with 11 to 210
MAX_STATE_PATH = 70  # a unix socket below it must fit into the 108 bytes of sun_path

_LAB_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")
_RATE = re.compile(r"[1-9][0-9]{0,5}(kbit|mbit|gbit)")


@dataclass(frozen=True, slots=True)
class NodePlan:
    """Plan of one machine; ``index`` counts from 0, ``directory`` holds all its files."""

    index: int
    directory: Path
    firmware: FirmwareKind = FirmwareKind.BIOS

    @property
    def name(self) -> str:
        return node_name(self.index)

    @property
    def address(self) -> str:
        return f"172.31.0.{11 + self.index}"

    @property
    def bmc_address(self) -> str:
        return f"172.31.1.{11 + self.index}"

    @property
    def mac(self) -> str:
        # 52:54:00 is QEMU's own range; equal addresses in two labs never meet.
        return f"52:54:00:1f:00:{11 + self.index:02x}"

    @property
    def tap(self) -> str:
        return f"tap{self.index + 1}"

    @property
    def console(self) -> Path:
        """Path of the record of its console."""
        return self.file(CONSOLE)

    def file(self, name: str) -> Path:
        """Path of a file of this machine."""
        return self.directory / name


@dataclass(frozen=True, slots=True)
class ContainerOptions:
    """Options of container nodes only.

    ``boot_delay``: seconds that a node's firmware and kernel take; each boot of each node takes up to
    ``boot_spread`` seconds more or less, which follows from ``seed``. ``rate``: of its link in both
    directions, as tc(8) has it, '' for no limit. ``whole_files``: kernel and initrd are fetched to their
    ends, else only asked for.
    """

    boot_delay: float = 5.0
    boot_spread: float = 2.0
    seed: int = 1
    rate: str = ""
    whole_files: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.boot_spread <= self.boot_delay:
            raise UsageError(
                "`boot_spread` is more than `boot_delay`", hint="no boot takes less than nothing"
            )
        if self.rate:
            parse_rate(self.rate)


@dataclass(frozen=True, slots=True)
class LabPlan:
    """Options of ``kalab up``; memory in MiB, disk in bytes, paths absolute.

    ``firmware`` is that of all nodes but those whose names ``other_firmware`` maps to theirs.
    """

    name: str
    count: int
    state: Path
    config: Path
    deploy_env: Path
    postinstall: Path
    memory: int = 1024
    disk: int = DISK_SIZE
    firmware: FirmwareKind = FirmwareKind.BIOS
    boot_program: BootProgram = "ipxe"
    driver: DriverName = "qemu"
    container: ContainerOptions = ContainerOptions()
    disk_kind: DiskKind = "virtio"
    other_firmware: Mapping[str, FirmwareKind] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        if not 1 <= self.count <= MAX_NODES:
            raise UsageError(f"a lab of {self.count} nodes cannot be made", hint=f"1 to {MAX_NODES} nodes")
        if len(str(self.state)) > MAX_STATE_PATH:
            raise UsageError(
                f"the state directory {self.state} has more than {MAX_STATE_PATH} characters",
                hint="the paths of sockets below it would be too long: choose a shorter `state_dir`",
            )
        has_uefi = any(node.firmware is FirmwareKind.UEFI for node in self.nodes)
        if has_uefi and self.boot_program == "pxelinux":
            raise UsageError("pxelinux boots machines with a BIOS only", hint="take `boot_program` ipxe")
        if self.driver == "container" and (has_uefi or self.boot_program != "ipxe"):
            raise UsageError("container nodes have a BIOS and iPXE", hint="take `driver` qemu")
        if self.driver == "container" and self.disk_kind != "virtio":
            raise UsageError("container nodes have disks of one kind", hint="take `driver` qemu")

    @property
    def namespace(self) -> str:
        return namespace_of(self.name)

    @property
    def nodes(self) -> tuple[NodePlan, ...]:
        return tuple(
            NodePlan(
                index,
                self.state / "nodes" / (name := node_name(index)),
                self.other_firmware.get(name, self.firmware),
            )
            for index in range(self.count)
        )

    @property
    def store(self) -> Path:
        """Path of the database of its kadeploy."""
        return self.state / "kadeploy.sqlite"

    @property
    def cluster_file(self) -> Path:
        """Path of the file of its only cluster."""
        return self.config / f"{CLUSTER}.conf"

    @property
    def repository(self) -> Path:
        """Directory of the files that nodes fetch when they boot."""
        return self.state / "boot"

    @property
    def boot_file(self) -> str:
        """Name of the file that the DHCP server names to a machine."""
        if self.boot_program == "pxelinux":
            return "pxelinux.0"
        return f"http://{SERVER_ADDRESS}:{HTTP_PORT}/boot.ipxe"

    def node(self, name: str) -> NodePlan:
        """Machine of this name; raises NotFoundError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise NotFoundError(
            f"lab '{self.name}' has no node '{name}'", hint=f"it has node-1 to node-{self.count}"
        )

    def to_json(self) -> str:
        """Text of which ``from_json`` makes an equal plan."""
        return json.dumps(asdict(self), default=str, indent=1)


def from_json(text: str) -> LabPlan:
    """Plan of the text that ``to_json`` made."""
    data = json.loads(text)
    for key in ("state", "config", "deploy_env", "postinstall"):
        data[key] = Path(data[key])
    data["firmware"] = FirmwareKind(data["firmware"])
    others = data.get("other_firmware", {})  # former versions had one kind of firmware in a lab
    data["other_firmware"] = {name: FirmwareKind(kind) for name, kind in others.items()}
    data["container"] = ContainerOptions(**data["container"])
    return LabPlan(**data)


def node_name(index: int) -> str:
    """Name of the node that this index, from 0, counts."""
    return f"node-{index + 1}"


def check_name(name: str) -> None:
    """Raises UsageError for a name that cannot name a namespace and a directory."""
    if not _LAB_NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' is no name for a lab", hint="lower-case letters, digits and dashes, at most 20"
        )


def namespace_of(name: str) -> str:
    """Network namespace of the lab of this name."""
    return f"kalab-{name}"


def parse_rate(text: str) -> str:
    """Rate of a link such as ``100mbit``, in the units of tc(8); raises UsageError for other text."""
    if not _RATE.fullmatch(text):
        raise UsageError(f"'{text}' is no rate", hint="write 100mbit or 1gbit")
    return text
