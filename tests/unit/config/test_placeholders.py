# SPDX-License-Identifier: Apache-2.0
"""Placeholders that nobody replaces are refused when a file is read; words that only look so are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.config.cluster import BROADCAST_WORDS, ClusterConfig
from kadeploy.config.placeholders import OF_NODE, split_command
from kadeploy.config.yaml_file import parse_text
from kadeploy.errors import FileError

from .test_site import CLUSTER


@pytest.mark.parametrize(
    ("command", "placeholder"),
    [
        ("DEFAULT_CONNECTOR HOSTNAME_FQDN /sbin/reboot", "DEFAULT_CONNECTOR"),
        ("reset GROUP_FQDN", "GROUP_FQDN"),
        ("reset HOSTNAME", "HOSTNAME"),
        ("ipmitool -H BMC_ADDRESS power reset", "BMC_ADDRESS"),
        ("reset --host=NODE_NAME", "NODE_NAME"),
        ("ssh root@HOSTNAME_IP reboot", "HOSTNAME_IP"),
        ("curl https://pdu/NODE_NAME/off", "NODE_NAME"),
    ],
)
def test_unknown_placeholders(command: str, placeholder: str) -> None:
    with pytest.raises(ValueError, match=f"^{placeholder} is no placeholder here; there are HOSTNAME_FQDN,"):
        split_command(command, OF_NODE)


@pytest.mark.parametrize(
    "command",
    [
        "ssh root@HOSTNAME_FQDN reboot",
        "ipmitool -H HOSTNAME_SHORT-bmc.site power reset",
        "HOSTNAME_SHORT_reset BMC",
        "/opt/POWER_TOOLS/pdu CYCLE HOSTNAME_SHORT",
        "env IPMI_PASSWORD=x ipmitool -E -H BMC",
        "sh -c 'echo $MY_OUTLET ${MY_PDU} | nc pdu 23'",
        "ssh -oStrictHostKeyChecking=no -oPUBLIC_X HOSTNAME_FQDN",
    ],
)
def test_words_that_are_known_or_no_placeholders(command: str) -> None:
    assert split_command(command, OF_NODE)


def test_words_of_a_broadcast() -> None:
    assert split_command("send -i SSH_KEY ENVFILE NODEFILE DECOMPRESS", BROADCAST_WORDS)
    with pytest.raises(ValueError, match="TAKTUK_CONNECTOR"):
        split_command("taktuk -c TAKTUK_CONNECTOR ENVFILE", BROADCAST_WORDS)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (
            "remoteops: {reboot: [{cmd: DEFAULT_CONNECTOR HOSTNAME_FQDN}]}",
            "3:28: remoteops.reboot.0.cmd: DEFAULT",
        ),
        ('remoteops: {reboot: [{cmd: "x \'y"}]}', "3:28: remoteops.reboot.0.cmd: cannot be split"),
        (
            "remoteops: {reboot: [{cmd: x}], power_off: [{cmd: x NODE_NAME}]}",
            "3:51: remoteops.power_off.0.cmd: NODE",
        ),
        (
            "remoteops: {reboot: [{cmd: x}], console: conman GROUP_SHORT}",
            "3:42: remoteops.console: GROUP_SHORT",
        ),
        ("remoteops: {reboot: [{cmd: x}]}\nconsole_log: /log/HOSTNAME.log", "4:14: console_log: HOSTNAME"),
        (
            "remoteops: {reboot: [{cmd: x}]}\nlocalops: {broadcastenv: {cmd: x NODE_FILE}}",
            "4:32: localops.broadcastenv.cmd: NODE_FILE",
        ),
    ],
)
def test_the_place_of_each_is_told(line: str, place: str) -> None:
    text = "\n".join([*CLUSTER.splitlines()[:2], line])
    with pytest.raises(FileError) as refused:
        parse_text(text, "c.conf", ClusterConfig)
    assert str(refused.value).startswith(f"c.conf:{place}")


def test_the_case_of_a_console_of_kadeploy(tmp_path: Path) -> None:
    console = "remoteops: {reboot: [{cmd: x}], console: kalab console --name cl HOSTNAME_SHORT}"
    assert parse_text("\n".join([*CLUSTER.splitlines()[:2], console]), "c.conf", ClusterConfig)
