# SPDX-License-Identifier: Apache-2.0
"""Make the unpacked image this node's own system; `postinstall` runs it.

What is asked of the node is asked first. Then everything is written inside of the image's tree: its links
lead to where they lead in the image.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from kadeploy.disks.tree.host_keys import DIRECTORY as KEYS
from kadeploy.disks.tree.host_keys import SERVERS, make_keys, write_keys
from kadeploy.disks.tree.image import ImageFault, ImageTree, ended, is_volatile
from kadeploy.disks.uefi.esp import content_of, find_esp
from kadeploy.disks.uefi.partition_table import read_table
from kadeploy.disks.uefi.programs import UefiFault, probe

UUID = Path("/proc/sys/kernel/random/uuid")
NETWORKD_IS_ON = "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
IFUP = ("/sbin/ifup", "/usr/sbin/ifup")
LOCALHOST = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n"
OWN_NAME = re.compile(rb"^127\.0\.1\.1\s.*\n", re.MULTILINE)
OWN_GETTY = re.compile(rb"^KS:.*\n", re.MULTILINE)

# The DHCP server knows the node by its address on the wire; networkd would show it an identity made from
# machine-id, and get another lease than the firmware and the deployment environment got.
NETWORKD = b"""[Match]
Name=eth0

[Network]
DHCP=ipv4

[DHCPv4]
ClientIdentifier=mac
"""
IFUPDOWN = b"""auto lo
iface lo inet loopback

allow-hotplug eth0
iface eth0 inet dhcp
"""


class Refusal(Exception):
    """Sentence about why the node cannot have this system."""


def variable(name: str) -> str:
    """Variable KADEPLOY_* of the deployment, '' where there is none."""
    return os.environ.get(f"KADEPLOY_{name}", "")


def note(sentence: str) -> None:
    sys.stderr.write(f"admin post-install: {sentence}\n")


def check_variables() -> None:
    for name in ("ENV_EXTRACTION_DIR", "DEPLOY_PART"):
        if not variable(name):
            raise Refusal(f"KADEPLOY_{name} is not set")
    node = variable("NODE")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", node):
        raise Refusal(f"KADEPLOY_NODE is not a host name: '{node}'")


def check_image(tree: ImageTree) -> None:
    no_system = f"no system was unpacked in {tree.root}: it has no /etc"
    if not Path(tree.root).is_dir():
        raise Refusal(no_system)
    with tree:
        if not tree.resolve("/etc").is_dir():
            raise Refusal(no_system)


def mount(device: str, directory: str, options: str, check: int) -> str:
    """Line of fstab. Names of disks change with the order of drivers, UUIDs do not."""
    found = probe(device)
    identifier, kind = found.get("UUID"), found.get("TYPE")
    if not identifier or not kind:
        raise Refusal(f"{device}, to be mounted on {directory}, has no file system with a UUID")
    return f"UUID={identifier}\t{directory}\t{kind}\t{options}\t0\t{check}\n"


def mounts() -> Iterator[str]:
    """Lines of fstab."""
    target, swap, tmp = variable("DEPLOY_PART"), variable("SWAP_PART"), variable("TMP_PART")
    if probe(target).get("TYPE", "").startswith("ext"):
        yield mount(target, "/", "errors=remount-ro", 1)
    else:
        yield mount(target, "/", "defaults", 0)
    if swap and probe(swap).get("TYPE") == "swap":
        yield mount(swap, "none", "sw", 0)
    # The tmp partition is part of the system only where this deployment reformatted it. It is scratch space:
    # no check at boot, which would cost a slow machine most of a second.
    if tmp and variable("FS_TYPE_TMP"):
        yield mount(tmp, "/tmp", "nosuid,nodev", 0)  # noqa: S108 - the new system's
    device = esp_device()
    if device:
        yield mount(device, "/boot/efi", "umask=0077,nofail", 0)


def esp_device() -> str:
    """Device of the EFI system partition that the system gets, '' for none.

    A machine that started by BIOS never reads it. On a table that a script of the site has made it may have
    no file system yet: the bootloader's installation makes it, which comes after this.
    """
    disk = variable("BLOCK_DEVICE")
    if not disk or not Path("/sys/firmware/efi").is_dir():
        return ""
    try:
        device = find_esp(read_table(disk), variable("ESP_PART")).device
        return device if content_of(device) else ""
    except UefiFault as fault:
        note(f"no EFI system partition is mounted in the new system: {fault}")
        return ""


def write(tree: ImageTree, path: str, content: bytes) -> None:
    """Write a file, but for one that the system makes itself when it starts."""
    place = tree.resolve(path)
    if is_volatile(place):
        note(f"{path} of the image leads to {place}, which the system makes when it starts; it is left alone")
    else:
        tree.write(path, content)


def write_host_name(tree: ImageTree) -> None:
    node = variable("NODE")
    short = node.partition(".")[0]
    write(tree, "/etc/hostname", f"{short}\n".encode())
    known = ended(tree.read("/etc/hosts")) or LOCALHOST
    names = short if short == node else f"{node} {short}"
    write(tree, "/etc/hosts", OWN_NAME.sub(b"", known) + f"127.0.1.1\t{names}\n".encode())


def write_fstab(tree: ImageTree, lines: list[str]) -> None:
    if any("\t/boot/efi\t" in line for line in lines):
        tree.make_directory("/boot/efi")
    text = "".join(["# Written by the administrator post-install of kadeploy.\n", *lines])
    write(tree, "/etc/fstab", text.encode())


def write_network(tree: ImageTree, resolver: bytes) -> None:
    # Images saved from a running node carry the names of that node's interfaces.
    names = "/etc/udev/rules.d/70-persistent-net.rules"
    if tree.has(names):
        tree.remove(names)
    if tree.has(NETWORKD_IS_ON):
        write(tree, "/etc/systemd/network/10-kadeploy.network", NETWORKD)
    elif any(map(tree.has, IFUP)):
        write(tree, "/etc/network/interfaces", IFUPDOWN)
    else:
        note("neither systemd-networkd nor ifupdown in the image; its network is left as it is")
    if resolver and not tree.has("/etc/resolv.conf"):
        write(tree, "/etc/resolv.conf", resolver)


def serial_console() -> tuple[str, str] | None:
    """Unit and speed of the serial console that the environment's kernel parameters name, if any."""
    found = None
    for word in variable("ENV_KERNEL_PARAMS").split():
        if word.startswith("console=ttyS"):
            unit, comma, speed = word.removeprefix("console=ttyS").partition(",")
            digits = re.match("[0-9]*", speed)
            found = (unit, digits[0] if comma and digits else "115200")
    return found


def quote(text: str) -> str:
    """Text as one word of a shell file."""
    return "'" + text.replace("'", "'\\''") + "'"


def write_console(tree: ImageTree) -> None:
    """Write grub's settings and a getty.

    The settings are for the day an upgrade in the deployed system makes grub.cfg anew. Systemd starts a getty
    on every kernel console by itself, sysvinit wants a line.
    """
    serial = serial_console()
    settings = [f"GRUB_CMDLINE_LINUX={quote(variable('ENV_KERNEL_PARAMS'))}"]
    if serial:
        unit, speed = serial
        settings += [
            "GRUB_TERMINAL='console serial'",
            f"GRUB_SERIAL_COMMAND='serial --unit={unit} --speed={speed}'",
        ]
    write(tree, "/etc/default/grub.d/kadeploy.cfg", "".join(f"{line}\n" for line in settings).encode())
    if serial and tree.is_file("/etc/inittab"):
        others = OWN_GETTY.sub(b"", ended(tree.read("/etc/inittab")))
        getty = f"KS:2345:respawn:/sbin/getty -L ttyS{serial[0]} {serial[1]} vt100\n"
        write(tree, "/etc/inittab", others + getty.encode())


def write_machine_id(tree: ImageTree, identifier: bytes) -> None:
    """Write the machine-id, always anew: one that came with the image would be the same on every node."""
    write(tree, "/etc/machine-id", identifier)
    place = tree.resolve("/etc/machine-id")
    if place.is_file():
        place.chmod(0o444)
    of_dbus = "/var/lib/dbus/machine-id"
    # Either may be a link to the other.
    if tree.has(of_dbus) and tree.resolve(of_dbus) != place:
        tree.remove(of_dbus)
        tree.entry(of_dbus).symlink_to("/etc/machine-id")


def replace_host_keys(tree: ImageTree) -> None:
    """Make host keys, always anew, like the machine-id."""
    with tree:
        if not any(map(tree.has, SERVERS)):
            return
    keys = make_keys(f"root@{variable('NODE').partition('.')[0]}")
    with tree:
        for entry in list(tree.make_directory(KEYS).iterdir()):
            if entry.name.startswith("ssh_host_"):
                tree.remove_tree(entry)
        write_keys(tree, keys)


def main() -> None:
    check_variables()
    tree = ImageTree(variable("ENV_EXTRACTION_DIR"))
    check_image(tree)
    lines, identifier = list(mounts()), UUID.read_bytes().replace(b"-", b"")
    resolver = Path("/etc/resolv.conf")
    own_resolver = resolver.read_bytes() if resolver.is_file() else b""
    with tree:
        write_host_name(tree)
        write_fstab(tree, lines)
        write_network(tree, own_resolver)
        write_console(tree)
        write_machine_id(tree, identifier)
    replace_host_keys(tree)


if __name__ == "__main__":
    try:
        main()
    except (Refusal, ImageFault, UefiFault) as reason:
        note(str(reason))
        sys.exit(1)
    except OSError as error:
        note(": ".join(filter(None, [error.filename, error.strerror])))
        sys.exit(1)
