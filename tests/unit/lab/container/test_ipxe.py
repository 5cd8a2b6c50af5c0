# SPDX-License-Identifier: Apache-2.0
"""A container node's firmware understands the profiles that kadeploy writes, as iPXE does."""

from __future__ import annotations

import pytest

from kadeploy.boot import profile
from kadeploy.boot.programs import ipxe
from kadeploy.config.server import Profiles
from kadeploy.lab.container.ipxe import BootDisk, BootKernel, Ipxe, NextDevice, Outcome, Restart

BASE = "http://172.31.0.1:8069"
FIRST = f"{BASE}/boot.ipxe"
PROFILE = f"{BASE}/profiles/172.31.0.11"
LOADER = f"{BASE}/local-disk-0.efi"
KERNEL, INITRD = f"{BASE}/kernels/k", f"{BASE}/kernels/i"
SETTINGS = {"ip": "172.31.0.11", "netX/mac": "52:54:00:1f:00:0b", "platform": "pcbios"}
MINIOS = profile.minios(
    ipxe.MEMBER, BASE, kernel="kernels/k", initrd="kernels/i", params="console=ttyS0 quiet", secret=True
)
ENTRY = {FIRST: str(ipxe.MEMBER.common_files(BASE, Profiles(), LOADER)["boot.ipxe"])}


def boot(files: dict[str, str], *, disk: bool = True) -> tuple[Outcome, list[str]]:
    said: list[str] = []

    def fetch(url: str) -> bytes:
        if url not in files:
            raise OSError("HTTP status 404")
        return files[url].encode()

    machine = Ipxe(SETTINGS, fetch, lambda: disk, said.append, lambda _: None)
    return machine.boot(FIRST), said


def test_profile_of_the_minios() -> None:
    outcome, _ = boot({**ENTRY, PROFILE: MINIOS, KERNEL: "", INITRD: ""})
    assert outcome == BootKernel(
        KERNEL,
        INITRD,
        f"initrd=initrd.img console=ttyS0 quiet kadeploy.boot={profile.SECRET_PLACE}"
        " BOOTIF=01-52-54-00-1f-00-0b",
    )


def test_a_file_that_is_missing_restarts_the_machine() -> None:
    outcome, said = boot({**ENTRY, PROFILE: MINIOS, KERNEL: ""})
    assert outcome == Restart()
    assert f"{INITRD}... HTTP status 404" in said


def test_profile_of_the_local_disk() -> None:
    files = {**ENTRY, PROFILE: ipxe.MEMBER.local_disk(LOADER)}
    assert boot(files)[0] == BootDisk()
    assert boot(files, disk=False)[0] == NextDevice()


def test_no_profile_boots_the_disk() -> None:
    outcome, said = boot(ENTRY)
    assert outcome == BootDisk()
    assert "No network boot: booting the local disk" in said


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("", NextDevice()),  # no iPXE script
        ("#!ipxe\nnonsense", NextDevice()),
        ("#!ipxe\nnonsense || reboot", Restart()),
        ("#!ipxe\niseq ${platform} efi && reboot ||\nsanboot --drive 0x80", BootDisk()),
        ("#!ipxe\ngoto end\nreboot\n:end\nsanboot", BootDisk()),
        ("#!ipxe\ngoto nowhere\nreboot", NextDevice()),
        ("#!ipxe\n:again\ngoto again", NextDevice()),  # ends, unlike iPXE
        (f"#!ipxe\nchain {FIRST}", NextDevice()),  # as well
        ("#!ipxe\nboot", NextDevice()),
        ("#!ipxe\n# reboot\nexit 0", NextDevice()),
    ],
)
def test_scripts(script: str, outcome: Outcome) -> None:
    assert boot({FIRST: script})[0] == outcome


def test_forms_of_an_address() -> None:
    _, said = boot({FIRST: "#!ipxe\necho ${ip} ${ip:hexraw} ${netX/mac:hexhyp} ${none}."})
    assert "172.31.0.11 ac1f000b 52-54-00-1f-00-0b ." in said
