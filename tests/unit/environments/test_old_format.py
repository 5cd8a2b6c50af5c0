# SPDX-License-Identifier: Apache-2.0
"""Descriptions of Kadeploy 3.1, line by line; whole files are in test_description.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kadeploy.environments import old_format
from kadeploy.environments.compression import Compression
from kadeploy.environments.environment import Archive, Boot, Environment, Image, System, Visibility
from kadeploy.errors import FileError

TEXT = "name : x\ntarball : /i|ddgz\nfdisktype : 83\nenvironment_kind : linux\n"
MEANT = Environment(
    "x",
    "alice",
    System.LINUX,
    Image("/i", "dd", Compression.GZIP),
    version=0,
    visibility=Visibility.SHARED,
    partition_type=0x83,
)
TAR = TEXT.replace("ddgz", "tbz2") + "filesystem : ext3\nkernel : /boot/k\n"
TAR_MEANT = replace(
    MEANT,
    image=Image("/i", "tar", Compression.BZIP2),
    filesystem="ext3",
    boot=Boot(kernel="/boot/k"),
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (TEXT, MEANT),
        (TAR, TAR_MEANT),
        ("### a comment\n\nno : \nname: y\n" + TEXT, MEANT),
        (TEXT.replace("\n", "  \r\n"), MEANT),
        (
            TEXT.replace("/i|", "http://a/b|c|"),
            replace(MEANT, image=replace(MEANT.image, file="http://a/b|c")),
        ),
        (TEXT + "version : 007\n", replace(MEANT, version=7)),
        (TEXT + "author : a : b\n", replace(MEANT, author="a : b")),
        (TEXT + "visibility : private\n", replace(MEANT, visibility=Visibility.PRIVATE)),
        (TEXT + "demolishing_env : 0\n", MEANT),
        (TEXT + "demolishing_env : 1\n", replace(MEANT, destructive=True)),
        (
            TEXT + "preinstall : server:///p|tgz|run me\n",
            replace(MEANT, preinstall=Archive("server:///p", Compression.GZIP, "run me")),
        ),
        (
            TEXT + "postinstall : /a|tgz|none,/b|tbz2|b.sh -x\n",
            replace(
                MEANT,
                postinstalls=(
                    Archive("/a", Compression.GZIP, "none"),
                    Archive("/b", Compression.BZIP2, "b.sh -x"),
                ),
            ),
        ),
        (
            TAR.replace("linux", "xen") + "hypervisor : /xen\nhypervisor_params : dom0_mem=1\ninitrd : /r\n",
            replace(
                TAR_MEANT,
                os=System.XEN,
                boot=Boot("/boot/k", "/r", hypervisor="/xen", hypervisor_params="dom0_mem=1"),
            ),
        ),
    ],
)
def test_what_is_meant(text: str, meant: Environment) -> None:
    assert old_format.is_old(text)
    assert old_format.parse(text, "x.env").environment("alice") == meant


ARCHIVE = "is not FILE|tgz|SCRIPT or FILE|tbz2|SCRIPT"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (TAR.replace("kernel : /boot/k\n", ""), "x.env: 'kernel' is missing"),
        (TAR.replace("filesystem : ext3\n", ""), "x.env: 'filesystem' is missing"),
        (TAR.replace("linux", "xen"), "x.env: 'hypervisor' is missing"),
        (TEXT.replace("|ddgz", ""), "2:11: tarball: wanted FILE|KIND, KIND one of tgz, tbz2, ddgz, ddbz2"),
        (
            TEXT.replace("83", "8x"),
            "3:13: fdisktype: must be hexadecimal digits",
        ),
        (TEXT + "postinstall : /a|tgz\n", f"5:15: postinstall: '/a|tgz' {ARCHIVE}"),
        (TEXT + "preinstall : /a|ddgz|x\n", f"5:14: preinstall: '/a|ddgz|x' {ARCHIVE}"),
        (TEXT + "version : \u0661\n", "5:11: version: must be a whole number"),
        (TEXT + "demolishing_env : -1\n", "5:19: demolishing_env: must be a whole number"),
        (TEXT + "kernel : k\n", "5:10: kernel: must be an absolute path in the image, without '..'"),
        (TEXT + "name : y\n", "5:1: 'name' is given twice"),
        (TEXT + "colour : red\n", "5:1: 'colour' is not known"),
    ],
)
def test_what_is_wrong_and_where(text: str, problem: str) -> None:
    with pytest.raises(FileError) as caught:
        old_format.parse(text, "x.env")
    assert str(caught.value).removeprefix("x.env:") == problem.removeprefix("x.env:")


@pytest.mark.parametrize(
    "text", ["name: x\n", "name : x\n", "# tarball : /i|tgz\n", "description: 'fdisktype : 83'\n", ""]
)
def test_texts_of_the_new_format(text: str) -> None:
    assert not old_format.is_old(text)
