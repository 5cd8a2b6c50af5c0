# SPDX-License-Identifier: Apache-2.0
"""BMCs of machines: ipmi_sim, which runs our program for its chassis commands."""

from __future__ import annotations

import secrets
import shlex
import sys
from pathlib import Path

import kadeploy
from kadeploy.lab.plan import BMC_USER, NodePlan

PORT = 623
CIPHER_SUITE = 3  # what ipmi_sim supports: HMAC-SHA1 and AES-128, not the SHA-256 of suite 17
PASSWORD_BYTES = 8  # twice as many characters; IPMI 2.0 allows 20

_LAN = """\
name "{name}"
set_working_mc 0x20
  startlan 1
    addr {address} {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid {guid}
  endlan
  chassis_control "{program}"
  user 2 true "{user}" "{password}" admin 10 none md2 md5 straight
"""

_EMULATOR = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
"""

# Python without site-packages starts in 10 ms; each command of a BMC starts it.
_PROGRAM = """\
#!/bin/sh
PYTHONPATH={path} exec {python} -s -S -m kadeploy.lab.chassis {directory} "$@"
"""


def new_password() -> str:
    """Random password of a BMC."""
    return secrets.token_hex(PASSWORD_BYTES)


def lan_configuration(node: NodePlan, password: str) -> str:
    """Text of ipmi_sim's file about its network side and its chassis."""
    return _LAN.format(
        name=node.name,
        address=node.bmc_address,
        port=PORT,
        guid=f"{0x525400 << 104 | node.index + 1:032x}",
        program=node.file("chassis"),
        user=BMC_USER,
        password=password,
    )


def write(node: NodePlan, password: str) -> None:
    """Write the files of the BMC of a machine."""
    node.file("bmc").mkdir()
    lan = node.file("bmc.conf")
    lan.touch(mode=0o600)  # it holds the password
    lan.write_text(lan_configuration(node, password))
    node.file("bmc.emu").write_text(_EMULATOR)
    program = node.file("chassis")
    program.write_text(
        _PROGRAM.format(
            path=shlex.quote(str(Path(kadeploy.__file__).parent.parent)),
            python=shlex.quote(sys.executable),
            directory=shlex.quote(str(node.directory)),
        )
    )
    program.chmod(0o700)


def arguments(node: NodePlan) -> list[str]:
    """Command line of the BMC."""
    files = ("-c", str(node.file("bmc.conf")), "-f", str(node.file("bmc.emu")), "-s", str(node.file("bmc")))
    return ["ipmi_sim", *files, "-n"]


def client_arguments(node: NodePlan, password_file: Path, *command: str) -> list[str]:
    """Command line of ipmitool for this BMC, as kadeploy calls it."""
    return [
        *("ipmitool", "-I", "lanplus", "-C", str(CIPHER_SUITE), "-N", "1", "-R", "3"),
        *("-H", node.bmc_address, "-p", str(PORT), "-U", BMC_USER, "-f", str(password_file), *command),
    ]
