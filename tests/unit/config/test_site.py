# SPDX-License-Identifier: Apache-2.0
"""The configuration directory: every problem of every file at once, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.config import site
from kadeploy.config.firmware import FirmwareKind
from kadeploy.config.yaml_file import FileModel, parse_text
from kadeploy.errors import FileError, NotFoundError

SERVER = "network: {server_address: 10.0.0.1}\npxe: {dhcp: {repository: /srv/boot}}\n"
CLUSTERS = """\
clusters:
  - name: c
    conf_file: c.conf
    nodes:
      - {name: "n-[1-3]", address: "10.0.0.[11-13]", bmc: "10.0.1.[11-13]"}
"""
CLUSTER = """\
partitioning: {block_device: /dev/sda, layout: [{name: deploy, number: 3, size: rest}]}
boot: {kernels: {deploy: {vmlinuz: v, initrd: i, host_key: k}}}
remoteops: {reboot: [{cmd: reboot-it HOSTNAME_FQDN}]}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "server.conf").write_text(SERVER)
    (tmp_path / "clusters.conf").write_text(CLUSTERS)
    (tmp_path / "c.conf").write_text(CLUSTER)
    return tmp_path


def test_ranges_are_paired(directory: Path) -> None:
    found = site.load(directory)
    assert found.nodes["n-2"].address == "10.0.0.12" and found.nodes["n-2"].bmc == "10.0.1.12"
    assert found.clusters["c"].partitioning.block_device == "/dev/sda"


def test_the_firmware_of_a_range_comes_before_that_of_its_cluster(directory: Path) -> None:
    more = "      - {name: m, address: 10.0.0.20, firmware: bios}\n"
    (directory / "clusters.conf").write_text(CLUSTERS + more)
    assert {node.firmware for node in site.load(directory).nodes.values()} == {FirmwareKind.BIOS}
    (directory / "c.conf").write_text(CLUSTER.replace("boot: {", "boot: {firmware: uefi, "))
    found = site.load(directory).nodes
    assert (found["n-1"].firmware, found["m"].firmware) == (FirmwareKind.UEFI, FirmwareKind.BIOS)
    (directory / "clusters.conf").write_text(CLUSTERS + more.replace("bios", "efi"))
    with pytest.raises(FileError, match=r"clusters\.conf:6:49: .*'bios' or 'uefi'"):
        site.load(directory)


def test_how_long_systems_must_settle(directory: Path) -> None:
    assert site.load(directory).clusters["c"].verify.settle == 5
    (directory / "server.conf").write_text(SERVER + "verify: {settle: 0}\n")
    assert site.load(directory).clusters["c"].verify.settle == 0
    (directory / "c.conf").write_text(CLUSTER + "verify: {settle: 7.5}\n")
    assert site.load(directory).clusters["c"].verify.settle == 7.5
    (directory / "c.conf").write_text(CLUSTER + "verify: {settle: -1}\n")
    with pytest.raises(FileError, match=r"c\.conf:4:18: verify\.settle"):
        site.load(directory)


def test_unknown_nodes_are_listed_folded(directory: Path) -> None:
    with pytest.raises(NotFoundError, match=r"unknown nodes: n-\[8-9\]"):
        site.load(directory).find(["n-1", "n-9", "n-8"])


def test_problems_of_all_files_come_at_once(directory: Path) -> None:
    (directory / "server.conf").write_text(SERVER + "networt: {}\ncache: {size: big}\n")
    (directory / "c.conf").write_text(
        CLUSTER.replace("rest", "rest, colour: red") + "timeouts: {reboot: soon}\n"
    )
    with pytest.raises(FileError) as caught:
        site.load(directory)
    lines = [str(problem).removeprefix(f"{directory}/") for problem in caught.value.problems]
    assert lines[0] == "server.conf:3:1: 'networt' is not known here"
    assert lines[1].startswith("server.conf:4:15: cache.size: ")
    assert lines[2].startswith("c.conf:1:87: ") and "colour" in lines[2]
    assert lines[3].startswith("c.conf:4:20: ") and "log2" in lines[3]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("10.0.0.[11-13]", "10.0.0.[11-12]", "3 names but 2 of 'address'"),
        ("10.0.0.[11-13]", "10.0.0.[900-902]", "does not appear to be an IPv4"),
        ("n-[1-3]", "n-[1-", "is not a node set"),
        ("conf_file: c.conf", "conf_file: c.conf\n    conf_file: d.conf", "'conf_file' is given twice"),
        ("clusters:", "clusters: [", "not YAML"),
    ],
)
def test_wrong_clusters_files(directory: Path, old: str, new: str, message: str) -> None:
    (directory / "clusters.conf").write_text(CLUSTERS.replace(old, new))
    with pytest.raises(FileError) as caught:
        site.load(directory)
    assert message in caught.value.message and caught.value.problems[0].line > 0


def test_nodes_are_unique(directory: Path) -> None:
    again = CLUSTERS + '      - {name: n-3, address: "10.0.0.99"}\n'
    (directory / "clusters.conf").write_text(again)
    with pytest.raises(FileError, match="n-3 is given twice"):
        site.load(directory)


def test_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"has no server\.conf"):
        site.load(tmp_path)


class Anything(FileModel):
    value: object = None


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a, *a]\nvalue: *a",
        "value: " + "[" * 500 + "]" * 500,
        "? [a, b]\n: c\n",
        "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10) if n else 1}]\n" for n in range(9)),
        "value: !!python/object:os.x {}",
    ],
)
def test_hostile_yaml_is_a_problem_of_the_file(text: str) -> None:
    with pytest.raises(FileError):
        parse_text(text, "f.yaml", Anything)
