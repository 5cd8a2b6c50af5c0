# SPDX-License-Identifier: Apache-2.0
"""A machine with UEFI and an NVMe disk, deployed beside one with a BIOS: what it boots, in which order."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from .laboratory import Laboratory, Run, until

pytestmark = [pytest.mark.lab, pytest.mark.deploys("debian12-min"), pytest.mark.timeout(1200)]

ROOT = "/dev/nvme0n1p4"
KEXEC_STEPS = (
    "SetDeploymentEnv|SetDeploymentEnvUntrusted:1:400&BroadcastEnv|BroadcastEnvChain:1:400&"
    "BootNewEnv|BootNewEnvKexec:1:250"
)
NETWORK_CARD = b"\x03\x0b\x25\x00"  # node of a device path: messaging, MAC address, 37 bytes (UEFI 10.3.4.18)

ATTRIBUTES = 4  # bytes before the content of a variable in efivarfs

# What a booted system says of its firmware, as JSON; the variables with their attributes, in hexadecimal.
_LOOK = """
variables=/sys/firmware/efi/efivars
hexadecimal() { od -An -v -tx1 "$1" | tr -d ' \\n'; }
[ -d /sys/firmware/efi ] && kind=uefi || kind=bios
printf '{"kind": "%s", "root": "%s", "esp": "%s", "variables": {' \\
    $kind "$(findmnt -no SOURCE /)" "$(findmnt -no SOURCE /boot/efi)"
separator=
for file in "$variables"/Boot[0CO]*-8be4df61-93ca-11d2-aa0d-00e098032b8c; do
    [ -e "$file" ] || continue
    name=${file##*/}
    printf '%s"%s": "%s"' "$separator" "${name%%-*}" "$(hexadecimal "$file")"
    separator=,
done
echo '}}'
"""

# Puts another system on the EFI system partition, also on the path for removable media, in its own letters.
_INSTALL_OTHER = """
set -e
cd /boot/efi/EFI
rm -r BOOT
mkdir boot other
echo "another loader" >boot/bootx64.efi
echo "another system" >other/loader.efi
sync
"""


@dataclass(frozen=True, slots=True)
class Firmware:
    """Firmware of a booted machine: ``bios`` or ``uefi``, and the kinds of its boot entries in their order.

    ``booted``: the kind of the entry by which it was booted. Kinds: network, kadeploy, other.
    """

    kind: str
    root: str
    esp: str
    order: list[str]
    booted: str


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A lab of a machine with UEFI and one with a BIOS, both with NVMe disks."""
    laboratory = Laboratory(f"t-{os.getpid()}-uefi", tmp_path_factory.mktemp("lab"))
    try:
        laboratory.up(2, "--firmware", "uefi:node-1", "--disk", "nvme")
        yield laboratory
    finally:
        laboratory.down()


def look(lab: Laboratory, run: Run, node: str) -> Firmware:
    """What the deployed system of a node says of its firmware."""
    told = json.loads(on_node(lab, run, node, _LOOK))
    variables = {name: bytes.fromhex(text)[ATTRIBUTES:] for name, text in told["variables"].items()}
    numbers = [number for (number,) in struct.iter_unpack("<H", variables.get("BootOrder", b""))]
    current = [number for (number,) in struct.iter_unpack("<H", variables.get("BootCurrent", b""))]
    kinds = [_kind(variables[f"Boot{number:04X}"]) for number in numbers]
    booted = "".join(_kind(variables[f"Boot{number:04X}"]) for number in current)
    return Firmware(told["kind"], told["root"], told["esp"], kinds, booted)


def _kind(option: bytes) -> str:
    description = option[6:].decode("utf-16-le", "replace").partition("\0")[0]
    if NETWORK_CARD in option:
        return "network"
    return "kadeploy" if description.startswith("kadeploy-") else "other"


def test_uefi_and_bios_machines_in_one_deployment(lab: Laboratory) -> None:
    """By reboot; then the machine with UEFI boots its disk without a network, and is deployed by kexec."""
    run = lab.deploy("node-[1-2]", "-e", "debian12-min")
    outcome = run.outcome(600)
    assert (outcome.status, outcome.ok) == (0, ["node-1", "node-2"]), str(outcome)
    lab.assert_deployed(run, "node-1", "node-2", root=ROOT)
    assert look(lab, run, "node-2") == Firmware("bios", ROOT, "", [], "")
    firmware = look(lab, run, "node-1")
    assert (firmware.kind, firmware.root, firmware.esp) == ("uefi", ROOT, "/dev/nvme0n1p2"), firmware
    assert firmware.order[:2] == ["network", "kadeploy"], firmware
    assert firmware.order.count("kadeploy") == 1, firmware
    assert firmware.booted == "network", firmware  # whose boot program starts the disk
    boot_without_network(lab, run)
    deploy_by_kexec(lab, run)


def boot_without_network(lab: Laboratory, run: Run) -> None:
    """Cut the power of node-1, and its network: the firmware goes on with the disk's own entry."""
    before = lab.facts(run, "node-1")
    console = lab.plan.node("node-1").console
    lab.kalab("power", "node-1", "off")
    seen = console.stat().st_size
    with lab.fault("node-1", "link-down"):
        lab.kalab("power", "node-1", "on")
        until(
            lambda: b" login:" in console.read_bytes()[seen:],
            240,
            lambda: f"no login without a network:\n{console.read_bytes()[seen:].decode(errors='replace')}",
        )
    lab.wait_for_boot(run, "node-1", before.boot, 60)
    firmware = look(lab, run, "node-1")
    assert (firmware.root, firmware.booted) == (ROOT, "kadeploy"), firmware
    assert firmware.order[:2] == ["network", "kadeploy"], firmware


def deploy_by_kexec(lab: Laboratory, former: Run) -> None:
    """Over what is there, beside another system on the EFI system partition, which keeps its files."""
    assert on_node(lab, former, "node-1", _INSTALL_OTHER) == ""
    run = lab.deploy(
        "node-1", "-e", "debian12-min", "--disable-disk-partitioning", "--force-steps", KEXEC_STEPS
    )
    outcome = run.outcome(600)
    assert (outcome.status, outcome.ok) == (0, ["node-1"]), str(outcome)
    assert "Time in BootNewEnvKexec-kexec: " in outcome.log
    firmware = look(lab, run, "node-1")
    assert (firmware.kind, firmware.root, firmware.esp) == ("uefi", ROOT, "/dev/nvme0n1p2"), firmware
    assert firmware.order[:2] == ["network", "kadeploy"], firmware
    assert firmware.order.count("kadeploy") == 1, firmware
    found = on_node(
        lab, run, "node-1", "cd /boot/efi/EFI && cat boot/bootx64.efi other/loader.efi kadeploy/boot.cfg"
    )
    assert found == "another loader\nanother system\nchainloader /EFI/kadeploy-4/grubx64.efi\n"


def on_node(lab: Laboratory, run: Run, node: str, script: str) -> str:
    """What a script prints on a node that a run has deployed."""
    done = lab.ssh(node, run.directory / "known_hosts", lab.directory / "key", script)
    assert done.returncode == 0, done.stderr
    return done.stdout
