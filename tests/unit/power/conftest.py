# SPDX-License-Identifier: Apache-2.0
"""A virtual BMC (ipmi_sim of OpenIPMI) whose machine is a file that says 0 or 1."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kadeploy.config.clusters import Node
from kadeploy.power.ways.ipmi import IpmiAccount
from tests.ports import free_port

PASSWORD = "s3cret-Bmc"
CIPHER_SUITE = 3  # what ipmi_sim knows

_LAN = """\
name "machine"
set_working_mc 0x20
startlan 1
  addr 127.0.0.1 {port}
  priv_limit admin
  allowed_auths_admin none md2 md5 straight
  guid a123456789abcdefa123456789abcdef
endlan
chassis_control "{chassis}"
user 2 true "admin" "{password}" admin 10 none md2 md5 straight
"""

_EMULATOR = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
"""

# A file 'deaf' makes the machine accept every order and obey none.
_CHASSIS = """\
#!/bin/sh
cd '{directory}' || exit 1
echo "$*" >>orders
case "$1 $2" in
"get power") echo "power:$(cat power)" ;;
"set power") [ -e deaf ] || echo "$3" >power ;;
"set shutdown") [ -e deaf ] || echo 0 >power ;;
"get boot") echo boot:pxe ;;
esac
"""


@dataclass(frozen=True, slots=True)
class VirtualBmc:
    """``orders``: what the BMC told its machine, a line each."""

    directory: Path
    port: int

    def account(self, password: str = PASSWORD, port: int = 0) -> IpmiAccount:
        """Account with this password, in a file as an administrator would write it."""
        file = self.directory / "password"
        file.write_text(f"{password}\n")
        return IpmiAccount(password_file=file, port=port or self.port, cipher_suite=CIPHER_SUITE)

    @property
    def power(self) -> str:
        return (self.directory / "power").read_text().strip()

    def set_power(self, state: str) -> None:
        (self.directory / "power").write_text(f"{state}\n")

    @property
    def orders(self) -> list[str]:
        lines = (self.directory / "orders").read_text().splitlines()
        return [line for line in lines if line.startswith("set")]

    def deafen(self) -> None:
        (self.directory / "deaf").touch()


@pytest.fixture
def node() -> Node:
    return Node("node-1.site.example", "172.31.0.11", "127.0.0.1", "lab")


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[VirtualBmc]:
    virtual = VirtualBmc(tmp_path, free_port(socket.SOCK_DGRAM))
    virtual.set_power("0")
    (tmp_path / "orders").touch()
    chassis = tmp_path / "chassis"
    chassis.write_text(_CHASSIS.format(directory=tmp_path))
    chassis.chmod(0o755)
    (tmp_path / "lan").write_text(_LAN.format(port=virtual.port, chassis=chassis, password=PASSWORD))
    (tmp_path / "emulator").write_text(_EMULATOR)
    (tmp_path / "state").mkdir()
    argv = ["ipmi_sim", "-c", "lan", "-f", "emulator", "-s", "state", "-n"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(argv, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for_udp(virtual.port)
        yield virtual
    finally:
        process.kill()
        process.wait()


def wait_for_udp(port: int) -> None:
    """Wait until somebody has bound the port of 127.0.0.1."""
    deadline = time.monotonic() + 10
    wanted = f"0100007F:{port:04X}"
    while wanted not in Path("/proc/net/udp").read_text():
        assert time.monotonic() < deadline, "ipmi_sim did not start"
        time.sleep(0.02)
