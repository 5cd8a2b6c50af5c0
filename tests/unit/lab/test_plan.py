# SPDX-License-Identifier: Apache-2.0
"""From the options of a lab to the names, command lines and files that follow from them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from kadeploy.config import site
from kadeploy.config.firmware import FirmwareKind
from kadeploy.errors import NotFoundError, UsageError
from kadeploy.lab import bmc, configuration, dhcp, driver, plan
from kadeploy.lab.hardware import DiskKind
from kadeploy.lab.plan import LabPlan
from kadeploy.lab.qemu import command
from kadeploy.power.ways.ipmi import IpmiAccount


@pytest.fixture
def lab(tmp_path: Path) -> LabPlan:
    environment = tmp_path / "deploy-env"
    environment.mkdir()
    for name in configuration.DEPLOY_ENV_FILES:
        (environment / name).write_text(name)
    config = tmp_path / "config"
    config.mkdir()
    return LabPlan("one", 3, Path("/var/lib/kalab/one"), config, environment, tmp_path / "admin.tgz")


def test_addresses_of_nodes(lab: LabPlan) -> None:
    last = lab.nodes[-1]
    assert (last.name, last.address, last.bmc_address) == ("node-3", "172.31.0.13", "172.31.1.13")
    assert (last.mac, last.tap) == ("52:54:00:1f:00:0d", "tap3")
    assert last.file("disk") == Path("/var/lib/kalab/one/nodes/node-3/disk")
    assert lab.namespace == "kalab-one"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Über"}, "'Über' is no name"),
        ({"name": "../etc"}, "no name for a lab"),
        ({"name": "a" * 21}, "no name for a lab"),
        ({"count": 0}, "a lab of 0 nodes"),
        ({"count": 201}, "a lab of 201 nodes"),
        ({"state": Path("/" + "x" * 80)}, "more than 70 characters"),
        ({"firmware": FirmwareKind.UEFI, "boot_program": "pxelinux"}, "a BIOS only"),
        ({"other_firmware": {"node-3": FirmwareKind.UEFI}, "boot_program": "pxelinux"}, "a BIOS only"),
        ({"other_firmware": {"node-3": FirmwareKind.UEFI}, "driver": "container"}, "have a BIOS"),
        ({"disk_kind": "nvme", "driver": "container"}, "disks of one kind"),
    ],
)
def test_impossible_labs_are_refused(lab: LabPlan, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(lab, **changes)  # type: ignore[arg-type]


def test_plan_survives_its_file(lab: LabPlan) -> None:
    changed = replace(lab, disk_kind="nvme", other_firmware={"node-2": FirmwareKind.UEFI})
    assert plan.from_json(changed.to_json()) == changed


def test_plan_of_a_lab_that_an_earlier_version_has_brought_up(lab: LabPlan) -> None:
    former = json.loads(replace(lab, firmware=FirmwareKind.UEFI).to_json())
    del former["disk_kind"], former["other_firmware"]
    assert plan.from_json(json.dumps(former)) == replace(lab, firmware=FirmwareKind.UEFI)


def test_unknown_node(lab: LabPlan) -> None:
    with pytest.raises(NotFoundError, match="no node 'node-4'"):
        lab.node("node-4")


MACHINES = [
    (
        FirmwareKind.BIOS,
        "tcg",
        ["-machine pc,graphics=off", "-accel tcg,tb-size=256 -cpu max", "-m 1024"],
        "pflash",
    ),
    (FirmwareKind.BIOS, "kvm", ["-accel kvm -cpu host"], "tcg"),
    (
        FirmwareKind.UEFI,
        "tcg",
        [
            "-machine q35",
            "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd",
            "if=pflash,format=raw,file=/var/lib/kalab/one/nodes/node-2/OVMF_VARS.fd",
        ],
        "romfile",
    ),
]


@pytest.mark.parametrize(("firmware", "kind", "present", "absent"), MACHINES)
def test_machine(
    lab: LabPlan, firmware: FirmwareKind, kind: command.Accelerator, present: list[str], absent: str
) -> None:
    changed = replace(lab, other_firmware={"node-2": firmware})
    line = " ".join(command.arguments(changed, changed.nodes[1], kind))
    common = [
        "tap,id=wire0,ifname=tap2,script=no,downscript=no",
        "virtio-net-pci,id=net0,netdev=wire0,mac=52:54:00:1f:00:0c",
        "virtio-blk-pci,id=disk0",
        "logfile=/var/lib/kalab/one/nodes/node-2/console.log,logappend=on",
    ]
    for fragment in [*common, *present]:
        assert fragment in line
    assert absent not in line


@pytest.mark.parametrize(
    ("kind", "devices", "block_device"),
    [
        ("virtio", ["virtio-blk-pci,id=disk0,drive=drive0"], "/dev/vda"),
        ("nvme", ["nvme,id=disk0,drive=drive0"], "/dev/nvme0n1"),
        ("scsi", ["virtio-scsi-pci", "scsi-hd,id=disk0,drive=drive0"], "/dev/sda"),
    ],
)
def test_disks(lab: LabPlan, kind: DiskKind, devices: list[str], block_device: str) -> None:
    changed = replace(lab, disk_kind=kind)
    argv = command.arguments(changed, changed.nodes[0], "tcg")
    added = [word for option, word in pairwise(argv) if option == "-device"]
    assert added[-len(devices) :] == [*devices[:-1], f"{devices[-1]},serial=kalab"]
    assert configuration.cluster(changed, {})["partitioning"]["block_device"] == block_device


def test_commas_in_paths_are_doubled(lab: LabPlan) -> None:
    odd = replace(lab, state=Path("/a,b"))
    assert "file=/a,,b/nodes/node-1/disk" in " ".join(command.arguments(odd, odd.nodes[0], "tcg"))


@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("ipxe", "dhcp-boot=http://172.31.0.1:8069/boot.ipxe"),
        ("pxelinux", "dhcp-boot=pxelinux.0,,172.31.0.1"),
    ],
)
def test_dhcp(lab: LabPlan, program: plan.BootProgram, line: str) -> None:
    lines = dhcp.configuration(replace(lab, boot_program=program)).splitlines()
    assert line in lines
    assert {"port=0", "interface=br0", "dhcp-ignore=tag:!known"} <= set(lines)
    assert any(line.startswith(f"pid-file={lab.state}/") for line in lines), "labs come up side by side"


def test_dhcp_hosts(lab: LabPlan) -> None:
    assert dhcp.hosts(lab, ["node-2"]).splitlines() == [
        "52:54:00:1f:00:0b,172.31.0.11,node-1,1h",
        "52:54:00:1f:00:0c,ignore",
        "52:54:00:1f:00:0d,172.31.0.13,node-3,1h",
    ]


def test_bmc(lab: LabPlan) -> None:
    text = bmc.lan_configuration(lab.nodes[0], "secret")
    assert "addr 172.31.1.11 623" in text
    assert 'chassis_control "/var/lib/kalab/one/nodes/node-1/chassis"' in text
    assert 'user 2 true "admin" "secret" admin 10' in text


def test_ipmi_password_is_on_no_command_line(lab: LabPlan) -> None:
    argv = bmc.client_arguments(lab.nodes[0], Path("/keys/bmc"), "power", "status")
    assert argv[argv.index("-f") : argv.index("-f") + 2] == ["-f", "/keys/bmc"]
    assert "-P" not in argv


@pytest.mark.parametrize(("kind", "program"), [("qemu", "ipxe"), ("qemu", "pxelinux"), ("container", "ipxe")])
@pytest.mark.parametrize("count", [1, 3, 200])
def test_configuration_is_what_kadeploy_loads(
    lab: LabPlan, kind: plan.DriverName, program: plan.BootProgram, count: int
) -> None:
    changed = replace(lab, driver=kind, boot_program=program, count=count)
    changed.postinstall.write_text("archive")
    configuration.write(changed, driver.named(kind).timeouts(changed), "secret")
    loaded = site.load(changed.config)
    assert [(node.name, node.address, node.bmc) for node in loaded.nodes.values()] == [
        (node.name, node.address, node.bmc_address) for node in changed.nodes
    ]
    cluster = loaded.clusters["lab"]
    assert loaded.server.network.namespace == "kalab-one"
    assert loaded.path(loaded.server.ssh_private_key).read_text() == "id_deploy"
    assert cluster.boot.kernels.deploy.initrd.read_text() == "initrd"
    assert cluster.postinstall.files[0].file == changed.postinstall
    assert cluster.console_log.replace("HOSTNAME_SHORT", "node-1") == str(changed.nodes[0].console)
    assert loaded.path(loaded.server.database.name) == changed.store
    assert changed.cluster_file.is_file()
    account = cluster.remoteops.account("ipmi")
    assert isinstance(account, IpmiAccount)
    secret = loaded.path(account.password_file)
    assert secret.read_text() == "secret\n"
    assert secret.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("common", "others", "expected"),
    [
        (FirmwareKind.BIOS, {}, [FirmwareKind.BIOS, FirmwareKind.BIOS, FirmwareKind.BIOS, FirmwareKind.BIOS]),
        (FirmwareKind.UEFI, {}, [FirmwareKind.UEFI, FirmwareKind.UEFI, FirmwareKind.UEFI, FirmwareKind.UEFI]),
        (
            FirmwareKind.UEFI,
            {"node-2": FirmwareKind.BIOS},
            [FirmwareKind.UEFI, FirmwareKind.BIOS, FirmwareKind.UEFI, FirmwareKind.UEFI],
        ),
        (
            FirmwareKind.BIOS,
            {"node-3": FirmwareKind.UEFI, "node-4": FirmwareKind.UEFI},
            [FirmwareKind.BIOS, FirmwareKind.BIOS, FirmwareKind.UEFI, FirmwareKind.UEFI],
        ),
    ],
)
def test_kadeploy_knows_the_firmware_of_each_node(
    lab: LabPlan, common: FirmwareKind, others: dict[str, FirmwareKind], expected: list[FirmwareKind]
) -> None:
    changed = replace(lab, count=4, firmware=common, other_firmware=others)
    configuration.write(changed, driver.named("qemu").timeouts(changed), "secret")
    loaded = site.load(changed.config)
    assert [node.firmware for node in changed.nodes] == expected
    assert [node.firmware for node in loaded.nodes.values()] == expected
    assert [(node.name, node.mac, node.bmc) for node in loaded.nodes.values()] == [
        (node.name, node.mac, node.bmc_address) for node in changed.nodes
    ]


def test_deploy_partition_holds_a_system(lab: LabPlan) -> None:
    layout = {entry["name"]: entry for entry in configuration.cluster(lab, {})["partitioning"]["layout"]}
    assert [entry["number"] for entry in layout.values()] == [1, 2, 3, 4, 5]
    assert int(layout["deploy"]["size"].removesuffix("MiB")) > 2500
    assert layout["tmp"]["size"] == "rest"


def test_incomplete_deployment_environment(lab: LabPlan) -> None:
    (lab.deploy_env / "initrd").unlink()
    with pytest.raises(NotFoundError, match="has no initrd"):
        configuration.check_deploy_env(lab.deploy_env)
