# SPDX-License-Identifier: Apache-2.0
"""Contradictions and warnings, each alone, with its place; whole files are in test_description.py."""

from __future__ import annotations

import pytest

from kadeploy.config import yaml_tree
from kadeploy.environments import checks
from kadeploy.environments.model import DescriptionModel

TAR = "image: {kind: tar}\nfilesystem: ext4\nboot: {kernel: /k}\n"
PARTS = "options:\n  partitions:\n  - {id: 1, device: /dev/a1}\n  - {id: 2, device: /dev/a2}\n"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (TAR, []),
        ("image: {kind: dd}\n", []),
        ("", []),
        ("[]", []),
        ("image: tar", []),
        (TAR.replace("/k", ""), ["3:16: 'boot.kernel' is missing: a tar image is booted by its kernel"]),
        (TAR.replace("/k", "~"), ["3:16: 'boot.kernel' is missing: a tar image is booted by its kernel"]),
        (
            TAR.replace("{kernel: /k}", "{initrd: /i}"),
            ["3:7: 'boot.kernel' is missing: a tar image is booted by its kernel"],
        ),
        (
            TAR.replace("filesystem: ext4", "os: linux"),
            ["1:1: 'filesystem' is missing: a tar image is unpacked into one"],
        ),
        (TAR + "os: xen\n", ["3:7: 'boot.hypervisor' is missing: os is xen"]),
        ("os: xen\nimage: {kind: dd}\n", []),
        (TAR + "multipart: false\n", []),
        (
            "multipart: YES\n",
            [
                "1:1: 'options.partitions' is missing: multipart is true",
                "1:1: 'boot.block_device' is missing: multipart is true",
                "1:1: 'boot.partition' is missing: multipart is true",
            ],
        ),
        (
            "multipart: true\nboot: {block_device: /dev/a, partition: 0}\noptions: {partitions: []}\n",
            ["3:23: 'options.partitions' is missing: multipart is true"],
        ),
        ("multipart: on\nboot: {block_device: /dev/a, partition: 0}\n" + PARTS, []),
        (PARTS.replace("id: 2", "id: 1"), ["4:10: partition id 1 is given twice"]),
        (PARTS.replace("a2", "a1"), ["4:21: partition device /dev/a1 is given twice"]),
        (PARTS.replace("{id: 2, device: /dev/a2}", "text"), []),
    ],
)
def test_contradictions(text: str, problems: list[str]) -> None:
    root = yaml_tree.compose(text, "x.yaml")
    found = [str(problem).removeprefix("x.yaml:") for problem in checks.contradictions(root, "x.yaml")]
    assert found == problems


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("name: x\nimage: {file: /i}\n", []),
        ("", []),
        ("colour: red\n", ["1:1: 'colour' is not known and ignored"]),
        ("image: {md5: 1, file: /i}\n", ["1:9: 'image.md5' is not known and ignored"]),
        ("preinstall: {x: 1}\n", ["1:14: 'preinstall.x' is not known and ignored"]),
        ("postinstalls: [{x: 1}, {archive: /a}]\n", ["1:17: 'postinstalls.x' is not known and ignored"]),
        ("options: {partitions: [{x: 1}]}\n", ["1:25: 'options.partitions.x' is not known and ignored"]),
        ("custom_variables: {ANYTHING: 1}\n", []),
        ("partition_type: 83\n", ["1:17: partition_type 83 is 0x53; did you mean 0x83?"]),
        ("partition_type: 82\n", ["1:17: partition_type 82 is 0x52; did you mean 0x82?"]),
        ("partition_type: '83'\n", []),
        ("partition_type: 0x83\n", []),
        ("partition_type: 131\n", []),
        (PARTS, ["3:3: several partitions, but multipart is false"]),
        ("options: {partitions: [{id: 1}]}\n", []),
        (f"multipart: true\n{PARTS}", []),
        (
            "partition_type: 83\nb: 1\na: 1\n",
            [
                "1:17: partition_type 83 is 0x53; did you mean 0x83?",
                "2:1: 'b' is not known and ignored",
                "3:1: 'a' is not known and ignored",
            ],
        ),
    ],
)
def test_warnings(text: str, problems: list[str]) -> None:
    root = yaml_tree.compose(text, "x.yaml")
    found = checks.warnings(root, DescriptionModel, "x.yaml")
    assert [str(problem).removeprefix("x.yaml:") for problem in found] == problems
