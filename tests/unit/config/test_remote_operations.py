# SPDX-License-Identifier: Apache-2.0
"""Ways of power in a cluster's file: each is checked by what it says of itself."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from kadeploy.config.cluster import ClusterConfig
from kadeploy.config.remote_operations import PowerAction, RemoteOperations
from kadeploy.config.yaml_file import parse_text
from kadeploy.errors import FileError
from kadeploy.power.ways.command import CommandSetting
from kadeploy.power.ways.ipmi import IpmiAccount

OTHERS = """\
partitioning: {block_device: /dev/sda, layout: [{name: deploy, number: 1, size: rest}]}
boot: {kernels: {deploy: {vmlinuz: vmlinuz, initrd: initrd}}}
remoteops:
"""
COMMAND = "  reboot: [{cmd: reboot-it}]\n"


def read(text: str) -> RemoteOperations:
    return parse_text(OTHERS + text, "cluster.conf", ClusterConfig).remoteops


def refusals(text: str) -> list[str]:
    with pytest.raises(FileError) as caught:
        read(text)
    return [str(problem).removeprefix("cluster.conf:") for problem in caught.value.problems]


def test_an_entry_has_the_model_of_its_way() -> None:
    soft, hard = read("  reboot: [{method: ssh}, {name: hard, cmd: reboot-it, timeout: 5}]\n").reboot
    assert (soft.name, soft.method, soft.timeout, soft.asks_system) == ("soft", "ssh", 30, True)
    assert hard == CommandSetting(name="hard", cmd="reboot-it", timeout=5) and not hard.asks_system


def test_entries_by_action() -> None:
    operations = read(COMMAND + "  power_status: [{method: ssh}]\n")
    assert operations.entries(PowerAction.STATUS) == operations.power_status
    assert operations.entries(PowerAction.POWER_OFF) == ()
    assert operations.asks_system
    assert not read(COMMAND).asks_system


def test_the_key_of_an_account_is_the_name_of_its_way() -> None:
    operations = read("  reboot: [{method: ipmi}]\n  ipmi: {password_file: keys/bmc}\n")
    account = operations.account("ipmi")
    assert isinstance(account, IpmiAccount) and (account.user, account.port) == ("admin", 623)
    assert operations.account("ssh") is None
    assert operations.model_copy(update={"power_on": operations.reboot}).account("ipmi") == account
    assert read(COMMAND + "  ipmi:\n").account("ipmi") is None


def test_they_are_read_again_from_their_json() -> None:
    """Entries keep the keys of their ways there, and accounts theirs."""
    text = "  reboot: [{method: ipmi}, {cmd: reboot-it}]\n  ipmi: {password_file: keys/bmc}\n"
    operations = read(text)
    fields: Any = json.loads(operations.model_dump_json())
    assert fields["reboot"][1]["cmd"] == "reboot-it"
    assert fields["ipmi"]["password_file"] == "keys/bmc"
    assert RemoteOperations.model_validate(fields) == operations
    assert RemoteOperations.model_validate(operations.model_dump()) == operations
    assert pickle.loads(pickle.dumps(operations)) == operations


@pytest.mark.parametrize("changed", ["reboot-us", "keys/other", "port: 624, password_file"])
def test_differences_are_in_their_json(changed: str) -> None:
    text = "  reboot: [{method: ipmi}, {cmd: reboot-it}]\n  ipmi: {password_file: keys/bmc}\n"
    before = {"reboot-us": "reboot-it", "keys/other": "keys/bmc"}.get(changed, "password_file")
    operations, other = read(text), read(text.replace(before, changed))
    assert operations != other and operations.model_dump_json() != other.model_dump_json()


def test_all_problems_are_told_at_once() -> None:
    text = """\
  reboot:
    - {name: soft, method: ssh, cmd: x, timout: 3}
    - {name: hard, method: pdu, outlet: 7}
    - {name: harder, cmd: ""}
  power_on:
    - {method: ssh, timeout: 0}
  power_off: [7, {method: [ssh]}, {name: hard}]
  power_statu: []
  ipmi: {user: 7, port: 99999, pasword_file: x}
"""
    assert refusals(text) == [
        "5:33: 'remoteops.reboot.0.cmd' is not known here",
        "5:41: 'remoteops.reboot.0.timout' is not known here",
        "6:28: remoteops.reboot.1.method: there is no way of power 'pdu'; there are command, ipmi, ssh",
        "7:14: remoteops.reboot.2.name: Input should be 'soft', 'hard' or 'very_hard'",
        "7:27: remoteops.reboot.2.cmd: String should have at least 1 character",
        "9:16: remoteops.power_on.0.method: method ssh cannot do power_on; there are command, ipmi",
        "9:30: remoteops.power_on.0.timeout: Input should be greater than 0",
        "10:15: remoteops.power_off.0: Input should be a valid dictionary or instance of PowerWaySetting",
        "10:27: remoteops.power_off.1.method: Input should be a valid string",
        "10:35: 'remoteops.power_off.2.cmd' is missing",
        "11:3: 'remoteops.power_statu' is not known here",
        "12:9: 'remoteops.ipmi.password_file' is missing",
        "12:25: remoteops.ipmi.port: Input should be less than or equal to 65535",
        "12:32: 'remoteops.ipmi.pasword_file' is not known here",
    ]


def test_a_way_that_needs_an_account_has_one() -> None:
    problem = "4:3: remoteops: method ipmi needs 'ipmi: {password_file: …}'"
    assert refusals(COMMAND + "  power_off: [{method: ipmi}]\n") == [problem]
