# SPDX-License-Identifier: Apache-2.0
"""The administrator's post-install on real file systems: what it writes, repeats and refuses."""

import re
import subprocess

import pytest

from kadeploy.disks.layout import Role

from .conftest import NETWORKD, Node, make_file_system, read_tag

pytestmark = pytest.mark.needs("mkfs.ext4")

PARTITIONS = {"SWAP": 3, "TMP": 5}


def fstab_of(node: Node) -> list[list[str]]:
    return [line.split() for line in node.read("etc/fstab").splitlines() if not line.startswith("#")]


def run_well(node: Node, **changes: str) -> None:
    result = node.run(**changes)
    assert (result.returncode, result.stderr) == (0, "")


def test_root_is_named_by_its_uuid(node: Node) -> None:
    run_well(node)
    uuid = read_tag(node.partition(4), "UUID")
    assert fstab_of(node) == [[f"UUID={uuid}", "/", "ext4", "errors=remount-ro", "0", "1"]]


def test_swap_and_reformatted_tmp_are_mounted(node: Node) -> None:
    make_file_system(node.partition(3), "mkswap")
    make_file_system(node.partition(5), "mkfs.ext4", "-q", "-F")
    devices = {f"KADEPLOY_{role}_PART": str(node.partition(number)) for role, number in PARTITIONS.items()}
    run_well(node, **devices, KADEPLOY_FS_TYPE_TMP="ext4")
    swap, tmp = read_tag(node.partition(3), "UUID"), read_tag(node.partition(5), "UUID")
    assert fstab_of(node)[1:] == [
        [f"UUID={swap}", "none", "swap", "sw", "0", "0"],
        [f"UUID={tmp}", "/tmp", "ext4", "nosuid,nodev", "0", "0"],
    ]


@pytest.mark.parametrize("number", [None, 3, 4])
def test_swap_that_is_not_there_is_left_out(node: Node, number: int | None) -> None:
    make_file_system(node.partition(3), "mkfs.ext4", "-q", "-F")
    run_well(node, KADEPLOY_SWAP_PART="" if number is None else str(node.partition(number)))
    assert len(fstab_of(node)) == 1


def test_tmp_not_reformatted_is_left_out(node: Node) -> None:
    make_file_system(node.partition(5), "mkfs.ext4", "-q", "-F")
    run_well(node, KADEPLOY_TMP_PART=str(node.partition(5)))
    assert len(fstab_of(node)) == 1


# A mount namespace in which the machine has started by UEFI.
UEFI = 'mount -t tmpfs none /sys/firmware && mkdir /sys/firmware/efi && exec "$0"'


@pytest.mark.root
@pytest.mark.needs("mkfs.vfat", "sfdisk")
@pytest.mark.parametrize(
    ("number", "kind", "mounted"),
    [(2, Role.ESP, True), (7, Role.ESP, True), (2, Role.DEPLOY, False)],
)
def test_efi_system_partition_is_known_by_its_type(
    node: Node, number: int, kind: Role, mounted: bool
) -> None:
    """Where the partition table was kept, its number in the layout may be that of somebody's data."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs mount namespaces")
    with node.disk.open("wb") as file:
        file.truncate(64 << 20)
    script = f"label: gpt\n{number} : size=4MiB, type={kind.type_guid}\n".encode()
    subprocess.run(["sfdisk", "--quiet", node.disk], input=script, check=True)
    separator = "p" if node.disk.name[-1].isdigit() else ""
    make_file_system(node.disk.with_name(f"{node.disk.name}{separator}{number}"), "mkfs.vfat")
    node.launcher = ("unshare", "--mount", "sh", "-c", UEFI)
    ended = node.run(KADEPLOY_ESP_PART=str(node.partition(2)))
    assert ended.returncode == 0
    assert [line[1] for line in fstab_of(node)] == (["/", "/boot/efi"] if mounted else ["/"])
    assert ("no EFI system partition is mounted in the new system" in ended.stderr) is not mounted


def test_host_name(node: Node) -> None:
    (node.root / "etc/hosts").write_text("127.0.0.1\tlocalhost\n127.0.1.1\tbuilder\n10.0.0.9\tfriend\n")
    run_well(node)
    assert node.read("etc/hostname") == "node-1\n"
    assert node.read("etc/hosts").splitlines() == [
        "127.0.0.1\tlocalhost",
        "10.0.0.9\tfriend",
        "127.0.1.1\tnode-1.lab.example node-1",
    ]


def test_network_by_networkd(node: Node) -> None:
    run_well(node)
    assert "Name=eth0\n\n[Network]\nDHCP=ipv4" in node.read("etc/systemd/network/10-kadeploy.network")
    assert not (node.root / "etc/network").exists()


def test_network_by_ifupdown(node: Node) -> None:
    (node.root / NETWORKD).unlink()
    (node.root / "usr/sbin/ifup").write_text("")
    run_well(node)
    assert "iface eth0 inet dhcp" in node.read("etc/network/interfaces")
    assert not (node.root / "etc/systemd/network").exists()


def test_network_of_another_kind_is_left_alone_and_told(node: Node) -> None:
    (node.root / NETWORKD).unlink()
    result = node.run()
    assert result.returncode == 0
    assert "neither systemd-networkd nor ifupdown" in result.stderr


@pytest.mark.root
def test_serial_console_follows_the_kernel_parameters(node: Node) -> None:
    (node.root / "etc/inittab").write_text("id:2:initdefault:\n")
    for _ in range(2):
        run_well(node, KADEPLOY_ENV_KERNEL_PARAMS="console=tty0 console=ttyS1,57600n8 quote=it's")
    grub = (node.root / "etc/default/grub.d/kadeploy.cfg").as_posix()
    shell = '. "$1"; printf "%s\\n" "$GRUB_CMDLINE_LINUX" "$GRUB_TERMINAL" "$GRUB_SERIAL_COMMAND"'
    read = subprocess.run(["sh", "-c", shell, "sh", grub], capture_output=True, text=True, check=True)
    assert read.stdout.splitlines() == [
        "console=tty0 console=ttyS1,57600n8 quote=it's",
        "console serial",
        "serial --unit=1 --speed=57600",
    ]
    assert node.read("etc/inittab").count("getty -L ttyS1 57600 vt100") == 1


@pytest.mark.root
def test_identity_is_new_each_time(node: Node) -> None:
    seen = set()
    for _ in range(2):
        run_well(node)
        assert re.fullmatch("[0-9a-f]{32}\n", node.read("etc/machine-id"))
        keys = {path.name for path in (node.root / "etc/ssh").iterdir()}
        kinds = ("ecdsa", "ed25519")
        assert keys == {f"ssh_host_{kind}_key{end}" for kind in kinds for end in ("", ".pub")}
        assert (node.root / "etc/ssh/ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600
        seen |= {node.read("etc/machine-id"), node.read("etc/ssh/ssh_host_ed25519_key.pub")}
    assert len(seen) == 4


@pytest.mark.root
def test_second_run_changes_nothing_else(node: Node) -> None:
    run_well(node)
    first = {path: path.read_text() for path in node.root.rglob("*") if path.is_file()}
    run_well(node)
    second = {path: path.read_text() for path in node.root.rglob("*") if path.is_file()}
    changed = {path.relative_to(node.root).as_posix() for path in first if first[path] != second[path]}
    assert first.keys() == second.keys()
    assert all(path == "etc/machine-id" or path.startswith("etc/ssh/ssh_host_") for path in changed)


def test_image_without_sshd_gets_no_keys(node: Node) -> None:
    (node.root / "usr/sbin/sshd").unlink()
    run_well(node)
    assert (node.root / "etc/ssh/ssh_host_rsa_key").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"KADEPLOY_ENV_EXTRACTION_DIR": ""}, "KADEPLOY_ENV_EXTRACTION_DIR is not set"),
        ({"KADEPLOY_DEPLOY_PART": ""}, "KADEPLOY_DEPLOY_PART is not set"),
        ({"KADEPLOY_ENV_EXTRACTION_DIR": "/nowhere"}, "no system was unpacked in /nowhere: it has no /etc"),
        ({"KADEPLOY_NODE": ""}, "KADEPLOY_NODE is not a host name: ''"),
        ({"KADEPLOY_NODE": "node 1"}, "KADEPLOY_NODE is not a host name: 'node 1'"),
        ({"KADEPLOY_NODE": "-node"}, "KADEPLOY_NODE is not a host name: '-node'"),
    ],
)
def test_refusals_touch_nothing(node: Node, changes: dict[str, str], sentence: str) -> None:
    result = node.run(**changes)
    assert result.returncode == 1
    assert result.stderr == f"admin post-install: {sentence}\n"
    assert not (node.root / "etc/hostname").exists()


def test_unformatted_partition_is_named(node: Node) -> None:
    with node.partition(4).open("wb") as file:
        file.truncate(4 << 20)
    result = node.run()
    assert result.returncode == 1
    assert f"{node.partition(4)}, to be mounted on /, has no file system with a UUID" in result.stderr
    assert not (node.root / "etc/fstab").exists()


def test_example_leaves_its_mark(node: Node) -> None:
    assert node.run("example").returncode == 0
    assert "Environment debian12-min, installed by kadeploy" in node.read("etc/motd")
