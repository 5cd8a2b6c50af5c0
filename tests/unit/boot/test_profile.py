# SPDX-License-Identifier: Apache-2.0
"""Texts of profiles: what goes in, what comes out, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadeploy.boot import profile
from kadeploy.boot.program import BOOT_PROGRAMS, BootProgram
from kadeploy.boot.programs import ipxe, pxelinux
from kadeploy.config.server import ProfileName, Profiles
from kadeploy.errors import RefusedError

HTTP, TFTP = "http://10.0.0.1:8069", "tftp://10.0.0.1:69"
LOADER = f"{HTTP}/local-disk-0.efi"
FILES: dict[str, Any] = {"kernel": "kernels/aa-vmlinuz", "initrd": "kernels/bb-initrd"}


def test_ipxe_minios() -> None:
    text = profile.minios(ipxe.MEMBER, HTTP, **FILES, params="console=ttyS0  quiet", secret=True)
    assert text.splitlines()[:4] == [
        "#!ipxe",
        "kernel http://10.0.0.1:8069/kernels/aa-vmlinuz initrd=initrd.img console=ttyS0 quiet"
        " kadeploy.boot=KADEPLOY-BOOT-SECRET BOOTIF=01-${netX/mac:hexhyp} || goto failed",
        "initrd --name initrd.img http://10.0.0.1:8069/kernels/bb-initrd || goto failed",
        "boot || goto failed",
    ]


@pytest.mark.parametrize(("url", "prefix"), [(HTTP, f"{HTTP}/"), (TFTP, "")])
def test_pxelinux_minios(url: str, prefix: str) -> None:
    text = profile.minios(pxelinux.MEMBER, url, **FILES, params="quiet", secret=True)
    assert text.splitlines() == [
        "DEFAULT minios",
        "PROMPT 0",
        "LABEL minios",
        f"  KERNEL {prefix}kernels/aa-vmlinuz",
        f"  APPEND initrd={prefix}kernels/bb-initrd quiet kadeploy.boot=KADEPLOY-BOOT-SECRET",
        "  IPAPPEND 2",
    ]


@pytest.mark.parametrize("program", list(BOOT_PROGRAMS), ids=lambda program: program.name)
@pytest.mark.parametrize(
    "params",
    ["quiet\nchain http://evil/", "quiet\rboot", "a\x0bb", "a\x00b", "a\u2028b", "caf\u00e9", "x" * 2001],
)
def test_parameters_are_one_line(program: BootProgram, params: str) -> None:
    with pytest.raises(RefusedError):
        profile.minios(program, HTTP, **FILES, params=params)


@pytest.mark.parametrize("params", ["a || shell", "a && shell", "a ; shell", "a #b", "x=${username}"])
def test_parameters_that_ipxe_would_obey(params: str) -> None:
    with pytest.raises(RefusedError):
        profile.minios(ipxe.MEMBER, HTTP, **FILES, params=params)


@pytest.mark.parametrize("path", ["", "a b", "../../etc/passwd", "/etc/passwd", "a\nb", "a;b", "-v", "${x}"])
@pytest.mark.parametrize("which", ["kernel", "initrd"])
def test_paths_are_one_word(path: str, which: str) -> None:
    with pytest.raises(RefusedError):
        profile.minios(ipxe.MEMBER, HTTP, **{**FILES, which: path})


@given(st.text(max_size=60), st.sampled_from(list(BOOT_PROGRAMS)))
def test_whatever_is_accepted_adds_no_line(params: str, program: BootProgram) -> None:
    plain = profile.minios(program, HTTP, **FILES)
    try:
        text = profile.minios(program, HTTP, **FILES, params=params)
    except RefusedError:
        return
    assert [line.split()[0] for line in text.splitlines()] == [line.split()[0] for line in plain.splitlines()]


def test_local_disk() -> None:
    without = [
        "#!ipxe",
        "iseq ${platform} efi && exit 1 ||",
        "sanboot --no-describe --drive 0x80 || exit 1",
    ]
    assert ipxe.MEMBER.local_disk("").splitlines() == without
    chain = "iseq ${platform} efi && chain http://10.0.0.1:8069/local-disk-0.efi ||"
    assert ipxe.MEMBER.local_disk(LOADER).splitlines() == [without[0], chain, *without[1:]]
    assert "COM32 chain.c32\n  APPEND hd0\n" in pxelinux.MEMBER.local_disk("")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (ProfileName.IP, "${ip}"),
        (ProfileName.IP_HEX, "${ip:hexraw}"),
        (ProfileName.HOSTNAME, "${hostname}"),
        (ProfileName.HOSTNAME_SHORT, "${hostname}"),
    ],
)
def test_first_script_falls_through_to_the_disk(name: ProfileName, address: str) -> None:
    files = ipxe.MEMBER.common_files(HTTP, Profiles(filename=name), LOADER)
    lines = str(files["boot.ipxe"]).splitlines()
    assert lines[0] == "#!ipxe"
    assert lines[1].startswith(f"chain {HTTP}/profiles/{address} || ")
    assert lines[2:] == ipxe.MEMBER.local_disk(LOADER).splitlines()[1:]


@pytest.mark.parametrize("program", [ipxe.MEMBER, pxelinux.MEMBER])
def test_the_place_of_the_secret(program: BootProgram) -> None:
    secret = profile.make_secret()
    text = profile.minios(program, HTTP, **FILES, params="quiet", secret=True)
    assert len(secret) == 64 and secret != profile.make_secret()
    assert profile.fill(text, secret).count(f" quiet kadeploy.boot={secret}") == 1
    assert profile.fill(text, "") == profile.minios(program, HTTP, **FILES, params="quiet")


@pytest.mark.parametrize("params", [profile.SECRET_PLACE, "kadeploy.boot=0123"])
def test_parameters_that_a_proof_could_be_taken_from(params: str) -> None:
    with pytest.raises(RefusedError, match="must not contain"):
        profile.minios(ipxe.MEMBER, HTTP, **FILES, params=params, secret=True)
